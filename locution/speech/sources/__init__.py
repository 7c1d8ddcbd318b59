"""Where speech comes from: a folder, a table, LibriSpeech's layout, a Hugging Face dataset; told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from locution.errors import UserError
from locution.speech.manifest import MANIFEST
from locution.speech.sources.folder import LISTS, read_list, read_pairs
from locution.speech.sources.found import Found, listed, split_named
from locution.speech.sources.hugging_face import HUB, read_saved, saved
from locution.speech.sources.librispeech import ENDING, read_librispeech
from locution.speech.sources.table import TABLES, read_table

FORMS = (
    f"a folder with {MANIFEST}, a table or transcripts; a CSV, TSV or JSONL file; LibriSpeech's layout; "
    f"a dataset saved to disk; {HUB}NAME"
)


def read_source(where: str | Path, told: Callable[[int, int], None] | None = None) -> Found:
    """Own data are recordings with transcripts in whatever form they lie on the disk; here they are found and listed.

    `where`: a folder or a file. Tried in this order: `manifest.jsonl`, a Hugging Face dataset saved to disk,
    LibriSpeech's layout, tables (CSV, TSV, JSON lines; those named train, dev and test go together), a list of
    transcripts, and a text beside each recording. Raises UserError where nothing of it is there.

    >>> read_source("/nowhere")
    Traceback (most recent call last):
    locution.errors.UserError: there is no /nowhere; allowed: a folder with manifest.jsonl, a table or transcripts; ...

    Reference: O. Kuchaiev et al., 2019, "NeMo: a toolkit for building AI applications using neural modules" (lists of
    recordings as the common form).
    """
    path = Path(where).expanduser()
    if path.is_file():
        return _read_file(path)
    if not path.is_dir():
        raise UserError(f"there is no {where}; allowed: {FORMS}.")
    if (path / MANIFEST).is_file():
        return read_table(path / MANIFEST)
    if saved(path):
        return read_saved(path, told)
    if next(path.rglob(f"*{ENDING}"), None) is not None:
        return read_librispeech(path)
    if chosen := tables_of(path):
        parts = [_read_file(table) for table in chosen]
        names = [f"{table.name}, " if len(chosen) > 1 else "" for table in chosen]
        wrong = [name + line for name, part in zip(names, parts, strict=True) for line in part.wrong]
        return Found(tuple(clip for part in parts for clip in part.clips), parts[0].form, tuple(wrong))
    for name in LISTS:
        if (path / name).is_file():
            return read_list(path / name)
    return read_pairs(path)


def tables_of(folder: Path) -> list[Path]:
    """Choose the tables of a folder: those named after splits, else metadata.*, else the only one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for name in ("train.tsv", "test.tsv", "invalidated.tsv"):
    ...         Path(home, name).touch()
    ...     [table.name for table in tables_of(Path(home))]
    ['test.tsv', 'train.tsv']
    """
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    named = [path for path in tables if split_named(path.stem)]
    usual = [path for path in tables if path.stem == "metadata"]
    chosen = named or usual[:1] or tables
    if len(chosen) > 1 and not named:
        names = listed(path.name for path in chosen)
        raise UserError(f"{folder}: holds {len(chosen)} tables ({names}); allowed: one, or the path of one.")
    return chosen


def _read_file(path: Path) -> Found:
    if path.suffix.lower() in TABLES:
        if path.suffix.lower() == ".csv" and _bare(path):
            return read_list(path)
        return read_table(path)
    if path.name.endswith(ENDING):
        return read_librispeech(path.parent)
    if path.suffix.lower() in (".txt", ""):
        return read_list(path)
    raise UserError(f"{path} is no list of recordings; allowed: {FORMS}.")


def _bare(path: Path) -> bool:
    """Say whether a .csv is a list without a line of names, its fields parted by bars (LJ Speech's own form)."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().lower()
    return "|" in first and not {"path", "file", "file_name", "audio", "text"} & set(first.strip().split("|"))
