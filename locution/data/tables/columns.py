"""What the columns of a table are: numbers, yes or no, dates, categories; texts and identifiers are left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

from locution.data.tables.values import DAY_FIRST, date, missing, number, truth

Kind = Literal["number", "boolean", "date", "category", "none"]
MOSTLY = 0.9  # of the cells that are there must be of a kind; the others then count as missing
FEW = 20  # in fewer rows than these, values that are all different say nothing
CODE = re.compile(r"0\d+")  # such as a postal code: no number
ID_NAME = re.compile(r"(?:^|[^a-z])(?:id|ids|uuid|guid|key|index|idx|nr|no|number|rowid)$")


@dataclass(frozen=True)
class Column:
    """What a column is: its kind, how its cells are read, and in a few words what is odd about it.

    `kind` is "none" for a column that is left out, `said` is then the reason. `comma`: the comma stands before the
    decimals. `month_first`: dates are 12/31/2024. `absent` counts the cells in which nothing is.
    """

    name: str
    kind: Kind
    said: str = ""
    absent: int = 0
    comma: bool = False
    month_first: bool = False

    @property
    def reader(self) -> Callable[[str], float | None]:
        """What reads a cell of this kind as a number."""
        if self.kind == "date":
            return partial(date, month_first=self.month_first)
        return truth if self.kind == "boolean" else partial(number, comma=self.comma)


def find_kind(name: str, cells: Sequence[str]) -> Column:
    """Find out what a column is from its cells, those of the rows to learn from.

    Left out are columns without a value or with one alone, identifiers (each row has a value of its own, and it is
    a code, a running number, or the name says so), and texts of several words.

    >>> find_kind("age", ["31", "", "45", "unknown"] + ["50"] * 30).said
    "1 of another kind ('unknown') count as missing"
    >>> find_kind("born", ["2001-02-03", "1999-12-31"]).kind, find_kind("city", ["Bern", "Rome", "Bern"]).kind
    ('date', 'category')
    >>> find_kind("customer_id", [f"C{n:03}" for n in range(50)]).said
    'an identifier: each row has its own'
    """
    present = [cell for cell in cells if not missing(cell)]
    return replace(kind_of(name, cells, present), absent=len(cells) - len(present))


def kind_of(name: str, cells: Sequence[str], present: Sequence[str]) -> Column:
    """Find out what a column is from all its cells, and those of them in which something is."""
    if not present:
        return Column(name, "none", "no value in it")
    if len(set(present)) == 1 and len(present) == len(cells):
        return Column(name, "none", f"always {short(present[0])}")
    for column, read in readings(name, present):
        odd = [cell for cell in present if read(cell) is None]
        if len(odd) > (1 - MOSTLY) * len(present):
            continue
        values = [value for value in map(read, present) if value is not None]
        if column.kind == "number" and is_running(name, values):
            return Column(name, "none", "an identifier: each row has its own")
        if column.kind == "number" and ID_NAME.search(name.casefold()) and not any(value % 1 for value in values):
            return Column(name, "category", "numbers that name things")
        return said_of(column, odd)
    return words(name, present)


def readings(name: str, present: Sequence[str]) -> list[tuple[Column, Callable[[str], float | None]]]:
    """List the kinds a column may be, the narrowest first, each with what reads a cell."""
    found = [Column(name, "boolean")] if len(set(map(str.casefold, present))) <= 2 else []
    if not any(CODE.fullmatch(cell) for cell in present):
        found += [Column(name, "number"), Column(name, "number", comma=True)]
    months = [turned for turned in map(DAY_FIRST.fullmatch, (cell.strip() for cell in present)) if turned]
    slashes = bool(months) and all("/" in turned[0] for turned in months)
    american = any(int(turned[2]) > 12 for turned in months)
    american = american or (slashes and all(int(turned[1]) <= 12 for turned in months))
    said = "read as month/day/year" if american else "read as day, month, year" if months else ""
    found += [Column(name, "date", said, month_first=american)]
    return [(column, column.reader) for column in found]


def said_of(column: Column, odd: Sequence[str]) -> Column:
    """Add to a column what is odd about it."""
    if not odd:
        return column
    listed = ", ".join(short(cell) for cell in sorted(set(odd))[:3])
    more = f"{len(odd)} of another kind ({listed}{', ...' if len(set(odd)) > 3 else ''}) count as missing"
    return replace(column, said=f"{column.said}; {more}" if column.said else more)


def is_running(name: str, values: Sequence[float]) -> bool:
    """Say whether whole numbers only tell rows apart: all different, and in order without large gaps, or so named.

    >>> is_running("row", [float(n) for n in range(30)]), is_running("price", [float(n * n % 31) for n in range(31)])
    (True, False)
    """
    if len(values) < FEW or len(set(values)) < len(values) or any(value % 1 for value in values):
        return False
    rising = all(after > before for before, after in pairwise(values))
    dense = values[-1] - values[0] < 2 * len(values)
    return bool(ID_NAME.search(name.casefold())) or (rising and dense)


def words(name: str, present: Sequence[str]) -> Column:
    """Tell categories from identifiers and texts."""
    counts = Counter(present)
    length = sum(len(cell.split()) for cell in present) / len(present)
    mostly_own = len(present) >= FEW and len(counts) > 0.5 * len(present)
    if (mostly_own and length >= 3) or length >= 12:
        return Column(name, "none", "texts, which a table's model does not read")
    if mostly_own and len(counts) >= 0.95 * len(present):
        return Column(name, "none", "an identifier: each row has its own")
    return Column(name, "category")


def short(cell: str) -> str:
    """Write a cell for a message: quoted, and not too long.

    >>> short("a" * 50)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaa...'"
    """
    return repr(cell if len(cell) <= 30 else f"{cell[:27]}...")
