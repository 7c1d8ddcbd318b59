"""Lists of recordings: CSV, TSV and JSON lines, their columns found by their usual names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from locution.errors import UserError, nearest
from locution.speech.manifest import Clip
from locution.speech.sources.found import Found, read_text, resolve, split_named

COLUMNS = {
    "path": ("path", "file", "audio", "audio_filepath", "audio_path", "audio_file", "file_name", "filename", "wav"),
    "text": ("text", "sentence", "transcript", "transcription", "normalized_text", "normalised_text"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "spk_id", "reader"),
    "split": ("split", "subset", "partition"),
    "seconds": ("seconds", "duration"),
    "group": ("group",),
}
NEEDED = {"path": "which file it is", "text": "what is said"}
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")


def columns(names: Iterable[str], where: str) -> dict[str, str]:
    """Sniff which column is which by its name: the first usual name that is there.

    >>> columns(["client_id", "path", "sentence", "age"], "clips.tsv")
    {'path': 'path', 'text': 'sentence', 'speaker': 'client_id'}
    >>> columns(["path", "sentense"], "clips.tsv")
    Traceback (most recent call last):
    locution.errors.UserError: clips.tsv: no column says what is said; it has path, sentense (sentence?); allowed: ...
    """
    spelt = {name.strip().lower(): name for name in names if name}
    found = {}
    for kind, usual in COLUMNS.items():
        name = next((spelt[one] for one in usual if one in spelt), None)
        if name is not None:
            found[kind] = name
        elif kind in NEEDED:
            hint = {one: near for one in spelt if (near := nearest(one, usual))}
            has = ", ".join(f"{one} ({hint[one]}?)" if one in hint else one for one in spelt) or "none"
            allowed = ", ".join(usual)
            raise UserError(f"{where}: no column says {NEEDED[kind]}; it has {has}; allowed: {allowed}.")
    return found


def read_table(path: Path) -> Found:
    """A table of recordings has a line for each: which file it is, what is said, perhaps the speaker and the split.

    CSV and TSV begin with a line that names the columns; JSON lines name them in every line. Sound files are looked
    for beside the table, and in folders called clips, wavs or audio. Lines that cannot be read are listed in `wrong`.
    Where the table names no split, its own name may: train.tsv, test.csv.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "train.csv").write_text('file,sentence,reader\\na.wav,"hello, you",ann\\n')
    ...     clip = read_table(Path(folder, "train.csv")).clips[0]
    >>> clip.path.name, clip.text, clip.speaker, clip.split
    ('a.wav', 'hello, you', 'ann', 'train')

    Reference: R. Ardila et al., 2020, "Common Voice: a massively-multilingual speech corpus", section 3 (such a table).
    """
    lines = _json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else _rows(path)
    clips, wrong = [], []
    known: dict[tuple[str, ...], dict[str, str]] = {}
    for number, entry in lines:
        try:
            if isinstance(entry, str):
                raise ValueError(entry)
            if tuple(entry) not in known:
                known[tuple(entry)] = columns(entry, f"{path}, line {number}")
            clips.append(clip_of(entry, known[tuple(entry)], path))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
        except UserError as error:
            if not known:  # from the first line on: the whole table is meant
                raise
            wrong.append(str(error).removeprefix(f"{path}, ").rstrip("."))
    if not clips and not wrong:
        raise UserError(f"{path}: lists nothing; allowed: a line for each recording.")
    return Found(tuple(clips), f"{path.suffix[1:].upper()} table", tuple(wrong))


def clip_of(entry: Mapping[str, Any], names: Mapping[str, str], path: Path) -> Clip:
    """Make a clip of one line, whose columns are known by now."""
    got = {kind: entry.get(name) for kind, name in names.items()}
    sound, text = got["path"], got["text"]
    sound = sound.get("path") if isinstance(sound, Mapping) else sound
    if not isinstance(sound, str) or not sound.strip():
        raise ValueError(f"{names['path']} is {sound!r}; allowed: the name of a sound file")
    if not isinstance(text, str):
        raise ValueError(f"{names['text']} is {text!r}; allowed: text")
    if entry.get("offset"):
        raise ValueError(f"offset is {entry['offset']!r}; allowed: whole files, cut beforehand")
    seconds = got.get("seconds") or 0.0
    try:
        length = 0.0 if isinstance(seconds, bool) else float(seconds)
    except (TypeError, ValueError):
        length = -1.0
    if not 0 <= length < float("inf"):
        raise ValueError(f"{names['seconds']} is {seconds!r}; allowed: a number from 0")
    speaker, split, group = (str(got.get(kind) or "") for kind in ("speaker", "split", "group"))
    split = (split_named(split) or split) if split else split_named(path.stem)
    return Clip(resolve(sound.strip(), path.parent), text.strip(), speaker, length, split, group)


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                entry = str(error) or "is no JSON"
            yield number, entry if isinstance(entry, (dict, str)) else f"is {type(entry).__name__}; allowed: an object"


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Read CSV by whichever of , ; | and tab the first line holds most of; in TSV quotation marks are letters."""
    text = read_text(path)
    first = text.partition("\n")[0]
    tabbed = path.suffix.lower() == ".tsv"
    delimiter = "\t" if tabbed else max(",;|\t", key=first.count)
    lines = io.StringIO(text, newline="")
    if tabbed:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(lines, delimiter=delimiter)
    header = next(rows, [])
    columns(header, str(path))
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:  # a field beyond reason, a bare zero byte
            yield rows.line_num, f"cannot be read ({error})"
            continue
        if any(row):
            many = f"has {len(row)} fields; allowed: {len(header)}, as the first line has"
            yield rows.line_num, dict(zip(header, row, strict=True)) if len(row) == len(header) else many
