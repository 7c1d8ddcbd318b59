"""Five points on a line: the smallest thing that can be learnt."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from locution.data.dataset import Dataset
from locution.engine.batches import TensorBatches
from locution.errors import require


@dataclass(frozen=True)
class LineData:
    """The points of a line, y = 2 x + 1 at x = 0, 1, 2, 3, 4, all in one batch, for a model that can only be
    a line.

    `slope`, `intercept` and the number of `points` may be set; nothing is random.

    >>> batch = next(LineData().load(seed=0).train.epoch(0, seed=0))
    >>> batch.inputs.flatten().tolist(), batch.targets.flatten().tolist()
    ([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 5.0, 7.0, 9.0])

    Reference: F. Galton, 1886, "Regression towards mediocrity in hereditary stature".
    """

    slope: float = 2.0
    intercept: float = 1.0
    points: int = 5

    def __post_init__(self) -> None:
        require(self.points >= 1, "data.points", self.points, "a whole number from 1")

    def load(self, seed: int) -> Dataset:
        """Lay the points out: inputs (N, 1), targets (N, 1)."""
        x = torch.arange(float(self.points))[:, None]
        y = self.slope * x + self.intercept
        train = TensorBatches(x, y, batch_size=self.points, shuffle=False)
        return Dataset(train, inputs=(1,), outputs=1, source=f"y = {self.slope:g} x + {self.intercept:g}")
