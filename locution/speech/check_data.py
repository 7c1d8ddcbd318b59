"""Checking speech data before training: every clip is opened, every label read, and what is wrong is listed."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from locution.engine.durable import write_text
from locution.errors import LocutionError, UserError, require
from locution.speech.audio import RATES, read_audio
from locution.speech.findings import PROBLEMS, Finding, Heard, about_labels, about_sound, about_splits
from locution.speech.manifest import Clip
from locution.speech.sources import FORMS, read_source
from locution.speech.sources.found import Found, listed
from locution.speech.sources.hugging_face import HUB
from locution.speech.splits import SPLITS, divided

Told = Callable[[int, int], None]
DECODED = 120.0  # seconds up to which a file is decoded; a longer one is no clip, and is told apart by its bytes


@dataclass(frozen=True)
class Checked:
    """What a check found: the clips with their lengths and splits, what is wrong with which, how splits came about."""

    clips: tuple[Clip, ...]
    findings: tuple[Finding, ...]
    form: str
    splits: str
    lines: tuple[str, ...] = ()

    def left_out(self) -> dict[int, list[Finding]]:
        """Gather what is wrong by the number of the clip."""
        rows: dict[int, list[Finding]] = {}
        for finding in self.findings:
            rows.setdefault(finding.row, []).append(finding)
        return rows

    def clean(self) -> list[Clip]:
        """Give the clips with which nothing is wrong."""
        out = self.left_out()
        return [clip for row, clip in enumerate(self.clips) if row not in out]

    def counts(self) -> Counter[str]:
        """Count the problems of each kind."""
        return Counter(finding.problem for finding in self.findings) + Counter({"line": len(self.lines)})

    def summary(self) -> str:
        """Say in one line what was found, with the first few names.

        >>> checked = Checked((Clip(Path("a.wav"), "hi"),), (Finding(0, "missing", ""),), "table", "")
        >>> checked.summary()
        'sound file is missing (1: a.wav)'
        """
        parts = []
        for problem in self.counts():
            rows = [one.row for one in self.findings if one.problem == problem]
            names = [self.clips[row].path.name for row in rows] or self.lines
            parts.append(f"{PROBLEMS[problem]} ({len(names)}: {listed(names, 3)})")
        return "; ".join(parts)


def check_clips(found: Found, *, decode: bool = True, told: Told | None = None) -> Checked:
    """Checking data means to look at every example before anything is learnt from it; here at clips and their labels.

    Found are missing and broken files, sampling rates that cannot be used, silence under words, clips over 30 s,
    empty labels and labels with markers, improbable characters a second, and duplicates across splits. Without
    `decode` only the headers of the sound files are read, so damage inside them, silence and equal sound stay unseen.
    `told` hears (files done, of how many).

    >>> found = Found((Clip(Path("/no/a.wav"), "[noise]"),), "table")
    >>> sorted(check_clips(found).counts())
    ['empty', 'marker', 'missing']

    Reference: N. Sambasivan et al., 2021, "Everyone wants to do the model work, not the data work: data cascades in
    high-stakes AI", section 5.
    """
    paths = [clip.path for clip in found.clips]
    heard: list[Heard] = []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 2)) as pool:
        for one in pool.map(lambda path: hear(path, decode=decode), paths):
            heard.append(one)
            if told is not None:
                told(len(heard), len(paths))
    clips = [replace(clip, seconds=one.seconds or clip.seconds) for clip, one in zip(found.clips, heard, strict=True)]
    how = "the splits are those of the data" if all(clip.split for clip in clips) else ""
    if len(clips) >= len(SPLITS) and any(clip.split in ("", "train") for clip in clips):
        clips, how = divided(clips)
    checks = (about_sound, about_labels, about_splits)
    findings = sorted((one for check in checks for one in check(clips, heard)), key=lambda one: one.row)
    return Checked(tuple(clips), tuple(findings), found.form, how, found.wrong)


def hear(path: Path, *, decode: bool = True) -> Heard:
    """Open a sound file and say what is in it; with `decode` go through every sample."""
    if not path.exists():
        return Heard(problem="missing", why="no such file")
    try:
        rate, seconds = header(path)
        if rate and not RATES[0] <= rate <= RATES[1]:
            return Heard(problem="rate", why=f"{rate} samples a second; allowed: {RATES[0]} to {RATES[1]}")
        if seconds > DECODED or (seconds and not decode):
            return Heard(seconds, _digest(path.read_bytes()) if decode and seconds < 3600 else "")
        audio = read_audio(path)
    except (LocutionError, OSError) as error:
        return Heard(problem="broken", why=" ".join(str(error).removeprefix(f"{path}: ").split()))
    return Heard(audio.seconds, _digest((audio.samples * 32767).astype(np.int16).tobytes()), audio.silent)


def header(path: Path) -> tuple[int, float]:
    """Read the sampling rate and the length in seconds from a file's header; zeros where only decoding can tell."""
    import soundfile

    try:
        facts = soundfile.info(str(path))
    except (soundfile.SoundFileError, TypeError, ValueError):
        return 0, 0.0
    return int(facts.samplerate), float(facts.duration) if facts.frames < 2**40 else 0.0


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def usable(where: str, found: Found, *, go_on: bool, told: Told | None, say: Callable[[str], None]) -> list[Clip]:
    """Give the clips of one's own data that can be trained on, each with its split, and say what is left out.

    Clips over 30 s are left out, for a clip that is cut no longer says all of its label. Any other problem raises one
    UserError, or with `go_on` leaves its clip out as well.
    """
    checked = check_clips(found, decode=False, told=told)
    long = {one.row for one in checked.findings if one.problem == "long"}
    harmful = {one.row for one in checked.findings} - long
    if (harmful or checked.lines) and not go_on:
        many = len(harmful) + len(checked.lines)
        raise UserError(
            f"{where}: {many} of {len(checked.clips) + len(checked.lines)} clips have problems: {checked.summary()}. "
            f"locution check-data {where} --clean OUT.jsonl lists them and writes down the rest; "
            "data.allow_missing=true goes on without them."
        )
    clips = checked.clean()
    hours = sum(clip.seconds for clip in clips) / 3600
    say(f"{where}: {checked.form}, {len(clips):,} clips, {hours:.2f} hours")
    numbers = ", ".join(f"{split} {sum(clip.split == split for clip in clips):,}" for split in SPLITS)
    say(f"{checked.splits or 'too few clips to split'}: {numbers}")
    if checked.counts():
        say(f"left out: {checked.summary()}")
    return clips


