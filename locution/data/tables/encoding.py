"""From the cells of a table to numbers a network takes, by what the rows to learn from are like, and no others."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from locution.data.tables.columns import Column, Kind, find_kind
from locution.data.tables.values import missing
from locution.errors import LocutionError

Matrix = NDArray[np.float64]
BUCKETS = 64
FURTHEST = 10.0  # spreads from the mean; what lies beyond counts as there
DAY, YEAR = 86400.0, 365.2425 * 86400.0


@dataclass(frozen=True)
class ColumnCode:
    """How one column becomes numbers: fitted once, then the same for every row.

    Numbers, dates and yes/no: minus `mean`, over `spread`; what is missing becomes the `median`, and `marked` adds a
    column that says so. Categories: one column each of `values` (one-hot); more than a limit are hashed into buckets.
    """

    name: str
    kind: Kind
    comma: bool = False
    month_first: bool = False
    mean: float = 0.0
    spread: float = 1.0
    median: float = 0.0
    marked: bool = False
    hours: bool = False
    values: tuple[str, ...] = ()
    hashed: bool = False

    @property
    def width(self) -> int:
        """How many numbers come of a cell."""
        if self.kind == "category":
            return (BUCKETS if self.hashed else len(self.values)) + self.marked
        return 1 + self.marked + (4 + 2 * self.hours if self.kind == "date" else 0)

    def encode(self, cells: Sequence[str]) -> Matrix:
        """Turn cells into numbers (N, width); a category that was never met is zero everywhere."""
        absent = np.array([missing(cell) for cell in cells], dtype=bool)
        if self.kind == "category":
            return self.one_hot(cells, absent)
        read = Column(self.name, self.kind, comma=self.comma, month_first=self.month_first).reader
        values = finite([None if gone else read(cell) for cell, gone in zip(cells, absent, strict=True)])
        absent = np.isnan(values)
        values = np.where(absent, self.median, values)
        standard = np.clip((values - self.mean) / self.spread, -FURTHEST, FURTHEST)
        parts = [standard, *(self.cycles(values) if self.kind == "date" else []), *([absent] if self.marked else [])]
        return np.stack(parts, 1).astype(np.float64)  # (N, width)

    def cycles(self, seconds: Matrix) -> list[Matrix]:
        """Say where in the year, the week and the day a moment lies: a sine and a cosine each."""
        lengths = [YEAR, 7 * DAY, *([DAY] if self.hours else [])]
        angles = [2 * math.pi * (seconds % length) / length for length in lengths]
        return [wave(angle) for angle in angles for wave in (np.sin, np.cos)]

    def one_hot(self, cells: Sequence[str], absent: NDArray[np.bool_]) -> Matrix:
        """A one there where a category stands, zeros elsewhere."""
        places = {value: at for at, value in enumerate(self.values)}
        found = np.zeros((len(cells), self.width))
        for row, cell in enumerate(cells):
            if absent[row]:
                at = self.width - 1 if self.marked else None
            else:
                at = bucket(cell) if self.hashed else places.get(cell)
            if at is not None:
                found[row, at] = 1.0
        return found


def finite(values: Sequence[float | None]) -> Matrix:
    """Numbers as an array; what is none, or not finite, is nan."""
    found = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return np.where(np.abs(found) < 1e150, found, np.nan)  # squares stay finite


def bucket(value: str) -> int:
    """Choose one of the buckets for a category, always the same.

    >>> bucket("Bern") == bucket("Bern"), 0 <= bucket("Rome") < BUCKETS
    (True, True)
    """
    return int.from_bytes(hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=4).digest(), "big") % BUCKETS


def fit_column(column: Column, cells: Sequence[str], one_hot: int) -> ColumnCode:
    """Fit one column's code to the rows to learn from."""
    absent = [missing(cell) for cell in cells]
    if column.kind == "category":
        counts = Counter(cell for cell, gone in zip(cells, absent, strict=True) if not gone)
        hashed = len(counts) > one_hot
        known = () if hashed else tuple(sorted(counts))
        return ColumnCode(column.name, "category", marked=any(absent), values=known, hashed=hashed)
    values = finite([None if gone else column.reader(cell) for cell, gone in zip(cells, absent, strict=True)])
    there = values[~np.isnan(values)]
    there = there if len(there) else np.zeros(1)
    spread = float(there.std())
    return ColumnCode(
        column.name,
        column.kind,
        column.comma,
        column.month_first,
        mean=float(there.mean()),
        spread=spread if spread > 1e-12 * (1 + abs(float(there.mean()))) else 1.0,
        median=float(np.median(there)),
        marked=bool(np.isnan(values).any()),
        hours=column.kind == "date" and bool((there % DAY != 0).any()),
    )


@dataclass(frozen=True)
class Encoding:
    """Feature encoding turns each row of a table into the same numbers, in the same order.

    Numbers are standardised, categories become one column each (one-hot), and what is missing has a mark of its own.
    It is fitted to the rows to learn from alone, kept as JSON, and applied to all others as it is.

    >>> table = {"age": ["20", "40", ""], "city": ["Bern", "Rome", "Bern"]}
    >>> encoding, columns = Encoding.fit(table)
    >>> encoding.features
    ('age', 'age missing', 'city=Bern', 'city=Rome')
    >>> encoding.encode({"age": ["30", "40"], "city": ["Bern", "Oslo"]})
    tensor([[0., 0., 1., 0.],
            [1., 0., 0., 0.]])

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", sections 2.2
    (dummy variables), 9.6 (missing values) and 7.10.2 (to be fitted within the training part).
    """

    codes: tuple[ColumnCode, ...]

    @classmethod
    def fit(cls, table: Mapping[str, Sequence[str]], one_hot: int = 32) -> tuple[Encoding, list[Column]]:
        """Find out what the columns of the rows to learn from are, and fit the code of each that is of use."""
        columns = [find_kind(name, cells) for name, cells in table.items()]
        used = [column for column in columns if column.kind != "none"]
        return cls(tuple(fit_column(column, table[column.name], one_hot) for column in used)), columns

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers that come out."""
        return tuple(name for code in self.codes for name in feature_names(code))

    def encode(self, table: Mapping[str, Sequence[str]]) -> Tensor:
        """Turn rows into numbers: (N, features), float32."""
        parts = [code.encode(table[code.name]) for code in self.codes]
        return torch.from_numpy(np.concatenate(parts, 1)).float()

    def as_json(self) -> list[dict[str, Any]]:
        """The encoding as plain data."""
        return [asdict(code) for code in self.codes]

    @classmethod
    def from_json(cls, kept: Any) -> Encoding:
        """Take back what `as_json` gave."""
        try:
            return cls(tuple(ColumnCode(**{**one, "values": tuple(one["values"])}) for one in kept))
        except (TypeError, KeyError) as error:
            raise LocutionError(f"the kept encoding is damaged: {error}.") from error


def feature_names(code: ColumnCode) -> list[str]:
    """Name the numbers that one column becomes.

    >>> feature_names(ColumnCode("born", "date"))[1:3]
    ['born: sine of year', 'born: cosine of year']
    """
    gone = [f"{code.name} missing"] if code.marked else []
    if code.kind == "category":
        shown = [f"{code.name} hashed {n}" for n in range(BUCKETS)] if code.hashed else code.values
        return [*(one if code.hashed else f"{code.name}={one}" for one in shown), *gone]
    periods = ("year", "week", "day") if code.hours else ("year", "week")
    waves = [f"{code.name}: {wave} of {period}" for period in periods for wave in ("sine", "cosine")]
    return [code.name, *(waves if code.kind == "date" else []), *gone]
