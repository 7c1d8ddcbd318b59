"""Points of a circle with a number each: a few to learn from, and the whole circle to be judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.errors import require


@dataclass(frozen=True)
class CurveData:
    """Points of a curve around a circle: of each place (x, y) on the unit circle the product x y is to be learnt.

    `points` are spread evenly, from an eighth of a turn before half a turn back on, and learnt from all at once;
    `between`, evenly from half a turn back to half a turn on, are held out.

    >>> data = CurveData(points=4).load(seed=0)
    >>> data.train.inputs, data.train.targets.flatten()
    (tensor([[-0.7071, -0.7071],
            [ 0.7071, -0.7071],
            [ 0.7071,  0.7071],
            [-0.7071,  0.7071]]), tensor([ 0.5000, -0.5000,  0.5000, -0.5000]))

    Reference: A. Jacot, F. Gabriel, C. Hongler, 2018, "Neural tangent kernel: convergence and generalization in neural
    networks", section 6.2.
    """

    points: int = 8
    between: int = 101

    def __post_init__(self) -> None:
        require(2 <= self.points <= 1000, "data.points", self.points, "a whole number from 2 to 1,000")
        require(2 <= self.between <= 10_000, "data.between", self.between, "a whole number from 2 to 10,000")

    def load(self, seed: int) -> Dataset:
        """Make the points; no seed has a part in it."""

        def circle(turns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            angles = 2 * math.pi * turns
            places = torch.stack([angles.cos(), angles.sin()], 1)  # (N, 2)
            return places, places.prod(1, keepdim=True)

        inputs, targets = circle(torch.arange(self.points) / self.points - 3 / 8)
        train = TensorBatches(inputs, targets, batch_size=self.points)
        held = held_out(*circle(torch.linspace(-0.5, 0.5, self.between)))
        return Dataset(train, None, held, inputs=(2,), source="points of a circle")
