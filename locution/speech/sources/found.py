"""What a source of speech gives: clips, what was wrong on the way, and what a person should know of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from locution.errors import UserError
from locution.speech.manifest import Clip

SOUND = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".aif", ".aifc", ".au", ".wma", ".webm")
SPLIT_NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "development", "valid", "validation", "val", "eval", "evaluation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Found:
    """Clips as a source lists them, its form in words, and the lines that could not be read."""

    clips: tuple[Clip, ...]
    form: str
    wrong: tuple[str, ...] = ()


def split_named(name: str) -> str:
    """Say which split a name stands for: train, dev or test; nothing where it stands for none.

    >>> [split_named(name) for name in ("train-clean-100", "Validation", "test_other", "invalidated", "")]
    ['train', 'dev', 'test', '', '']
    """
    first = name.lower().replace("_", "-").replace(".", "-").split("-")[0]
    return next((split for split, names in SPLIT_NAMES.items() if first in names), "")


def sound_files(folder: Path) -> list[Path]:
    """List the sound files under a folder, hidden ones aside, in the order of their names."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(files) if name.lower().endswith(SOUND) and name[0] != "."]
    return found


def resolve(name: str, folder: Path, below: Sequence[str] = ("clips", "wavs", "wav", "audio")) -> Path:
    """Find the sound file that a list names: beside the list or in one of the usual folders, perhaps without ending.

    A file that is nowhere is named where it should have been: beside the list.
    """
    wanted = Path(name).expanduser()
    places = [folder / wanted, *(folder / under / wanted for under in below)]
    found = next((place for place in places if place.is_file()), None)
    if found is None and wanted.suffix.lower() not in SOUND:
        endings = (place.with_name(place.name + end) for place in places for end in SOUND)
        found = next((place for place in endings if place.is_file()), None)
    return found or places[0]


def read_text(path: Path) -> str:
    """Read a text file as UTF-8, or say in one line where it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; allowed: text in UTF-8.") from error


def listed(names: Iterable[object], most: int = 5) -> str:
    """Name a few of many.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    every = [str(name) for name in names]
    return ", ".join(every) if len(every) <= most else f"{', '.join(every[:most])} and {len(every) - most} more"
