"""The energy distance: how far two clouds of points are from being drawn from the same source."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.errors import UserError


def mean_distance(x: Tensor, y: Tensor) -> Tensor:
    """Average the distances of each example of one cloud to all of another: (N, D), (M, D) -> (N,)."""
    return torch.cdist(x, y).mean(1)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """The energy distance says how unlike two clouds of points are: 0 if they are drawn from the same, and only then.

    It is the square root of twice the mean distance between points of both, less the mean distances within each. The
    points within are paired with others only, so that clouds of one source differ by 0 on average, at any size; what
    chance puts below 0 counts as 0.

    Shapes: (N, ...) and (M, ...), flattened; in the units of the points.

    >>> import torch
    >>> x, y = torch.tensor([[0.0], [0.0]]), torch.tensor([[2.0], [2.0]])
    >>> energy_distance(x, y)  # the root of 2 x 2 - 0 - 0
    2.0

    Reference: G. Székely, M. Rizzo, 2013, "Energy statistics: a class of statistics based on distances", section 2.
    """
    x, y = (cloud.flatten(1).double() for cloud in (x, y))
    if min(len(x), len(y)) < 2:
        raise UserError(f"clouds of {len(x)} and {len(y)} points came; allowed: two points or more in each.")
    between = mean_distance(x, y).mean()
    within = sum(mean_distance(cloud, cloud).sum() / (len(cloud) - 1) for cloud in (x, y))
    return float((2 * between - within).clamp(min=0).sqrt())
