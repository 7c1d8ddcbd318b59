"""Points of a curve: a few to learn from, and the curve between them to be judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.errors import require


@dataclass(frozen=True)
class CurveData:
    """Points of a curve are pairs of numbers of which one depends on the other: (x, sin(pi x) + x / 2), without noise.

    `points` are spread evenly from -1 to 1 and learnt from all at once; `between` more, evenly too, are held out.

    >>> data = CurveData(points=3, between=5).load(seed=0)
    >>> data.train.inputs.flatten().tolist(), data.train.targets.flatten()
    ([-1.0, 0.0, 1.0], tensor([-0.5000,  0.0000,  0.5000]))

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 1.1.
    """

    points: int = 8
    between: int = 101

    def __post_init__(self) -> None:
        require(2 <= self.points <= 1000, "data.points", self.points, "a whole number from 2 to 1,000")
        require(2 <= self.between <= 10_000, "data.between", self.between, "a whole number from 2 to 10,000")

    def load(self, seed: int) -> Dataset:
        """Make the points; no seed has a part in it."""

        def curve(count: int) -> tuple[torch.Tensor, torch.Tensor]:
            across = torch.linspace(-1, 1, count)[:, None]  # (N, 1)
            return across, (math.pi * across).sin() + across / 2

        inputs, targets = curve(self.points)
        train = TensorBatches(inputs, targets, batch_size=self.points)
        return Dataset(train, None, held_out(*curve(self.between)), source="points of a curve")
