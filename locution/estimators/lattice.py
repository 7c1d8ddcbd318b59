"""The grid on which a self-organising map keeps its units: where each lies, and how far a change is felt."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import require, unknown

Floats = NDArray[Any]
GRIDS = ("hexagonal", "rectangular")
ROW = 0.75**0.5  # between two rows of hexagons whose centres lie one apart


def lattice(rows: int, columns: int, grid: str) -> Floats:
    """A lattice gives each unit of a map its place: of squares each has four others at distance 1, of hexagons six.

    Gives (rows, columns, 2): how far to the right, how far down. Every other row of hexagons is shifted by a half.

    >>> lattice(2, 2, "hexagonal").round(3).tolist()
    [[[0.0, 0.0], [1.0, 0.0]], [[0.5, 0.866], [1.5, 0.866]]]

    Reference: T. Kohonen, 2001, "Self-organizing maps", third edition, section 3.2.
    """
    if grid not in GRIDS:
        raise unknown("grid of a map", grid, GRIDS)
    require(rows >= 1, "som.rows", rows, "a whole number from 1")
    require(columns >= 1, "som.columns", columns, "a whole number from 1")
    down, right = np.mgrid[:rows, :columns].astype(np.float64)
    if grid == "hexagonal":
        right[1::2] += 0.5
        down *= ROW
    return np.stack([right, down], axis=-1)


def bell(distances: Floats, radius: float) -> Floats:
    """Say how much a unit takes part in what another learns: 1 at no distance, less with it, in the form of a bell.

    >>> bell(np.array([0.0, 2.0]), radius=2.0).round(4).tolist()  # exp(-1/2)
    [1.0, 0.6065]
    """
    found: Floats = np.exp(-0.5 * (distances / radius) ** 2)
    return found


def felt(distances: Floats, radius: float) -> Floats:
    """Take the bell, and nothing where it is under 1e-12: numbers next to 0 would slow every product down.

    >>> felt(np.array([0.0, 9.0]), radius=1.0).tolist()
    [1.0, 0.0]
    """
    share = bell(distances, radius)
    return np.where(share > 1e-12, share, 0.0)


def spread(values: Floats, places: Floats, radius: float) -> Floats:
    """Add up, at each unit, the values of all units, each by the bell of its distance.

    values (R, C, D), places (R, C, 2) from `lattice`; gives (R, C, D). The bell of a distance is that of its part to
    the right times that of its part down, so two small products do instead of one of all units with all.

    >>> spread(np.array([[[1.0], [0.0]]]), lattice(1, 2, "rectangular"), radius=1.0).round(4).ravel().tolist()
    [1.0, 0.6065]
    """
    rows, columns, width = values.shape
    shifted = rows > 1 and places[1, 0, 0] != places[0, 0, 0]
    kinds = [slice(first, None, 2) for first in range(2)] if shifted else [slice(None)]  # rows that lie alike
    total = np.zeros_like(values)
    for to, of in product(kinds, kinds):
        some = values[of]  # (R', C, D)
        right = places[to][0, :, None, 0] - places[of][0, None, :, 0]  # (C, C)
        down = places[to][:, None, 0, 1] - places[of][None, :, 0, 1]  # (R'', R')
        bells = [felt(one, radius).astype(values.dtype) for one in (down, right)]
        mixed = bells[0] @ some.reshape(len(some), -1)  # (R'', C D)
        total[to] += bells[1] @ mixed.reshape(-1, columns, width)
    return total
