"""What lies in the cache: listed, and cleared without taking anything away from a process that uses it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from locution.errors import unknown
from locution.reporting.units import duration, memory
from locution.speech.cache import INDEX, cache_folder
from locution.speech.kept import USED, remove, sweep
from locution.speech.manifest import MANIFEST

KINDS = {
    "frames": "an encoder's frames",
    "corpus": "synthetic speech, sound files",
    "spoken": "synthetic speech, spectrograms",
    "imported": "sound of a dataset of Hugging Face",
}


@dataclass(frozen=True)
class Entry:
    """One thing that is kept: its kind and key, what it is in words, its size in bytes, when it was last used."""

    kind: str
    key: str
    what: str
    size: int
    used: float
    path: Path


def entries(folder: Path | None = None) -> list[Entry]:
    """List what the cache keeps, the longest unused first; folders of other kinds are listed by their name alone.

    >>> import tempfile
    >>> from locution.speech.kept import keep_folder
    >>> with tempfile.TemporaryDirectory() as home:
    ...     kept = keep_folder(Path(home, "corpus", "ab12"), lambda place: None)
    ...     [(entry.kind, entry.key) for entry in entries(Path(home))]
    [('corpus', 'ab12')]
    """
    home = folder or cache_folder()
    found = []
    for kind in sorted(os.listdir(home)) if home.is_dir() else []:
        if not (home / kind).is_dir() or kind.startswith("."):
            continue
        for place in sorted((home / kind).iterdir()):
            if place.is_dir() and not place.name.startswith("."):
                with suppress(OSError):  # removed by another process meanwhile
                    mark = place / USED
                    used = (mark if mark.exists() else place).stat().st_mtime
                    found.append(Entry(kind, place.name, describe(kind, place), weight(place), used, place))
    return sorted(found, key=lambda entry: entry.used)


def weight(folder: Path) -> int:
    """Count the bytes of all files in a folder."""
    return sum(os.lstat(Path(place, name)).st_size for place, _, files in os.walk(folder) for name in files)


def describe(kind: str, place: Path) -> str:
    """Say in words what a kept folder holds; as much as its own description tells."""
    words = KINDS.get(kind, "")
    with suppress(OSError, ValueError, KeyError, TypeError):
        if kind == "frames":
            index = json.loads((place / INDEX).read_text(encoding="utf-8"))
            about = f" of {index['about']}" if index.get("about") else ""
            return f"{words}{about}: {len(index['places']):,} clips, {index['width']} wide"
        if kind == "spoken":
            held = json.loads((place / "settings.json").read_text(encoding="utf-8"))
            return f"{words}: {held['utterances']:,} to {held['split']}, {', '.join(held['kinds'] or ['all kinds'])}"
        with open(place / MANIFEST, "rb") as file:
            return f"{words}: {sum(1 for _ in file):,} clips"
    return words or "of another kind"


def clear(wanted: str = "", folder: Path | None = None) -> tuple[list[Entry], list[Entry]]:
    """Remove what is kept, all of it or one kind or one key; return what was removed and what is in use and stays.

    `wanted`: a kind, or the beginning of a key that only one entry has. What is being written stays, and what killed
    writers left goes. Raises UserError for a name that is neither.
    """
    home = folder or cache_folder()
    every = entries(home)
    chosen = meant(every, wanted)
    gone = [entry for entry in chosen if remove(entry.path)]
    for kind in {entry.kind for entry in every} | set(KINDS):
        sweep(home / kind)
    return gone, [entry for entry in chosen if entry not in gone]


def meant(every: Sequence[Entry], wanted: str) -> list[Entry]:
    """Choose the entries of a kind, or the one whose key begins so, or all; refuse a name that is neither."""
    if not wanted or wanted in KINDS or any(entry.kind == wanted for entry in every):
        return [entry for entry in every if not wanted or entry.kind == wanted]
    chosen = [entry for entry in every if entry.key.startswith(wanted)]
    if len(chosen) != 1:
        raise unknown("kind or key of the cache", wanted, KINDS)
    return chosen


def show(wanted: str = "", *, empty: bool = False, console: Console | None = None) -> int:
    """Print what the cache holds, all of it or one kind, or with `empty` clear it; return the exit code."""
    console, home = console or Console(), cache_folder()
    if not empty:
        every = meant(entries(home), wanted)
        if every:
            console.print(table(every))
        total = sum(entry.size for entry in every)
        left = f", {memory(shutil.disk_usage(home).free)} free" if home.is_dir() else ""
        say(console, f"{home}: {len(every)} entries, {memory(total)}{left}")
        return 0
    gone, stay = clear(wanted, home)
    say(console, f"{home}: {len(gone)} entries cleared, {memory(sum(entry.size for entry in gone))}")
    for entry in stay:
        say(console, f"{entry.kind} {entry.key} is in use by a process and stays")
    return int(bool(stay))


def say(console: Console, line: str) -> None:
    """Print a line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def table(found: Sequence[Entry]) -> Table:
    """Put entries into a table."""
    shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("kind", "key", "what it is"):
        shown.add_column(name, overflow="fold", no_wrap=name != "what it is")
    shown.add_column("size", justify="right", no_wrap=True)
    shown.add_column("last used", no_wrap=True)
    for entry in found:
        used = f"{duration(max(0.0, time.time() - entry.used))} ago"
        shown.add_row(Text(entry.kind, style="bold"), entry.key[:10], entry.what, memory(entry.size), used)
    return shown
