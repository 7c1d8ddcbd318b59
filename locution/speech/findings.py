"""What can be wrong with a clip: each kind of problem in words, found from what is known of the clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from locution.speech.labels import markers, probable_rates
from locution.speech.manifest import Clip
from locution.speech.normalise import normalise
from locution.speech.sources.found import listed

LONGEST = 30.0  # seconds that an encoder hears at once
PROBLEMS = {
    "missing": "sound file is missing",
    "broken": "sound file cannot be read",
    "rate": "sampling rate cannot be used",
    "silent": "no sound above -60 dB, but words",
    "long": "longer than 30 s",
    "empty": "nothing is said, says the label",
    "marker": "label with markers",
    "speed": "improbable characters a second",
    "duplicate": "same sound in two splits",
    "repeated": "same words by the same speaker in two splits",
    "line": "line that cannot be read",
}


@dataclass(frozen=True)
class Heard:
    """What was found when a sound file was opened: its length, a hash of its samples, and what is wrong with it."""

    seconds: float = 0.0
    digest: str = ""
    silent: bool = False
    problem: str = ""
    why: str = ""


@dataclass(frozen=True)
class Finding:
    """A finding is one thing that is wrong with one clip: which kind of problem, and the particulars."""

    row: int
    problem: str
    why: str


def about_labels(clips: Sequence[Clip], heard: Sequence[Heard]) -> list[Finding]:
    """Find empty labels, markers, and labels that cannot have been said in the time.

    A clip of the group "silence" is meant to have no label.

    >>> from pathlib import Path
    >>> clips = [Clip(Path("a.wav"), "<unk>"), Clip(Path("b.wav"), "hello " * 20)]
    >>> [(one.row, one.problem) for one in about_labels(clips, [Heard(1.0), Heard(1.0)])]
    [(0, 'empty'), (0, 'marker'), (1, 'speed')]
    """
    found = []
    rates = {
        row: len(normalise(clip.text)) / one.seconds
        for row, (clip, one) in enumerate(zip(clips, heard, strict=True))
        if one.seconds > 0 and normalise(clip.text) and not markers(clip.text)
    }
    low, high = probable_rates(list(rates.values()))
    for row, clip in enumerate(clips):
        marks = markers(clip.text)
        said = clip.text
        for mark in marks:
            said = said.replace(mark, " ")
        if not normalise(said) and clip.group != "silence":
            found.append(Finding(row, "empty", f"label {clip.text!r}"))
        if marks:
            found.append(Finding(row, "marker", listed(marks)))
        if row in rates and not low <= rates[row] <= high:
            found.append(Finding(row, "speed", f"{rates[row]:.1f} a second; probable here: {low:.1f} to {high:.1f}"))
    return found


def about_sound(clips: Sequence[Clip], heard: Sequence[Heard]) -> list[Finding]:
    """Find what opening the sound files found, clips over 30 s, and silence where words are said."""
    found = []
    for row, (clip, one) in enumerate(zip(clips, heard, strict=True)):
        if one.problem:
            found.append(Finding(row, one.problem, one.why))
        elif one.seconds > LONGEST:
            found.append(Finding(row, "long", f"{one.seconds:.1f} s"))
        if one.silent and normalise(clip.text):
            found.append(Finding(row, "silent", f"label {clip.text[:60]!r}"))
    return found


def about_splits(clips: Sequence[Clip], heard: Sequence[Heard]) -> list[Finding]:
    """Find sound, and words of one speaker, that are in two splits: what is judged on must not have been learnt from.

    The finding is about the clip that would be left out: that of "train", then that of "dev".

    >>> from pathlib import Path
    >>> clips = [Clip(Path(f"{n}.wav"), "Hi.", "ann", split=split) for n, split in enumerate(("train", "test"))]
    >>> [(one.row, one.problem) for one in about_splits(clips, [Heard(1.0, "x"), Heard(1.0, "y")])]
    [(0, 'repeated')]

    Reference: S. Kapoor, A. Narayanan, 2023, "Leakage and the reproducibility crisis in machine-learning-based
    science", table 1 (duplicates in both parts).
    """

    def words(row: int) -> Hashable:
        clip = clips[row]
        text = normalise(clip.text)
        return (clip.speaker, text) if clip.speaker and text else None

    found = across(clips, lambda row: heard[row].digest or None, "duplicate")
    same = {one.row for one in found}
    return found + [one for one in across(clips, words, "repeated") if one.row not in same]


def across(clips: Sequence[Clip], mark: Callable[[int], Hashable], problem: str) -> list[Finding]:
    """Find clips that bear the same mark as one of a later split, in the order train, dev, test."""
    order = {"train": 0, "dev": 1, "test": 2}
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, clip in enumerate(clips):
        if clip.split in order and (one := mark(row)) is not None:
            groups[one].append(row)
    found = []
    for rows in groups.values():
        kept = max(rows, key=lambda row: order[clips[row].split])
        others = [row for row in rows if clips[row].split != clips[kept].split]
        found += [Finding(row, problem, f"also {clips[kept].split}: {clips[kept].path}") for row in others]
    return sorted(found, key=lambda one: one.row)
