"""Words to functions: what a user types, and the function it calls; nothing else.

Exit codes: 0 done, 1 something went wrong, 2 the user typed something that cannot be, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from locution import __version__
from locution.errors import LocutionError

app = App(
    name="locution",
    help="The working vocabulary of machine learning: every term is a part that runs, and every part composes.",
    version=__version__,
)
SWITCH_OFF = re.compile(r"^-[A-Za-z_]\w+$")


@app.command
def train(
    recipe: str = "",
    *overrides: Annotated[str, Parameter(allow_leading_hyphen=True)],
    resume: str = "",
    quiet: bool = False,
) -> None:
    """Train a recipe: locution train digits +sam +sam.rho=0.1 -clipping optimizer.lr=0.1

    Parameters
    ----------
    recipe: a name that `locution recipes` lists, or a YAML file of your own.
    overrides: key=value, +method, +method.setting=value, -method.
    resume: a run folder to go on with, exactly where it was stopped.
    quiet: print only the last lines.
    """
    from locution import runs

    if resume:
        words = [word for word in (recipe, *overrides) if word]
        if words:
            raise runs.resume_takes_no_words(words)
        runs.resume(resume, quiet=quiet)
    else:
        runs.train(recipe, *overrides, quiet=quiet)


@app.command
def evaluate(run: str, *, against: str = "", json: bool = False) -> None:
    """Judge a run on data it never learnt from, every figure with its interval.

    Parameters
    ----------
    run: a run folder, or a recipe's name for its newest run.
    against: another run of speech: how far the two are apart, utterance by utterance, on the same test set.
    json: print one JSON object instead of a table.
    """
    from locution import runs

    runs.Run.open(run).show_evaluation(against=against, as_json=json)


@app.command
def compare(
    recipe: str,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    seeds: int = 10,
    metric: str = "",
    against: str = "",
    workers: int = 1,
    out: str = "",
    json: bool = False,
) -> None:
    """Say what a change is worth: locution compare digits +sam +mixup+sam "hot: optimizer.lr=0.01" --seeds 10

    Parameters
    ----------
    recipe: a name that `locution recipes` lists, or a YAML file of your own.
    words: key=value for all runs; then what is compared: +method, +one+another, or a quoted "name: words".
    seeds: how many pairs of runs; a verdict needs six or more.
    metric: the figure to compare; the recipe's first if none is named.
    against: the variant to compare the others with; the recipe as it is if none is named.
    workers: how many runs train at a time.
    out: the folder that keeps the runs, the page and the figures; what is in it already is not trained again.
    json: print one JSON object instead of a table.
    """
    from locution.studies import show

    show.comparison(recipe, words, seeds, metric, against, workers, out, as_json=json)


@app.command
def predict(run: str, *inputs: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Predict with a run: locution predict runs/line/latest 10

    Parameters
    ----------
    run: a run folder, or a recipe's name for its newest run.
    inputs: numbers separated by commas, a .npy, .csv or .png file, or test:3 for an example of the test set.
    """
    from locution import runs

    for line in runs.Run.open(run).predict(inputs):
        print(line)


@app.command
def transcribe(
    run: str,
    *files: str,
    format: str = "",
    output: str = "",
    stream: bool = False,
    microphone: bool = False,
    hotwords: str = "",
    json: bool = False,
) -> None:
    """Write down what is said in audio files of any length, or into the microphone.

    Parameters
    ----------
    run: a run folder of a speech recipe, or the recipe's name for its newest run.
    files: audio files or films, or folders of them.
    format: text, json, srt, vtt or tsv, with times.
    output: a folder to write one file a recording to.
    stream: print words as they are written.
    microphone: listen until Ctrl-C.
    hotwords: words or names to expect, parted by commas.
    json: print one JSON object a file, as --format json does.
    """
    from locution import runs

    wishes = {"form": format, "output": output, "stream": stream, "microphone": microphone, "hotwords": hotwords}
    sys.exit(runs.Run.open(run).transcribe(files, as_json=json, **wishes))


@app.command(name="check-data")
def check_data(path: str, *, clean: str = "", quiet: bool = False) -> None:
    """Look for what is wrong with speech data before training; exit code 0 where nothing is, else 1.

    Parameters
    ----------
    path: a folder of recordings, a CSV, TSV or JSONL file, or a dataset saved to disk: whatever data=PATH takes.
    clean: a .jsonl file to write the good clips to, ready for data=; what is left out, and why, goes beside it.
    quiet: show no progress.
    """
    from locution.speech import check_data_shown

    sys.exit(check_data_shown.show(path, clean, quiet=quiet))


@app.command
def cache(what: str = "", *, clear: bool = False) -> None:
    """Show what is kept to be used again (encoders' frames, synthetic speech), or clear it.

    Parameters
    ----------
    what: a kind (frames, corpus, spoken, imported) or a key; everything if it is not given.
    clear: remove it; what a process is using stays, and makes the exit code 1.
    """
    from locution.speech import cache_shown

    sys.exit(cache_shown.show(what, empty=clear))


@app.command
def recipes() -> None:
    """List the recipes that `train` takes."""
    from locution.vocabulary import show

    show.recipes()


@app.command
def methods() -> None:
    """List the methods that any recipe takes, and the seam of the loop that each one fills."""
    from locution.vocabulary import show

    show.methods()


@app.command
def terms(*, json: bool = False) -> None:
    """List the vocabulary.

    Parameters
    ----------
    json: print one JSON object with every term's definition, source and code.
    """
    from locution.vocabulary import show

    show.terms(as_json=json)


@app.command
def term(name: str, *, run: bool = False) -> None:
    """Show a term: what it is, an example, where it comes from and where it lives.

    Parameters
    ----------
    name: the term, in any of its spellings.
    run: run its example, and its recipe.
    """
    from locution.vocabulary import show

    show.term(name, run=run)


def spoken(words: Sequence[str]) -> list[str]:
    """Let `-sam` be an override and not an option: one dash and a word switches a method off.

    >>> spoken(["train", "digits", "-sam", "--resume", "-1"])
    ['train', 'digits', '~sam', '--resume', '-1']
    """
    return [f"~{word[1:]}" if SWITCH_OFF.match(word) else word for word in words]


def fail(message: str, code: int) -> int:
    """Say in one line what went wrong."""
    print(f"locution: {' '.join(message.split())}", file=sys.stderr)
    return code


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit code; every error is one line."""
    try:
        app(spoken(words), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return fail(str(error), 2)
    except LocutionError as error:
        return fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return fail("stopped by Ctrl-C.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        full = " Free some space, then go on with --resume." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return fail(f"{error.strerror or error}{place}.{full}", 1)
    except Exception as error:
        if os.environ.get("LOCUTION_DEBUG"):
            raise
        return fail(f"{type(error).__name__}: {error} (LOCUTION_DEBUG=1 shows where.)", 1)
    return 0


def main() -> None:
    """The command `locution`."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
