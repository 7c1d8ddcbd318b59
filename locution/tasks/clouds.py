"""What drawn examples look like: pictures in rows, points by how many lie where, densities by how dark a place is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from locution.reporting.results import Gallery

ROWS = 80


def corners(points: Tensor, rim: float = 0.1) -> tuple[Tensor, Tensor]:
    """Find the corners, lower left and upper right, of a window that holds all points and a rim.

    >>> corners(torch.tensor([[0.0, 0.0], [10.0, 20.0]]))
    (tensor([-1., -2.]), tensor([11., 22.]))
    """
    low, high = points.amin(0), points.amax(0)
    return low - rim * (high - low), high + rim * (high - low)


def crowd(points: Tensor, low: Tensor, high: Tensor, rows: int = ROWS) -> Tensor:
    """Count how many points lie in each of rows x rows fields of a window, from the top down: (rows, rows).

    >>> crowd(torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]]), torch.zeros(2), torch.ones(2), rows=2)
    tensor([[2., 0.],
            [0., 1.]])
    """
    places = ((points - low) / (high - low) * rows).floor().long()
    inside = ((places >= 0) & (places < rows)).all(1)
    across, up = places[inside].unbind(1)
    return torch.bincount((rows - 1 - up) * rows + across, minlength=rows * rows).view(rows, rows).float()


def density_picture(log_density: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, rows: int = ROWS) -> Tensor:
    """Evaluate a density at the middle of each of rows x rows fields of a window, from the top down: (rows, rows).

    >>> density_picture(lambda x: x[:, 1].log(), torch.zeros(2), torch.ones(2), rows=2)
    tensor([[0.7500, 0.7500],
            [0.2500, 0.2500]])
    """
    return log_density(fields(low, high, rows)).exp().view(rows, rows)


def fields(low: Tensor, high: Tensor, rows: int = ROWS) -> Tensor:
    """List the middles of the fields of a window, from the top down and from left to right: (rows x rows, 2)."""
    steps = (torch.arange(rows) + 0.5) / rows
    places = torch.cartesian_prod(steps.flip(0), steps).flip(1)
    return low + places * (high - low)


def gallery(pictures: Tensor, title: str, note: str, columns: int = 10, rows: int = 6) -> Gallery:
    """Set the first pictures (N, C, H, W) out in rows, by the mean of their channels."""
    some = pictures[: rows * columns].mean(1)
    return Gallery(title, some.view(-1, columns, *some.shape[1:]).numpy(), note)


def gallery_of(values: Tensor, title: str) -> list[Gallery]:
    """Show what was drawn: pictures in rows, points of the plane by how many lie where."""
    if values.dim() == 4 and min(values.shape[2:]) > 1:
        columns = next(many for many in range(min(10, len(values)), 0, -1) if len(values) % many == 0 or many <= 4)
        whole = len(values) // columns * columns
        return [gallery(values[:whole], title, f"{whole} drawn", columns, rows=12)]
    if values.dim() == 2 and values.shape[1] == 2 and len(values) > 1:
        return [Gallery(title, crowd(values, *corners(values))[None, None].numpy(), f"{len(values)} points drawn")]
    return []
