"""A picture of equivariance: what a network finds in a picture, and in the same picture turned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from locution.models.equivariant import TURNS, EquivariantNet, turn
from locution.reporting.results import Gallery


def turned_pictures(model: nn.Module, inputs: Tensor) -> list[Gallery]:
    """Draw what the first layer of an equivariant network finds in a picture and in its quarter turns.

    A row for each turn: the picture, then where the first filter finds its pattern in each of its four orientations.
    From row to row the findings turn with the picture, and move one column to the right. Nothing for other networks.

    Shapes: inputs (N, channels, H, W), of which the first is shown.

    >>> from locution.models.equivariant import EquivariantModel
    >>> (drawn,) = turned_pictures(EquivariantModel().build((1, 8, 8), 10), torch.rand(3, 1, 8, 8))
    >>> drawn.pictures.shape
    (4, 5, 8, 8)
    """
    if not isinstance(model, EquivariantNet) or inputs.shape[-1] != inputs.shape[-2]:
        return []
    device = model.head.weight.device
    picture = inputs[:1].to(device)
    picture = picture if picture.is_floating_point() else picture.float() / 255
    turns = torch.cat([turn(picture, quarters) for quarters in range(TURNS)])  # (4, channels, H, W)
    training = model.training
    with torch.no_grad():
        found = model.eval().stages[0](turns)[:, 0]  # (4, 4, H, W): the first channel
    model.train(training)
    found = found / found.amax().clamp(min=1e-12)
    rows = torch.cat([turns.mean(1, keepdim=True), found], 1).float().cpu()  # (4, 1 + 4, H, W)
    note = "each row: a picture, turned by a quarter more, and what one filter finds in its four orientations"
    return [Gallery("What is found turns with the picture", rows.numpy(), note)]
