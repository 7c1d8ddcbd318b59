"""How a self-organising map learns: the closest unit, a step with one example, a step with all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from locution.estimators.lattice import Floats, bell, spread

Units = NDArray[np.int64]
BLOCK = 4096  # examples compared with all units at once


def nearest_units(rows: Floats, weights: Floats, count: int = 1) -> Units:
    """The best matching unit of an example is the one whose weights are closest to it; a second one comes next.

    rows (N, D), weights (U, D); gives (N, count), count 1 or 2.

    >>> nearest_units(np.array([[0.9]]), np.array([[0.0], [1.0], [2.0]]), count=2).tolist()
    [[1, 0]]

    Reference: T. Kohonen, 1982, "Self-organized formation of topologically correct feature maps".
    """
    half = 0.5 * (weights * weights).sum(1)  # |x - w|^2 = |x|^2 - 2 (x w - |w|^2 / 2): the largest x w - |w|^2 / 2
    found = np.empty((len(rows), count), dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        likeness = rows[block] @ weights.T - half  # (B, U)
        found[block, 0] = likeness.argmax(1)
        if count > 1:
            np.put_along_axis(likeness, found[block, :1], -np.inf, axis=1)
            found[block, 1] = likeness.argmax(1)
    return found


def online_step(weights: Floats, row: Floats, places: Floats, radius: float, learning_rate: float) -> Floats:
    """Online training shows a map one example: the closest unit moves towards it, and its neighbours with it.

    weights (R, C, D), row (D,), places (R, C, 2); gives the new weights.

    >>> from locution.estimators.lattice import lattice
    >>> weights, places = np.array([[[0.0], [1.0]]]), lattice(1, 2, "rectangular")
    >>> online_step(weights, np.array([-1.0]), places, 1.0, 0.5).round(4).ravel().tolist()  # 1 - 0.5 x 0.6065 x 2
    [-0.5, 0.3935]

    Reference: T. Kohonen, 1990, "The self-organizing map" (the adaptation of a neighbourhood).
    """
    winner = np.unravel_index(((weights - row) ** 2).sum(-1).argmin(), weights.shape[:2])
    share = learning_rate * bell(np.linalg.norm(places - places[winner], axis=-1), radius)  # (R, C)
    moved: Floats = weights + share[..., None] * (row - weights)
    return moved


def batch_step(weights: Floats, rows: Floats, places: Floats, radius: float) -> Floats:
    """Batch training shows a map all examples at once: each unit becomes their mean, weighed by how near they fell.

    weights (R, C, D), rows (N, D), places (R, C, 2); gives the new weights. A unit near which nothing fell stays.

    >>> from locution.estimators.lattice import lattice
    >>> weights, places = np.array([[[0.0], [1.0]]]), lattice(1, 2, "rectangular")
    >>> moved = batch_step(weights, np.array([[-1.0], [3.0]]), places, 1.0)
    >>> moved.round(4).ravel().tolist()  # the first: (3 x 0.6065 - 1) / 1.6065
    [0.5101, 1.4899]

    Reference: T. Kohonen, 2013, "Essentials of the self-organizing map" (batch computation).
    """
    from scipy.sparse import csr_matrix

    count, size = len(rows), weights.shape[0] * weights.shape[1]
    winners = nearest_units(rows, weights.reshape(size, -1))[:, 0]
    fell = csr_matrix((np.ones(count, rows.dtype), winners, np.arange(count + 1)), shape=(count, size)).T  # (U, N)
    counted = np.bincount(winners, minlength=size)[:, None].astype(rows.dtype)
    sums = np.concatenate([fell @ rows, counted], axis=1).reshape(*weights.shape[:2], -1)  # (R, C, D + 1)
    near = spread(sums, places, radius)
    met = near[..., -1:] > 0
    moved: Floats = np.where(met, near[..., :-1] / np.where(met, near[..., -1:], 1), weights)
    return moved


def plane(rows: Floats, places: Floats) -> Floats:
    """Lay a map flat through centred examples (N, D), its longer side along the direction in which they spread most.

    >>> from locution.estimators.lattice import lattice
    >>> plane(np.array([[-2.0], [2.0]]), lattice(1, 3, "rectangular")).ravel().tolist()
    [-2.0, 0.0, 2.0]
    """
    short = rows if len(rows) <= rows.shape[1] else np.linalg.qr(rows)[1]  # of the same directions and sizes
    _, sizes, directions = np.linalg.svd(short, full_matrices=False)
    signs = np.sign(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1))  # else left to chance
    directions = directions * signs
    reach = places.reshape(-1, 2).max(0)
    laid = np.zeros((*places.shape[:2], rows.shape[1]), dtype=rows.dtype)
    for axis, size, direction in zip(np.argsort(-reach, kind="stable"), sizes, directions, strict=False):
        if reach[axis] > 0:
            laid += (places[..., axis, None] / reach[axis] * 2 - 1) * size / len(rows) ** 0.5 * direction
    return laid
