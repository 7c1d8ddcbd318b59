"""What rows of a table have in common by chance: those of few and coarse columns meet without being copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Column = Sequence[str] | NDArray[Any] | torch.Tensor
RARE = 0.01


def agreement(columns: Sequence[Column]) -> float:
    """Estimate the chance that two rows agree in every column, as if the columns had nothing to do with each other.

    Without any column nothing agrees by chance: zero.

    >>> agreement([["a", "b", "a", "b"], [1.0, 1.0, 1.0, 2.0]])  # a half, times 9/16 + 1/16
    0.3125
    """
    chance = 1.0
    for column in columns:
        _, counts = np.unique(np.asarray(column), return_counts=True)
        chance *= float(np.square(counts / counts.sum()).sum())
    return chance if len(columns) else 0.0


def expected_copies(columns: Sequence[Column], count: int) -> float:
    """Count how many of so many held-out rows would agree with one of training's by chance.

    >>> round(expected_copies([["a", "b"]], 8), 3)  # each of the 8 misses both with chance a quarter
    6.0
    """
    chance = min(agreement(columns), 1 - 1e-9)
    rows = len(columns[0]) if len(columns) else 0
    return count * -math.expm1(rows * math.log1p(-chance))


def surprising(found: int, expected: float) -> bool:
    """Say whether so many would be found by chance no more than once in a hundred times (Poisson).

    >>> surprising(1, 0.005), surprising(3, 1.0), surprising(0, 0.0)
    (True, False, False)
    """
    terms = (math.exp(n * math.log(max(expected, 1e-300)) - expected - math.lgamma(n + 1)) for n in range(found))
    return found > 0 and 1 - math.fsum(terms) < RARE


def by_chance(seen: Sequence[Column], held: Sequence[Column], first: int, second: int) -> float:
    """Say how many pairs of rows would come as close as two of them in all columns together, by chance.

    In each column the chance is the share of training's cells that lie as close to the held-out one, or are the same;
    the chances of several columns go together as Fisher's method has it, as if they were independent.

    >>> numbers = np.arange(1000.0)
    >>> [f"{by_chance([numbers] * columns, [numbers[:9]] * columns, 5, 5):.2g}" for columns in (1, 4)]
    ['9', '3.5e-05']

    Reference: R. Fisher, 1932, "Statistical methods for research workers", section 21.1; I. Fellegi, A. Sunter, 1969,
    "A theory for record linkage", section 2.
    """
    depth = 0.0
    for train, test in zip(seen, held, strict=True):
        cells, cell, other = np.asarray(train), np.asarray(test)[second], np.asarray(train)[first]
        if cells.dtype.kind in "USO":
            near = cells == cell if cell == other else np.ones(len(cells), dtype=bool)
        elif np.isnan(cell) or np.isnan(other):
            near = np.isnan(cells) if np.isnan(cell) and np.isnan(other) else np.ones(len(cells), dtype=bool)
        else:
            near = np.abs(cells - cell) <= abs(float(other) - float(cell)) * (1 + 1e-9)
        depth -= math.log(max(1, int(near.sum())) / len(cells))
    if depth == 0.0:
        return math.inf
    terms = (math.exp(k * math.log(depth) - math.lgamma(k + 1) - depth) for k in range(len(seen)))
    return math.fsum(terms) * len(np.asarray(seen[0])) * len(np.asarray(held[0]))
