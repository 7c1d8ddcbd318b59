"""What must be moved to make one set of numbers into another, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from locution.reporting.results import Graph

STEPS = 200


def transport(x: Sequence[float], y: Sequence[float], names: tuple[str, str] = ("x", "y")) -> Graph:
    """The picture of a transport has two sets of numbers in order; the area between is their Wasserstein distance.

    x (N,), y (M,); the axis runs over the shares of both, from 0 to 1.

    >>> lines = transport([1.0, 0.0], [2.0, 3.0]).lines
    >>> lines["x"][1][0], lines["x"][1][-1], lines["y"][1][0], lines["y"][1][-1]
    (0.0, 1.0, 2.0, 3.0)

    Reference: C. Villani, 2003, "Topics in optimal transportation", remark 2.19.
    """
    shares = (np.arange(STEPS) + 0.5) / STEPS
    lines = {}
    for name, values in zip(names, (x, y), strict=True):
        ordered = np.sort(np.asarray(values, dtype=float))
        lines[name] = (shares.tolist(), ordered[(shares * len(ordered)).astype(int)].tolist())
    gap = np.abs(np.subtract(lines[names[0]][1], lines[names[1]][1])).mean()
    return Graph("what must be moved", lines, across="share", note=f"The area between the lines is {gap:.3g}.")
