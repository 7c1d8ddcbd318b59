"""Two moons: two half circles that reach into each other, a few points of which are labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.data.gaussian_mixture import GaussianMixture
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def moons(places: Tensor, classes: Tensor) -> Tensor:
    """Find points of two half circles: the upper one around (0, 0), the lower one around (1, 0.5), radius 1.

    places: (N,) from 0 to 1, how far along the half circle. classes: (N,), 0 for the upper. Returns (N, 2).

    >>> moons(torch.tensor([0.5, 0.5]), torch.tensor([0, 1])).round(decimals=4).abs()  # the highest, the lowest
    tensor([[0.0000, 1.0000], [1.0000, 0.5000]])
    """
    angle = math.pi * places
    upper = torch.stack([angle.cos(), angle.sin()], 1)  # (N, 2)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    return torch.where((classes == 0)[:, None], upper, lower)


def draw_moons(count: int, noise: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw points of both moons by turns, evenly at random, and move each by Gaussian noise: (N, 2) and (N,).

    >>> points, classes = draw_moons(4, 0.1, torch.Generator().manual_seed(0))
    >>> tuple(points.shape), classes.tolist()
    ((4, 2), [0, 1, 0, 1])
    """
    classes = torch.arange(count) % 2
    points = moons(torch.rand(count, generator=draw), classes)
    return points + noise * torch.randn(count, 2, generator=draw), classes


def moons_density(noise: float, places: int = 512) -> GaussianMixture:
    """Say how likely a point is at each place, if both moons are drawn from evenly and the points moved by noise.

    Each half circle is cut into so many pieces, and the middle of each spreads its share: with noise of 0.1 the error
    is below what fp32 can tell.

    Both moons are 2 pi long together; at the top of the upper one noise of 0.01 spreads 1 / 2 pi across its line:

    >>> moons_density(0.01, places=2048).log_density(torch.tensor([[0.0, 1.0]]))  # -ln(2 pi) - ln(0.01 sqrt(2 pi))
    tensor([1.8484])
    """
    require(noise > 0, "data.noise", noise, "a number above 0, so that there is a density")
    along = (torch.arange(places) + 0.5).div(places).repeat(2)  # (2 P,)
    centres = moons(along, torch.arange(2).repeat_interleave(places))
    return GaussianMixture(torch.full((2 * places,), 0.5 / places), centres, torch.full((2 * places,), noise))


@dataclass(frozen=True)
class TwoMoonsData:
    """Two moons are two half circles of points that reach into each other, so that no straight line parts them.

    `labels` points are labelled, half of them of each moon; `unlabelled` others come beside each batch under
    "unlabelled", `beside_size` at a time. `noise` is the standard deviation by which points lie off the circles. The
    run's seed draws what is learnt from, so that runs of other seeds see other labels; `development` and `test` points
    held out are drawn by `split`, the same in every run.

    >>> TwoMoonsData(labels=8).load(seed=0).describe()
    'two moons: 8 to learn from, 500 to tune on, 1000 to be judged by; each (2,) -> 2 classes'

    Reference: F. Pedregosa et al., 2011, "Scikit-learn: machine learning in Python", make_moons.
    """

    labels: int = 8
    unlabelled: int = 1000
    noise: float = 0.1
    batch_size: int = 8
    beside_size: int = 128
    development: int = 500
    test: int = 1000
    split: int = 0

    def __post_init__(self) -> None:
        for name in ("labels", "unlabelled", "development", "test"):
            value = getattr(self, name)
            require(value >= 2, f"data.{name}", value, "a whole number from 2, half of it of each moon")
        require(self.noise >= 0, "data.noise", self.noise, "a number from 0, usually 0.1")
        for name in ("batch_size", "beside_size"):
            value = getattr(self, name)
            require(value >= 1, f"data.{name}", value, "a whole number from 1")

    def truth(self) -> GaussianMixture:
        """Hand out the density from which the points are drawn."""
        return moons_density(self.noise)

    def load(self, seed: int) -> Dataset:
        """Draw the points."""
        inputs, targets = draw_moons(self.labels, self.noise, generator(seed, "moons labelled"))
        others, _ = draw_moons(self.unlabelled, self.noise, generator(seed, "moons unlabelled"))
        sizes = (self.development, self.test)
        held = [
            draw_moons(size, self.noise, generator(self.split, f"moons held out {at}")) for at, size in enumerate(sizes)
        ]
        beside = {"unlabelled": others}
        return Dataset(
            TensorBatches(inputs, targets, batch_size=self.batch_size, beside=beside, beside_size=self.beside_size),
            held_out(*held[0]),
            held_out(*held[1]),
            inputs=(2,),
            outputs=2,
            labels=("upper", "lower"),
            source="two moons",
        )
