"""The directions in which examples spread most."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from locution.errors import require

Floats = NDArray[np.float64]


def principal_components(vectors: ArrayLike, count: int = 2) -> tuple[Floats, Floats]:
    """Principal components analysis (PCA) turns vectors so that the first numbers tell most of what differs among them.

    vectors (N, D); gives where they lie along the directions of most spread (N, count), and the share of the spread
    that each of these holds (count,). Each direction's sign is such that its largest number is positive.

    >>> at, shares = principal_components([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]], count=1)
    >>> at.round(3).ravel().tolist(), shares.round(3).tolist()
    ([-2.828, 0.0, 2.828], [1.0])

    Reference: K. Pearson, 1901, "On lines and planes of closest fit to systems of points in space".
    """
    rows = np.asarray(vectors, dtype=np.float64)
    fits = rows.ndim == 2 and len(rows) >= 1 and rows.shape[1] >= 1
    require(fits, "shape of vectors", rows.shape, "(N, D), one or more of each")
    require(count >= 1, "count", count, "a whole number from 1")
    centred = rows - rows.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1))
    along = centred @ (directions * np.where(signs == 0, 1, signs)).T
    kept, held = np.zeros((len(rows), count)), np.zeros(count)
    some = min(count, along.shape[1])
    kept[:, :some] = along[:, :some]
    total = float((sizes**2).sum())
    held[:some] = sizes[:some] ** 2 / total if total > 0 else 0.0
    return kept, held
