"""Commands that train, judge and ask a run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def train(
    recipe: str = "",
    *overrides: Annotated[str, Parameter(allow_leading_hyphen=True)],
    resume: str = "",
    quiet: bool = False,
) -> None:
    """Train a recipe: locution train digits +sam +sam.rho=0.1 -clipping optimizer.lr=0.1

    Parameters
    ----------
    recipe
        a name that `locution recipes` lists, or a YAML file of your own.
    overrides
        key=value, +method, +method.setting=value, -method.
    resume
        a run folder to go on with, exactly where it was stopped.
    quiet
        print only the last lines.
    """
    from locution import runs

    if resume:
        words = [word for word in (recipe, *overrides) if word]
        if words:
            raise runs.resume_takes_no_words(words)
        runs.resume(resume, quiet=quiet)
    else:
        runs.train(recipe, *overrides, quiet=quiet)


def evaluate(run: str, *, against: str = "", json: bool = False) -> None:
    """Judge a run on data it never learnt from, every figure with its interval.

    Parameters
    ----------
    run
        a run folder, or a recipe's name for its newest run.
    against
        another run of speech: how far the two are apart, utterance by utterance, on the same test set.
    json
        print one JSON object instead of a table.
    """
    from locution import runs

    runs.Run.open(run).show_evaluation(against=against, as_json=json)


def predict(run: str, *inputs: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Predict with a run: locution predict runs/line/latest 10

    Parameters
    ----------
    run
        a run folder, or a recipe's name for its newest run.
    inputs
        numbers separated by commas, a .npy, .csv or .png file, or test:3 for an example of the test set; for a
        run on texts a text in quotes; on data of your own also pictures, a table of rows, or values by name:
        age=31,city=Bern.
    """
    from locution import runs

    for line in runs.Run.open(run).predict(inputs):
        print(line)
