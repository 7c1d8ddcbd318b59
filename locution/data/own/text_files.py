"""Where one's own texts are: a table with a column of texts, or a folder of text files for each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from locution.data.own.parts import given_parts, named, part_named, plural
from locution.data.own.picture_files import folders, walk
from locution.data.own.records import Records, column, read_records
from locution.data.own.words import TEXT_COLUMNS, read_text
from locution.errors import UserError

TARGETS = ("label", "target", "class", "category", "sentiment", "topic", "score")
LAID_OUT = "a CSV, TSV, Parquet or JSON-lines file, or a folder with a folder of .txt files for each class"


@dataclass(frozen=True)
class Rows:
    """Texts that are there to be learnt from, each with its target as it is written, and its part, if that is given.

    `text` and `target` are the names of the columns; `said` is what was passed over, a line each.
    """

    texts: list[str]
    targets: list[str]
    parts: list[str | None]
    text: str = "text"
    target: str = "label"
    said: tuple[str, ...] = ()

    def take(self, rows: list[int]) -> Rows:
        """Take some rows."""
        texts, targets = [self.texts[row] for row in rows], [self.targets[row] for row in rows]
        return Rows(texts, targets, [self.parts[row] for row in rows], self.text, self.target, self.said)


def find_texts(path: Path, text: str, target: str) -> Rows:
    """Read the texts of a table or of a folder; raises UserError, in one line, where there are none."""
    if not path.exists():
        raise UserError(f"data.path is '{path}', which is not there; allowed: {LAID_OUT}.")
    return from_folder(path) if path.is_dir() else from_table(path, text, target)


def from_table(path: Path, text: str, target: str) -> Rows:
    """Read a column of texts and a column of targets."""
    records = read_records(path)
    answered = column(records, target, TARGETS, "target")
    told = text_column(records, text, answered)
    if told == answered:
        raise UserError(f"text and target are both '{told}'; allowed: two columns.")
    chosen = "" if text and target else f"text is the column '{told}', target the column '{answered}'."
    said = (*records.said, chosen) if chosen else records.said
    return Rows(records.columns[told], records.columns[answered], given_parts(records), told, answered, said)


def text_column(records: Records, asked: str, target: str) -> str:
    """Find the column of texts: the one that is asked for, one of a usual name, or the one of the longest cells.

    >>> text_column(Records("a.csv", {"id": ["1"], "words": ["a long text"], "mood": ["good"]}), "", "mood")
    'words'
    """
    usual = {name.strip().lower() for name in records.columns} & set(TEXT_COLUMNS)
    if asked or usual:
        return column(records, asked, TEXT_COLUMNS, "text")
    others = [name for name in records.columns if name not in (target, "split")]
    if not others:
        raise UserError(f"{records.where} has no column beside '{target}'; allowed: also a column of texts.")
    return max(others, key=lambda name: sum(len(cell) for cell in records.columns[name]))


def from_folder(path: Path) -> Rows:
    """Read a folder of text files for each class, or parts that hold those."""
    parts = {folder: part_named(folder.name) for folder in folders(path)}
    given = "train" in parts.values()
    places = [(folder, part) for folder, part in parts.items() if part] if given else [(path, None)]
    texts, targets, found, others, empty = [], [], [], 0, []
    for place, part in places:
        for folder in folders(place):
            files = list(walk(folder))
            chosen = [file for file in files if file.suffix.lower() == ".txt"]
            others += len(files) - len(chosen)
            if not chosen:
                empty.append(folder.name)
            texts += [read_text(file) for file in chosen]
            targets += [folder.name] * len(chosen)
            found += [part] * len(chosen)
    if not texts:
        raise UserError(f"'{path}' holds no texts; allowed: {LAID_OUT}.")
    said = [f"{named(empty)}: no .txt files, no class."] if empty else []
    if others:
        said.append(f"{plural(others, 'file')} of other kinds passed over.")
    return Rows(texts, targets, found, "text", "the class", tuple(said))
