"""What a user hands to `predict` for a table: a file of new rows, or values by the names of their columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from locution.data.tables.columns import Column, short
from locution.data.tables.encoding import Encoding
from locution.data.tables.reading import PARQUET, TEXT, read_table
from locution.data.tables.values import missing
from locution.errors import UserError, nearest

Rows = dict[str, list[str]]


def read_rows(inputs: Sequence[str], encoding: Encoding) -> Rows:
    """Read new rows, each column that the encoding asks for: from files, or written as `age=31,city=Bern`.

    A column that is not named is missing; one that a file lacks, or that is none, is refused.

    >>> encoding, _ = Encoding.fit({"age": ["20", "40"], "city": ["Bern", "Rome"]})
    >>> read_rows(["age=31,city=Bern", "city=Oslo, Norway"], encoding)
    {'age': ['31', ''], 'city': ['Bern', 'Oslo, Norway']}
    >>> read_rows(["agee=31"], encoding)
    Traceback (most recent call last):
    locution.errors.UserError: 'agee' is no column of this model. Did you mean 'age'? Allowed: age, city.
    """
    names = [code.name for code in encoding.codes]
    rows: Rows = {name: [] for name in names}
    for text in inputs:
        if Path(text).suffix.lower() in (*TEXT, *PARQUET) and "=" not in Path(text).name:
            for name, cells in from_file(text, names).items():
                rows[name] += cells
        else:
            found = by_name(text, names)
            check(found, encoding)
            for name in names:
                rows[name].append(found.get(name, ""))
    return rows


def from_file(path: str, names: Sequence[str]) -> Rows:
    """Read the columns that are asked for from a file of rows; what else it has does not matter."""
    table = read_table(path)
    for name in names:
        if name not in table.columns:
            guess = nearest(name, table.columns)
            hint = f" Is it '{guess}' there?" if guess else ""
            raise UserError(f"{table.where} has no column '{name}'.{hint} Allowed: a table with {listed(names)}.")
    return {name: table.columns[name] for name in names}


def by_name(text: str, names: Sequence[str]) -> dict[str, str]:
    """Read `name=value,name=value`; a value may hold commas, and so may a name."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    starts = list(re.finditer(rf"(?:^|,)\s*({known})\s*=", text))
    first = starts[0].start() if starts else len(text)
    values = {}
    for at, start in enumerate(starts):
        end = starts[at + 1].start() if at + 1 < len(starts) else len(text)
        if start[1] in values:
            raise UserError(f"{start[1]} came twice in {short(text)}; allowed: each column once.")
        values[start[1]] = text[start.end() : end].strip()
    strange = [text[:first], *re.findall(r",\s*([^,=]+=)", ",".join(values.values()))]
    for part in strange:
        name, found, _ = part.strip().partition("=")
        if found:
            guess = nearest(name.strip(), names)
            hint = f" Did you mean '{guess}'?" if guess else ""
            raise UserError(f"'{name.strip()}' is no column of this model.{hint} Allowed: {listed(names)}.")
        if name:
            example = f"{names[0]}=...,{names[-1]}=..." if len(names) > 1 else f"{names[0]}=..."
            raise UserError(f"{short(text)} is no row; allowed: a CSV, TSV or Parquet file, or {example}")
    if not values:
        raise UserError(f"{short(text)} names no column; allowed: {listed(names)}, such as {names[0]}=...")
    return values


def check(values: dict[str, str], encoding: Encoding) -> None:
    """Refuse a typed value that is not of its column's kind; a category that was never met may be."""
    kinds = {"number": "a number", "date": "a date", "boolean": "yes or no"}
    for code in encoding.codes:
        cell = values.get(code.name, "")
        reader = Column(code.name, code.kind, comma=code.comma, month_first=code.month_first).reader
        if code.kind != "category" and not missing(cell) and reader(cell) is None:
            raise UserError(
                f"{code.name} is {short(cell)}; allowed: {kinds[code.kind]}, or nothing where it is missing."
            )


def listed(names: Sequence[str]) -> str:
    """List the names of columns, not too many of them."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
