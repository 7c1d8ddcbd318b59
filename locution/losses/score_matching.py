"""Denoising score matching: to learn where points lie more densely from points moved by noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch, map_tensors
from locution.errors import require
from locution.losses.basic import weighted_mean
from locution.losses.diffusion import asked
from locution.models.noise_levels import NoiseLevels, variance_exploding


def denoising_score_matching(score: Tensor, x: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """Denoising score matching compares a score at points moved by noise with the way back to where they came from.

    The way back, (x - noisy) / sigma^2, is wrong for each point, but right on average: the score of the points after
    the noise, and no other function, has the least loss. Half the squared distance, (N,).

    Shapes: score, x, noisy (N, ...); sigma (N,), the deviation of the noise.

    >>> x, noisy = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.5, 0.0]])
    >>> denoising_score_matching(torch.zeros(1, 2), x, noisy, torch.tensor([0.5]))  # half of (0.5 / 0.25)^2
    tensor([2.])

    Reference: P. Vincent, 2011, "A connection between score matching and denoising autoencoders", eq. 11.
    """
    wide = torch.promote_types(score.dtype, torch.float32)
    back = (x - noisy).to(wide) / sigma.to(wide).square().view(-1, *[1] * (x.dim() - 1))
    return 0.5 * (score.to(wide) - back).square().flatten(1).sum(1)


def paired(batch: Batch) -> Batch:
    """Take every example of a batch twice, all of them once more behind all."""

    def twice(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor])

    weights = None if batch.weights is None else twice(batch.weights)
    return replace(batch, inputs=twice(batch.inputs), targets=map_tensors(twice, batch.targets), weights=weights)


@dataclass
class ScoreMatching:
    """Denoising score matching teaches a network the score of data with noise in them, at many levels of noise.

    The score is the gradient of the log-density. The network says the noise, which is the score times minus sigma; the
    loss is the mean over `batch.weight()` of the denoising score matching of each example, times sigma squared, so that
    all levels count alike.

    Settings
    --------
    levels: how many. smallest, largest: the deviations of the noise at the first and at the last, the largest as wide
    as the data. forget: the share of examples whose class is left out, where classes are told. antithetic: each example
    is moved by its noise and by the opposite of it; what chance adds to the gradient at small levels goes out of both.

    >>> class Silent(nn.Module):
    ...     def forward(self, x, time, label=None): return 0 * x
    >>> _, loss = ScoreMatching()(Silent().eval(), Batch(torch.zeros(4000, 2)))
    >>> round(loss.item(), 1)  # half of the two variances
    1.0

    Reference: Y. Song, S. Ermon, 2019, "Generative modeling by estimating gradients of the data distribution", eqs. 5
    and 6.
    """

    levels: int = 20
    smallest: float = 0.1
    largest: float = 5.0
    forget: float = 0.1
    antithetic: bool = True

    def __post_init__(self) -> None:
        require(self.levels >= 2, "objective.levels", self.levels, "a whole number from 2, usually 10 to 1000")
        require(self.smallest > 0, "objective.smallest", self.smallest, "a number above 0, usually 0.01 to 0.1")
        wide = self.largest > self.smallest
        require(wide, "objective.largest", self.largest, f"a number above objective.smallest, {self.smallest:g}")
        require(0 <= self.forget <= 1, "objective.forget", self.forget, "a share from 0 to 1, usually 0.1")

    @cached_property
    def noise(self) -> NoiseLevels:
        """How much noise there is at each level."""
        return variance_exploding(self.levels, self.smallest, self.largest)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Add noise, ask for the score, and measure: (predicted noise, loss)."""
        twice = paired(batch) if self.antithetic else batch
        predicted, noise, level = asked(model, twice, self.noise, self.forget, self.antithetic)
        sigma = self.noise.sigmas.to(level.device)[level]  # (N,), or (2 N,)
        wide = sigma.view(-1, *[1] * (noise.dim() - 1))
        noisy = twice.inputs + wide * noise
        losses = denoising_score_matching(-predicted / wide, twice.inputs, noisy, sigma)
        return predicted, weighted_mean(sigma.square() * losses, twice)
