"""Few points of a line that is seen through noise, with a gap in their midst."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def places_with_gap(count: int, gap: float, draw: torch.Generator) -> Tensor:
    """Draw places evenly from 0 to 2, but for a gap of some width around 1: (count, 1).

    >>> places = places_with_gap(100, 1.0, torch.Generator().manual_seed(0)) - 1
    >>> bool((places.abs() >= 0.5).all()), bool((places.abs() <= 1).all())
    (True, True)
    """
    far = gap / 2 + (1 - gap / 2) * torch.rand(count, 1, generator=draw)
    side = torch.randint(2, (count, 1), generator=draw) * 2 - 1
    return 1 + far * side


@dataclass(frozen=True)
class NoisyLineData:
    """A noisy line is a few points that would lie on a line, were they not measured with noise.

    `points` lie from 0 to 2 with a `gap` around 1 where nothing was measured; their height is `slope` x + `intercept`
    and Gaussian noise of standard deviation `noise`. The run's seed draws them. 500 others from all of -0.5 to 2.5 are
    held out, drawn by `split`, so that a run is judged also where it has seen nothing.

    >>> data = NoisyLineData(points=12).load(seed=0)
    >>> data.describe()
    'y = 1 x + 0.5 with noise of 0.5: 12 to learn from, 500 to be judged by; each (1,) -> 1 number'

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 3.3.1 (the example of a line).
    """

    points: int = 12
    slope: float = 1.0
    intercept: float = 0.5
    noise: float = 0.5
    gap: float = 1.0
    split: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.points <= 100_000, "data.points", self.points, "a whole number from 1 to 100,000")
        require(self.noise > 0, "data.noise", self.noise, "a number above 0, usually 0.5")
        require(0 <= self.gap < 2, "data.gap", self.gap, "a width from 0 up to, not with, 2")

    def measured(self, x: Tensor, draw: torch.Generator) -> Tensor:
        """Measure the line at places (N, 1): (N, 1)."""
        return self.slope * x + self.intercept + self.noise * torch.randn(x.shape, generator=draw)

    def load(self, seed: int) -> Dataset:
        """Draw the points."""
        stream, other = generator(seed, "noisy line"), generator(self.split, "noisy line held out")
        x, new = places_with_gap(self.points, self.gap, stream), 3 * torch.rand(500, 1, generator=other) - 0.5
        return Dataset(
            TensorBatches(x, self.measured(x, stream), batch_size=self.points),
            None,
            held_out(new, self.measured(new, other)),
            inputs=(1,),
            outputs=1,
            source=f"y = {self.slope:g} x + {self.intercept:g} with noise of {self.noise:g}",
            sizes={"examples": self.points},
        )
