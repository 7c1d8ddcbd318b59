"""A picture of the plane: where a classifier of two numbers says which class, and where its examples lie."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.inference.predict import predict
from locution.reporting.results import Gallery

ROWS = 80


def decision_plane(model: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, rows: int = ROWS) -> Tensor:
    """A decision border is where a classifier changes its mind from one class to another.

    This is how likely the second of two classes is at each place of a plane between two corners, (rows, columns): from
    the top down and from left to right. The border runs where it passes 0.5.

    Parameters
    ----------
    model: takes (N, 2), gives scores (N, 2). low, high: (2,), the corners at the lower left and the upper right.

    >>> model = lambda x: torch.stack([0 * x[:, 0], 10 * x[:, 0]], 1)  # the second class lies to the right
    >>> decision_plane(model, torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0]), rows=3).round()
    tensor([[0., 0., 1.],
            [0., 0., 1.],
            [0., 0., 1.]])

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", section 2.3.
    """
    wide, tall = (high - low).tolist()
    columns = max(2, round(rows * wide / tall))
    across = torch.linspace(float(low[0]), float(high[0]), columns)
    down = torch.linspace(float(high[1]), float(low[1]), rows)
    places = torch.cartesian_prod(down, across).flip(1)  # (rows x columns, 2)
    return model(places).float().softmax(1)[:, 1].view(rows, columns)


def planes(model: nn.Module, data: Dataset) -> list[Gallery]:
    """Draw what a classifier of two numbers into two classes says over the plane; nothing for other data."""
    train, test = data.train, data.test
    if data.inputs != (2,) or len(data.labels) != 2 or test is None or not isinstance(train, TensorBatches):
        return []
    low, high = test.inputs.amin(0), test.inputs.amax(0)
    rim = 0.1 * (high - low)
    low, high = low - rim, high + rim
    likely = decision_plane(lambda places: predict(model, places).outputs, low, high).clone()
    for place, target in zip(train.inputs, train.targets.tolist(), strict=True):
        mark(likely, (place - low) / (high - low), target)
    where = f"black: {data.labels[1]}, white: {data.labels[0]}; squares: the {len(train)} labelled examples"
    return [Gallery("The plane, as the model parts it", likely[None, None].numpy(), where)]


def mark(picture: Tensor, place: Tensor, target: int) -> None:
    """Paint an example at its place, (2,) from 0 to 1: a square of its class within a rim of the other."""
    rows, columns = picture.shape
    row, column = round((1 - float(place[1])) * (rows - 1)), round(float(place[0]) * (columns - 1))
    picture[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = 1 - target
    picture[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = target
