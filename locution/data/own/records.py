"""Tables of words: CSV, TSV, Parquet and JSON lines, as rows of text by the names of their columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locution.data.tables.reading import as_text, decoded, read_table
from locution.errors import UserError, nearest

LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Records:
    """Rows of text: for each column what stands in each row, nothing as an empty text; and how the file was read.

    >>> len(Records("a.csv", {"text": ["good", "bad"]}))
    2
    """

    where: str
    columns: dict[str, list[str]]
    said: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))


def read_records(path: Path) -> Records:
    """Read a table by its suffix; every cell becomes text.

    Raises UserError, in one line, for a file of another kind, without rows, with two columns of one name, or damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.jsonl")
    ...     _ = path.write_text('{"text": "good", "label": 1}\\n{"text": "bad"}\\n')
    ...     read_records(path).columns
    {'text': ['good', 'bad'], 'label': ['1', '']}
    """
    try:
        if path.suffix.lower() in LINES:
            return from_json_lines(path)
        table = read_table(path)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}.") from error
    told = tuple(line for line in table.said if line.startswith("no UTF-8"))
    return Records(table.where, table.columns, tuple(f"{table.where}: {line}." for line in told))


def from_json_lines(path: Path) -> Records:
    """Read a JSON object a line."""
    if not path.is_file():
        raise UserError(f"there is no file {path}; allowed: a file of JSON lines that is there.")
    text, said = decoded(path.read_bytes(), path.name)
    rows: list[dict[str, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"line {number} of {path.name} is no JSON: {error}.") from error
        if not isinstance(found, dict):
            raise UserError(f"line {number} of {path.name} is no object; allowed: a JSON object a line.")
        rows.append({str(key): cell(value) for key, value in found.items()})
    if not rows:
        raise UserError(f"{path.name} is empty; allowed: a JSON object a line.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    return Records(path.name, columns, tuple(f"{path.name}: {line}." for line in said))


def cell(value: Any) -> str:
    """Write a value of JSON as the text of a cell.

    >>> cell(None), cell(True), cell(3), cell({"a": 1})
    ('', 'true', '3', '{"a": 1}')
    """
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else as_text(value)


def column(records: Records, asked: str, usual: Sequence[str], setting: str) -> str:
    """Find the column that is asked for, or else the one that bears a usual name.

    >>> column(Records("a.csv", {"Text": [], "label": []}), "", ("text", "body"), "text")
    'Text'
    """
    there = {name.strip().lower(): name for name in reversed(records.columns)}
    listed = ", ".join(list(records.columns)[:12])
    if asked:
        found = asked if asked in records.columns else there.get(asked.strip().lower())
        if found is None:
            guess = nearest(asked, records.columns)
            hint = f" Did you mean '{guess}'?" if guess else ""
            raise UserError(f"{setting} is '{asked}', and {records.where} has no such column.{hint} It has: {listed}.")
        return found
    found = next((there[name] for name in usual if name in there), None)
    if found is None:
        raise UserError(f"{records.where} has no column '{usual[0]}': say {setting}=NAME. It has: {listed}.")
    return found
