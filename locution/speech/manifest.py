"""A manifest: a list of sound files, what each says and who says it, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from locution.errors import UserError

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip is one sound file with its transcript; speaker, seconds and split where they are known.

    `group` names the test set or the condition that results are broken down by, such as "everyday 10 dB".

    >>> Clip(Path("a.flac"), "hello").split
    ''
    """

    path: Path
    text: str
    speaker: str = ""
    seconds: float = 0.0
    split: str = ""
    group: str = ""


def write_manifest(path: Path, clips: Sequence[Clip]) -> None:
    """Write clips as JSON lines, their paths relative to the manifest's folder where they lie under it."""
    lines = []
    for clip in clips:
        inside = clip.path.is_relative_to(path.parent)
        place = clip.path.relative_to(path.parent) if inside else clip.path.absolute()
        lines.append(json.dumps(asdict(clip) | {"path": place.as_posix()}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def read_manifest(path: str | Path, *, allow_missing: bool = False) -> list[Clip]:
    """A speech manifest lists sound files and what is said in each, one JSON object a line.

    Each line has `path` and `text`, perhaps `speaker`, `seconds`, `split` and `group`. `path`: the manifest, or a
    folder with `manifest.jsonl`; sound files are named relative to it. Raises one UserError that lists
    every bad line, or every sound file that is missing; with `allow_missing` the clips whose files are
    there are returned.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.flac").write_bytes(b"")
    ...     _ = Path(folder, "manifest.jsonl").write_text('{"path": "a.flac", "text": "hello"}\\n')
    ...     [clip.text for clip in read_manifest(folder)]
    ['hello']

    Reference: Kuchaiev et al., 2019, "NeMo: a toolkit for building AI applications using neural modules"
    (lists of this form).
    """
    path = Path(path)
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path}: no such manifest; allowed: a file of JSON lines, or a folder with {MANIFEST}.")
    clips, wrong = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            if line.strip():
                clips.append(parse(json.loads(line), path.parent))
        except (ValueError, TypeError) as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        raise UserError(f"{path}: {len(wrong)} bad lines: {'; '.join(wrong)}.")
    missing = [clip for clip in clips if not clip.path.is_file()]
    there = [clip for clip in clips if clip.path.is_file()] if missing else clips
    if missing and not allow_missing:
        names = ", ".join(str(clip.path) for clip in missing)
        raise UserError(f"{path}: {len(missing)} of {len(clips)} files are missing: {names}.")
    if not there:
        raise UserError(f"{path}: lists no sound file that is there; allowed: at least one.")
    return there


def parse(entry: Any, folder: Path) -> Clip:
    """Check one line of a manifest and make a clip of it."""
    if not isinstance(entry, dict):
        raise TypeError(f"is {type(entry).__name__}; allowed: an object with path and text")
    for name in ("path", "text"):
        if not isinstance(entry.get(name), str) or (name == "path" and not entry[name]):
            raise TypeError(f"{name} is {entry.get(name)!r}; allowed: a string")
    seconds = entry.get("seconds", 0.0)
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise TypeError(f"seconds is {seconds!r}; allowed: a number")
    speaker, split, group = (str(entry.get(name, "")) for name in ("speaker", "split", "group"))
    return Clip(folder / entry["path"], entry["text"], speaker, float(seconds), split, group)
