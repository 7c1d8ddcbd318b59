"""A mixture of Gaussians: points whose density, entropy and score are known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


@dataclass(frozen=True)
class GaussianMixture:
    """A Gaussian mixture is several round clouds of points, each drawn from with its own share.

    Parameters
    ----------
    shares: (K,), summing to 1. means: (K, D). deviations: (K,), the standard deviation of each cloud in all directions.

    >>> one = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    >>> one.log_density(torch.zeros(1, 2)), one.score(torch.tensor([[1.0, -2.0]]))  # -ln 2 pi, and -x
    (tensor([-1.8379]), tensor([[-1.,  2.]]))

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 2.3.9.
    """

    shares: Tensor
    means: Tensor
    deviations: Tensor

    def draw(self, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw points (N, D), and say of which cloud each is (N,)."""
        which = torch.multinomial(self.shares, count, replacement=True, generator=draw)
        noise = torch.randn(count, self.means.shape[1], generator=draw, dtype=self.means.dtype)
        return self.means[which] + self.deviations[which, None] * noise, which

    def parts(self, x: Tensor) -> Tensor:
        """Say the logarithm of each cloud's share of the density at each place: (N, D) -> (N, K)."""
        size = self.means.shape[1]
        squares = (x[:, None] - self.means).square().sum(-1) / self.deviations.square()  # (N, K)
        return self.shares.log() - 0.5 * (squares + size * math.log(2 * math.pi)) - size * self.deviations.log()

    def log_density(self, x: Tensor) -> Tensor:
        """Say the logarithm of the density at each place: (N, D) -> (N,), in nats."""
        return self.parts(x).logsumexp(1)

    def score(self, x: Tensor) -> Tensor:
        """The score is the gradient of the log-density: it points to where points lie more densely, (N, D) -> (N, D).

        >>> one = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([2.0]))
        >>> one.score(torch.tensor([[4.0, -8.0]]))  # -x / 2^2
        tensor([[-1.,  2.]])

        Reference: A. Hyvärinen, 2005, "Estimation of non-normalized statistical models by score matching", section 2.
        """
        belongs = self.parts(x).softmax(1)  # (N, K)
        pulls = (self.means - x[:, None]) / self.deviations.square()[:, None]  # (N, K, D)
        return (belongs[..., None] * pulls).sum(1)

    def noised(self, alpha: float, sigma: float) -> GaussianMixture:
        """Say what becomes of the density when points are scaled by alpha and moved by noise of a deviation sigma."""
        deviations = ((alpha * self.deviations).square() + sigma**2).sqrt()
        return GaussianMixture(self.shares, alpha * self.means, deviations)

    def mean(self) -> Tensor:
        """The mean of all points: (D,)."""
        return self.shares @ self.means

    def covariance(self) -> Tensor:
        """The covariance of all points: (D, D)."""
        away = self.means - self.mean()
        within = (self.shares * self.deviations.square()).sum() * torch.eye(len(self.mean()), dtype=away.dtype)
        return within + (self.shares[:, None] * away).T @ away

    def nearest(self, x: Tensor) -> Tensor:
        """Say to which cloud each place most likely belongs: (N, D) -> (N,)."""
        return self.parts(x).argmax(1)


def on_a_circle(count: int, radius: float) -> Tensor:
    """Place so many means evenly on a circle, the first to the right: (K, 2).

    >>> on_a_circle(2, 1.5).round(decimals=4).abs()
    tensor([[1.5000, 0.0000],
            [1.5000, 0.0000]])
    """
    angles = 2 * math.pi * torch.arange(count) / count
    return radius * torch.stack([angles.cos(), angles.sin()], 1)


@dataclass(frozen=True)
class GaussianMixtureData:
    """Points of a Gaussian mixture, the clouds evenly on a circle, so that a model's density can be held to the truth.

    `shares` are those of the clouds, one cloud each. The run's seed draws what is learnt from; `development` and `test`
    points held out are drawn by `split`, the same in every run. The classes are the clouds.

    >>> data = GaussianMixtureData()
    >>> data.load(seed=0).describe()
    'Gaussian mixture: 10000 to learn from, 1000 to tune on, 5000 to be judged by; each (2,) -> 4 classes'

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 2.3.9.
    """

    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)
    radius: float = 1.5
    deviation: float = 0.4
    train: int = 10_000
    development: int = 1000
    test: int = 5000
    batch_size: int = 256
    split: int = 0

    def __post_init__(self) -> None:
        fine = len(self.shares) >= 1 and min(self.shares) > 0 and abs(sum(self.shares) - 1) < 1e-6
        require(fine, "data.shares", list(self.shares), "shares above 0 that sum to 1, one a cloud")
        require(self.radius >= 0, "data.radius", self.radius, "a number from 0, usually 1.5")
        require(self.deviation > 0, "data.deviation", self.deviation, "a number above 0, usually 0.4")
        for name in ("train", "development", "test", "batch_size"):
            require(getattr(self, name) >= 1, f"data.{name}", getattr(self, name), "a whole number from 1")

    def truth(self) -> GaussianMixture:
        """Hand out the density from which the points are drawn."""
        count = len(self.shares)
        shares, deviations = torch.tensor(self.shares), torch.full((count,), self.deviation)
        return GaussianMixture(shares / shares.sum(), on_a_circle(count, self.radius), deviations)

    def load(self, seed: int) -> Dataset:
        """Draw the points."""
        mixture = self.truth()
        inputs, targets = mixture.draw(self.train, generator(seed, "mixture"))
        held = [
            mixture.draw(size, generator(self.split, f"mixture held out {at}"))
            for at, size in enumerate((self.development, self.test))
        ]
        return Dataset(
            TensorBatches(inputs, targets, batch_size=self.batch_size),
            held_out(*held[0]),
            held_out(*held[1]),
            inputs=(2,),
            outputs=len(self.shares),
            labels=tuple(f"cloud {number + 1}" for number in range(len(self.shares))),
            source="Gaussian mixture",
        )
