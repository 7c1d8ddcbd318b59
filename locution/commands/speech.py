"""Commands about speech: writing it down, checking it, and what is kept of it."""

from __future__ import annotations

import sys


def transcribe(
    run: str,
    *files: str,
    format: str = "",
    output: str = "",
    stream: bool = False,
    microphone: bool = False,
    hotwords: str = "",
    hotwords_in: str = "bias",
    ctc_head: str = "",
    json: bool = False,
) -> None:
    """Write down what is said in audio files of any length, or into the microphone.

    Parameters
    ----------
    run
        a run folder of a speech recipe, or the recipe's name for its newest run.
    files
        audio files or films, or folders of them.
    format
        text, json, srt, vtt or tsv, with times.
    output
        a folder to write one file a recording to.
    stream
        print words as they are written.
    microphone
        listen until Ctrl-C.
    hotwords
        words or names to expect, parted by commas.
    hotwords_in
        how they are told: bias leans towards their letters; prompt, or both, says them to a model that chats,
        whose prompt is then no longer the one of training.
    ctc_head
        a run of speech/ctc_head, for word times where the encoder does not spell.
    json
        print one JSON object a file, as --format json does.
    """
    from locution import runs

    wishes = {"form": format, "output": output, "stream": stream, "microphone": microphone, "hotwords": hotwords}
    wishes |= {"hotwords_in": hotwords_in, "ctc_head": ctc_head}
    sys.exit(runs.Run.open(run).transcribe(files, as_json=json, **wishes))


def check_data(path: str, *, clean: str = "", quiet: bool = False) -> None:
    """Look for what is wrong with speech data before training; exit code 0 where nothing is, else 1.

    Parameters
    ----------
    path
        a folder of recordings, a CSV, TSV or JSONL file, or a dataset saved to disk: whatever data=PATH takes.
    clean
        a .jsonl file to write the good clips to, ready for data=; what is left out, and why, goes beside it.
    quiet
        show no progress.
    """
    from locution.speech import check_data_shown

    sys.exit(check_data_shown.show(path, clean, quiet=quiet))


def cache(what: str = "", *, clear: bool = False) -> None:
    """Show what is kept to be used again (encoders' frames, synthetic speech), or clear it.

    Parameters
    ----------
    what
        a kind (frames, corpus, spoken, imported) or a key; everything if it is not given.
    clear
        remove it; what a process is using stays, and makes the exit code 1.
    """
    from locution.speech import cache_shown

    sys.exit(cache_shown.show(what, empty=clear))
