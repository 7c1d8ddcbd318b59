"""What principal components leave out: the measure that any code of a few numbers is held against."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.errors import require


def principal_error(seen: Tensor, held: Tensor, count: int) -> Tensor:
    """The error of principal components is what is lost of examples when only the few straight directions are kept
    along which those that were seen spread most.

    Parameters
    ----------
    seen: (N, ...), from which the directions are found. held: (M, ...), on which they are judged. count: directions.

    Returns (M,): the squared distance of each held example from its shadow on them, as a mean over its numbers. No
    linear code of so many numbers loses less of the seen examples.

    >>> principal_error(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[9.0, 2.0]]), 1)  # (0 + 2^2) / 2
    tensor([2.])

    Reference: K. Pearson, 1901, "On lines and planes of closest fit to systems of points in space"; P. Baldi,
    K. Hornik, 1989, "Neural networks and principal component analysis", section 2.
    """
    rows = seen.flatten(1).double()  # (N, D)
    most = min(rows.shape)
    require(1 <= count <= most, "components", count, f"1 to {most}, for examples {tuple(rows.shape)}")
    mean = rows.mean(0)
    directions = torch.linalg.svd(rows - mean, full_matrices=False).Vh[:count]  # (count, D)
    away = held.flatten(1).double() - mean
    lost: Tensor = (away - away @ directions.T @ directions).square().mean(1)
    return lost.to(held.dtype)
