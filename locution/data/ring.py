"""The ring: Gaussians evenly on a circle, so thin and far apart that a generator that leaves one out is seen to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from locution.data.dataset import Dataset, held_out
from locution.data.gaussian_mixture import GaussianMixture, on_a_circle
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


@dataclass(frozen=True)
class RingData:
    """A ring of Gaussians is a circle of equal small clouds with nothing between them, a test of mode coverage.

    `modes` clouds of a standard deviation of `deviation` lie on a circle of `radius`. The run's seed draws what is
    learnt from; `test` points held out are drawn by `split`, the same in every run.

    >>> RingData().load(seed=0).describe()
    'ring of 8 Gaussians: 10240 to learn from, 2500 to be judged by; each (2,) -> 8 classes'
    >>> RingData(modes=4).truth().means.round(decimals=3).abs()
    tensor([[2., 0.],
            [0., 2.],
            [2., 0.],
            [0., 2.]])

    Reference: L. Metz, B. Poole, D. Pfau, J. Sohl-Dickstein, 2017, "Unrolled generative adversarial networks", section
    3.1 and appendix A.
    """

    modes: int = 8
    radius: float = 2.0
    deviation: float = 0.02
    train: int = 10_240
    test: int = 2500
    batch_size: int = 256
    split: int = 0

    def __post_init__(self) -> None:
        require(self.modes >= 1, "data.modes", self.modes, "a whole number from 1, usually 8")
        for name, usual in (("radius", 2), ("deviation", 0.02)):
            require(getattr(self, name) > 0, f"data.{name}", getattr(self, name), f"a number above 0, usually {usual}")
        for name in ("train", "test", "batch_size"):
            require(getattr(self, name) >= 1, f"data.{name}", getattr(self, name), "a whole number from 1")

    def truth(self) -> GaussianMixture:
        """Hand out the density from which the points are drawn."""
        share, spread = torch.full((self.modes,), 1 / self.modes), torch.full((self.modes,), self.deviation)
        return GaussianMixture(share, on_a_circle(self.modes, self.radius), spread)

    def load(self, seed: int) -> Dataset:
        """Draw the points."""
        ring = self.truth()
        inputs, targets = ring.draw(self.train, generator(seed, "ring"))
        return Dataset(
            TensorBatches(inputs, targets, batch_size=self.batch_size),
            test=held_out(*ring.draw(self.test, generator(self.split, "ring held out"))),
            inputs=(2,),
            outputs=self.modes,
            labels=tuple(f"mode {number + 1}" for number in range(self.modes)),
            source=f"ring of {self.modes} Gaussians",
        )
