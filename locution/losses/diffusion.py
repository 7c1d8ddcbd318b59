"""The loss of a diffusion model: how well it says which noise was added to its data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.random import generator
from locution.errors import require, unknown
from locution.losses.basic import weighted_mean
from locution.models.conditioning import NOTHING
from locution.models.diffusion import VelocityDenoiser, noise_said, predicted_noise, said_by, velocity
from locution.models.noise_levels import SCHEDULES, NoiseLevels, variance_preserving


def noise_prediction_loss(predicted: Tensor, noise: Tensor) -> Tensor:
    """The simple loss of a diffusion model is the mean squared error of the noise that it says was added.

    Shapes: (N, ...), the same; returns (N,), a mean over the numbers of each example.

    >>> noise_prediction_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, -3.0]]))  # (1 + 9) / 2
    tensor([5.])

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", eq. 14.
    """
    wide = torch.promote_types(predicted.dtype, torch.float32)
    return (predicted.to(wide) - noise.to(wide)).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Noised:
    """Examples with noise in them: x and noise (N, ...), what both make at their level (N,), and what class is told."""

    x: Tensor
    noise: Tensor
    noisy: Tensor
    level: Tensor
    label: Tensor | None


def noised(model: nn.Module, batch: Batch, levels: NoiseLevels, forget: float, antithetic: bool = False) -> Noised:
    """Add noise of drawn levels to examples.

    In training all is drawn from torch's own generator; otherwise from a stream that is always alike, and no class is
    left out. antithetic: the second half of the batch gets the levels of the first, and the opposite noise.
    """
    draw, x = None if model.training else generator(0, "noise"), batch.inputs
    count = len(x) // 2 if antithetic else len(x)
    level = torch.randint(1, len(levels) + 1, (count,), generator=draw).to(x.device)  # each as likely
    noise = torch.randn(count, *x.shape[1:], generator=draw).to(x)
    if antithetic:
        level, noise = torch.cat([level, level]), torch.cat([noise, -noise])
    label = batch.targets
    if label is not None and model.training:
        label = forgotten(label, forget)
    return Noised(x, noise, levels.noised(x, noise, level), level, label)


def asked(
    model: nn.Module, batch: Batch, levels: NoiseLevels, forget: float, antithetic: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Add noise and ask a model which: the noise it says, the noise it was (N, ...), the levels (N,)."""
    some = noised(model, batch, levels, forget, antithetic)
    return predicted_noise(model, some.noisy, levels, some.level, some.label), some.noise, some.level


def forgotten(label: Tensor, share: float) -> Tensor:
    """Label dropping leaves out the class of some examples by chance, so that one network learns with and without.

    label: (N,) whole numbers, of which -1 will tell nothing; or shares (N, C), which become 0.

    >>> forgotten(torch.tensor([3, 5]), 1.0)
    tensor([-1, -1])

    Reference: J. Ho, T. Salimans, 2022, "Classifier-free diffusion guidance", algorithm 1.
    """
    left = torch.rand(len(label)).to(label.device) < share
    if label.is_floating_point():
        return label * ~left[:, None]
    return torch.where(left, NOTHING, label)


@dataclass
class NoisePrediction:
    """A diffusion model learns to say which noise was added to an example, at levels from hardly any to nothing else.

    Each example gets one level and one draw of noise a step; the loss is the mean over `batch.weight()` of the squared
    error. Where the batch has classes, the model is told them, but for a share that is left out. Of a network that says
    the velocity, the loss is the squared error of that: the noise's, weighed by one over alpha squared.

    Settings
    --------
    levels: T, from the data to pure noise. schedule: cosine or linear. forget: the share of examples whose class is
    left out, which guidance needs.

    >>> class Silent(nn.Module):
    ...     def forward(self, x, time, label=None): return 0 * x
    >>> _, loss = NoisePrediction()(Silent().eval(), Batch(torch.zeros(4000, 1)))
    >>> round(loss.item(), 1)  # the variance of noise
    1.0

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", algorithm 1.
    """

    levels: int = 1000
    schedule: Literal["cosine", "linear"] = "cosine"
    forget: float = 0.1

    def __post_init__(self) -> None:
        require(self.levels >= 2, "objective.levels", self.levels, "a whole number from 2, usually 1000")
        require(0 <= self.forget <= 1, "objective.forget", self.forget, "a share from 0 to 1, usually 0.1")
        if self.schedule not in SCHEDULES:
            raise unknown("schedule of noise", self.schedule, SCHEDULES)

    @cached_property
    def noise(self) -> NoiseLevels:
        """How much noise there is at each level."""
        return variance_preserving(SCHEDULES[self.schedule](self.levels))

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Add noise, ask which it was, or for the velocity, and measure: (predicted noise, loss)."""
        levels, some = self.noise, noised(model, batch, self.noise, self.forget)
        said = said_by(model, some.noisy, levels, some.level, some.label)
        wanted = some.noise
        if isinstance(model, VelocityDenoiser):
            wanted = velocity(some.x, some.noise, *levels.at(some.level, some.x))
        losses = noise_prediction_loss(said, wanted)
        return noise_said(model, said, some.noisy, levels, some.level), weighted_mean(losses, batch)
