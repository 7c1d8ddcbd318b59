"""Tables from files: CSV and its kin with Python's own reader, Parquet through pyarrow (extra `tables`)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from locution.data.tables.values import number
from locution.errors import LocutionError, UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
TEXT, PARQUET = (".csv", ".tsv", ".tab", ".txt"), (".parquet", ".pq")
LONGEST_CELL = 2**24


@dataclass
class RawTable:
    """A table as its file has it: columns by name, each a list of texts without spaces around, "" where nothing is.

    `where` is the file's name; `said` tells how it was read; `rows` are the places of the rows in the file, from 1.

    >>> len(RawTable({"age": ["31", ""], "city": ["Bern", "Rome"]}))
    2
    """

    columns: dict[str, list[str]]
    where: str = "the table"
    said: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = self.rows or list(range(1, len(self) + 1))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def take(self, rows: list[int]) -> RawTable:
        """Take some rows."""
        taken = {name: [cells[row] for row in rows] for name, cells in self.columns.items()}
        return RawTable(taken, self.where, self.said, [self.rows[row] for row in rows])


def read_table(path: str | Path, separator: str = "") -> RawTable:
    """Read a table from a CSV, TSV or Parquet file; what separates the cells is found out where it is not said.

    Bytes that are no UTF-8 are read as Windows-1252, and that is said. Errors: UserError, in one line, for a file that
    is not there, is empty, has no line of names, names a column twice, has a line of another length, or a quote that
    is never closed.
    """
    place = Path(path)
    kind = place.suffix.lower()
    if place.is_dir() or kind not in (*TEXT, *PARQUET):
        raise UserError(f"{place.name} is no table; allowed: a file that ends in {', '.join((*TEXT, *PARQUET))}.")
    if not place.is_file():
        raise UserError(f"there is no file {place}; allowed: a CSV, TSV or Parquet file that is there.")
    if kind in PARQUET:
        return read_parquet(place)
    text, said = decoded(place.read_bytes(), place.name)
    table = parse(text, place.name, separator)
    table.said = [*said, *table.said]
    return table


def decoded(data: bytes, where: str) -> tuple[str, list[str]]:
    """Turn bytes into text; a byte order mark in front says how."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    coding = next((name for mark, name in marks if data.startswith(mark)), "utf-8")
    try:
        text, said = data.decode(coding), []
    except UnicodeDecodeError as error:
        if coding == "utf-16":
            raise UserError(f"{where} begins as UTF-16 and is none; allowed: UTF-8 text.") from error
        text, said = data.decode("cp1252", errors="replace"), ["no UTF-8, read as Windows-1252"]
    if "\0" in text:
        raise UserError(f"{where} holds zero bytes, which no text does; allowed: a table as text.")
    return text.removeprefix("\ufeff"), said


def parse(text: str, where: str, separator: str = "") -> RawTable:
    """Cut a text into rows and cells; the first line names the columns.

    >>> parse("age;city\\n31;Bern\\n;'Rome'\\n", "people.csv").columns
    {'age': ['31', ''], 'city': ['Bern', "'Rome'"]}
    """
    if not text.strip():
        raise UserError(f"{where} is empty; allowed: a first line of column names, and rows below it.")
    chosen = separator or find_separator(text)
    lines = rows_of(text, chosen, where)
    if not lines:
        raise UserError(f"{where} is empty; allowed: a first line of column names, and rows below it.")
    names = header(lines[0][1], where, chosen)
    if len(lines) == 1:
        raise UserError(f"{where} has a line of names and no row below it; allowed: at least one row.")
    cells = []
    for line, row in lines[1:]:
        extra = row[len(names) :]
        if len(row) < len(names) or any(extra):
            came = f"line {line} of {where} has {len(row)} cells"
            raise UserError(f"{came} and the line of names {len(names)}; allowed: the same number in each line.")
        cells.append(row[: len(names)])
    columns = {name: [row[at] for row in cells] for at, name in enumerate(names)}
    return RawTable(columns, where, [f"separated by {SEPARATORS.get(chosen, repr(chosen))}"])


def find_separator(text: str) -> str:
    """Find what separates the cells: what cuts the first lines into the same number of cells, the most of them.

    >>> find_separator("a;b\\n1,5;2\\n3,5;4\\n"), find_separator("name\\nAnn\\n")
    (';', ',')
    """
    best = (0.0, 0, ",")
    for rank, separator in enumerate(SEPARATORS):
        reader = csv.reader(io.StringIO(text[:100_000]), delimiter=separator, skipinitialspace=True)
        widths = []
        try:
            for row in reader:
                widths += [len(row)] if row else []
                if len(widths) == 50:
                    break
        except csv.Error:
            pass
        if widths and widths[0] > 1:
            same = sum(width == widths[0] for width in widths) / len(widths)
            best = max(best, (same, widths[0] - rank, separator), key=lambda one: one[:2])
    return best[2]


def rows_of(text: str, separator: str, where: str) -> list[tuple[int, list[str]]]:
    """Read all rows with the line that each ends on; lines without anything in them are left out."""
    if len(separator) != 1:
        raise UserError(f"data.separator is {separator!r}; allowed: one letter, such as ';', or nothing to find it.")
    before = csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    found = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) or len(cells) > 1:
                found.append((reader.line_num, cells))
    except csv.Error as error:
        said = "a quote is never closed" if "unexpected end" in str(error) else str(error)
        raise UserError(f"line {reader.line_num} of {where} cannot be read: {said}.") from error
    finally:
        csv.field_size_limit(before)
    return found


def header(names: list[str], where: str, separator: str) -> list[str]:
    """Check the names of the columns; those without one are called by their place."""
    named = [name or f"column_{at}" for at, name in enumerate(names, 1)]
    if all(number(name) is not None for name in named):
        raise UserError(f"line 1 of {where} holds numbers alone; allowed: a first line that names the columns.")
    twice = sorted(name for name, count in Counter(named).items() if count > 1)
    if twice:
        raise UserError(f"{where} names the column '{twice[0]}' twice; allowed: each name once.")
    return named


def read_parquet(place: Path) -> RawTable:
    """Read a Parquet file through pyarrow, each cell as it would stand in a CSV file."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UserError(f"{place.name} needs pyarrow to be read; install: pip install 'locution[tables]'") from error
    try:
        found = parquet.read_table(place)
    except (ArrowException, OSError) as error:
        raise LocutionError(f"{place.name} cannot be read: {' '.join(str(error).split())[:200]}") from error
    names = [str(name) for name in found.column_names]
    if not names or not found.num_rows:
        raise UserError(f"{place.name} is empty; allowed: a table with at least one row.")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UserError(f"{place.name} names the column '{twice[0]}' twice; allowed: each name once.")
    columns = {name: [as_text(cell) for cell in found.column(at).to_pylist()] for at, name in enumerate(names)}
    return RawTable(columns, place.name, ["Parquet"])


def as_text(cell: Any) -> str:
    """Write a cell the way a CSV file has it.

    >>> as_text(None), as_text(True), as_text(0.1), as_text(" Bern ")
    ('', 'true', '0.1', 'Bern')
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(cell).strip()
