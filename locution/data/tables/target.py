"""The column a table's model should answer with: classes, or values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from locution.data.tables.columns import MOSTLY, short
from locution.data.tables.values import number
from locution.errors import LocutionError, UserError

MOST_CODES, EACH = 20, 5  # whole numbers are classes if there are so few of them, each seen so often on average
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Target:
    """A target is what a model should answer: one of some classes, or a value.

    `labels` are the classes in order, empty for values. Values are learnt as (value - `mean`) / `spread`, both of the
    rows to learn from; `comma` is how they are written.

    >>> Target("churn", ("no", "yes")).encode(["yes", "no"])
    tensor([1, 0])
    >>> Target("price", mean=100.0, spread=50.0).encode(["150", "50"])
    tensor([[ 1.],
            [-1.]])

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", section 2.2.
    """

    name: str
    labels: tuple[str, ...] = ()
    mean: float = 0.0
    spread: float = 1.0
    comma: bool = False

    @property
    def outputs(self) -> int:
        """How many numbers the model puts out."""
        return len(self.labels) or 1

    def encode(self, cells: Sequence[str]) -> Tensor:
        """Turn cells into classes (N,), or standardised values (N, 1)."""
        if self.labels:
            places = {label: at for at, label in enumerate(self.labels)}
            return torch.tensor([places[cell] for cell in cells])
        return torch.from_numpy((numbers(self.name, cells, self.comma) - self.mean) / self.spread).float().unsqueeze(1)

    def decode(self, outputs: Tensor) -> Tensor:
        """Turn what the model puts out for values back into the target's own units."""
        return outputs if self.labels else outputs * self.spread + self.mean

    def describe(self) -> str:
        """Say in a few words what is answered."""
        if not self.labels:
            return f"values, {self.mean:.4g} on average, give or take {self.spread:.3g}"
        more = f" and {len(self.labels) - 10} more" if len(self.labels) > 10 else ""
        return f"{len(self.labels)} classes: {', '.join(self.labels[:10])}{more}"

    def as_json(self) -> dict[str, Any]:
        """The target as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Any) -> Target:
        """Take back what `as_json` gave."""
        try:
            return cls(**{**kept, "labels": tuple(kept["labels"])})
        except (TypeError, KeyError) as error:
            raise LocutionError(f"the kept target is damaged: {error}.") from error


def numbers(name: str, cells: Sequence[str], comma: bool) -> NDArray[np.float64]:
    """Read a target of values; refuse a cell that is none."""
    values = [number(cell, comma) for cell in cells]
    odd = next((cell for cell, value in zip(cells, values, strict=True) if value is None or abs(value) > 1e30), None)
    if odd is not None:
        raise UserError(f"the target {name} is {short(odd)} in a row; allowed: finite numbers, as in the other rows.")
    return np.array(values, dtype=np.float64)


def as_numbers(cells: Sequence[str]) -> tuple[list[float | None], bool]:
    """Read cells as numbers, and say whether the comma stands before the decimals; nothing if most are none."""
    for comma in (False, True):
        values = [number(cell, comma) for cell in cells]
        if sum(value is not None for value in values) >= MOSTLY * len(cells):
            return values, comma
    return [], False


def find_target(name: str, cells: Sequence[str], answers: Literal["auto", "classes", "values"]) -> tuple[Target, str]:
    """Find out whether a target's cells, none of them missing, are classes or values; say why in a few words.

    Numbers are values, unless they are whole and at most 20 different ones, each seen five times on average.
    Errors: UserError for a single class, for classes that are nearly all different, for values that are no numbers.

    >>> find_target("size", ["1.5", "2.5", "3.5"], "auto")[0].labels, find_target("churn", ["0", "1"] * 9, "auto")[1]
    ((), 'whole numbers, 2 different ones, taken for classes (data.answers=values would take them as they are)')
    """
    counts = Counter(cells)
    if len(counts) == 1:
        only = short(next(iter(counts)))
        raise UserError(f"the target {name} is always {only}; allowed: two classes or values at least.")
    plain, comma = as_numbers(cells)
    numeric = bool(plain) and all(value is not None and abs(value) < 1e30 for value in plain)
    whole = numeric and all(value is not None and value % 1 == 0 for value in plain)
    few = whole and len(counts) <= MOST_CODES and len(cells) >= EACH * len(counts)
    if answers == "values" or (answers == "auto" and plain and not few):
        return Target(name, comma=comma), ""
    if len(counts) > min(MOST_CLASSES, 0.5 * len(cells) if len(cells) >= EACH * 2 else MOST_CLASSES):
        mend = "a column of classes, each seen more than once, or of numbers"
        raise UserError(f"the target {name} has {len(counts)} different values in {len(cells)} rows; allowed: {mend}.")
    labels = tuple(sorted(counts, key=(lambda cell: float(number(cell, comma) or 0.0)) if numeric else None))
    as_they_are = "taken for classes (data.answers=values would take them as they are)"
    return Target(name, labels), f"whole numbers, {len(counts)} different ones, {as_they_are}" if few else ""


def standardised(target: Target, cells: Sequence[str]) -> Target:
    """Fit a target of values to the rows to learn from: their mean and their spread."""
    if target.labels:
        return target
    values = numbers(target.name, cells, target.comma)
    return Target(target.name, (), float(values.mean()), max(float(values.std()), 1e-12), target.comma)