def check_data(where: str, clean: str = "", told: Told | None = None) -> Checked:
    """Check data of any form that `train` takes; with `clean`, write a manifest of what is good and one of the rest."""
    if where.startswith(HUB):
        raise UserError(f"{where} is streamed and cannot be checked; save it to disk first. Allowed: {FORMS}.")
    out = Path(clean).expanduser()
    if clean:
        require(out.suffix == ".jsonl", "--clean", clean, "a file that ends in .jsonl")
        source = Path(where).expanduser().resolve()
        taken = out.resolve() in (source, source / out.name) and out.exists()
        require(not taken, "--clean", clean, "another file than the data's own list")
    checked = check_clips(read_source(where, told), told=told)
    if clean:
        write_clean(checked, out)
    return checked


def write_clean(checked: Checked, out: Path) -> None:
    """Write the clips without problems as a manifest, and beside it what was left out and why."""
    kept = [_entry(clip, out.parent) for clip in checked.clean()]
    rest: list[dict[str, Any]] = []
    for row, findings in checked.left_out().items():
        why = [f"{PROBLEMS[one.problem]}: {one.why}" for one in findings]
        rest.append(_entry(checked.clips[row], out.parent) | {"why": why})
    rest += [{"line": line, "why": [PROBLEMS["line"]]} for line in checked.lines]
    for path, entries in ((out, kept), (left_out_beside(out), rest)):
        write_text(path, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))


def left_out_beside(out: Path) -> Path:
    """Name the file of what was left out.

    >>> left_out_beside(Path("clean.jsonl")).name
    'clean.left_out.jsonl'
    """
    return out.with_suffix(".left_out.jsonl")


def _entry(clip: Clip, folder: Path) -> dict[str, Any]:
    place, home = clip.path.absolute(), folder.absolute()
    name = place.relative_to(home) if place.is_relative_to(home) else place
    return asdict(clip) | {"path": name.as_posix()}


def problems_of(checked: Checked, problem: str) -> Sequence[str]:
    """List what a kind of problem was found in, a line each."""
    if problem == "line":
        return checked.lines
    return [f"{checked.clips[one.row].path}: {one.why}" for one in checked.findings if one.problem == problem]
