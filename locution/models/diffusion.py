"""Noise-prediction networks: what a diffusion model learns is to say which noise was added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from locution.errors import UserError, require
from locution.models.conditioning import Conditioning
from locution.models.noise_levels import NoiseLevels
from locution.models.unet import UNet, no_time


class PointDenoiser(nn.Module):
    """A noise-prediction network for points or vectors: residual layers that the time scales and shifts.

    Parameters
    ----------
    shape: of one input. width, layers: of the hidden layers. classes: 0 for a network that is told none.

    Shapes: inputs (N, *shape), time (N,) from 0 to 1, label as in `Conditioning`; (N, *shape) out.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> PointDenoiser((2,), 16, 2)(torch.zeros(5, 2), torch.full((5,), 0.5)).shape
    torch.Size([5, 2])

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", section 3.2.
    """

    def __init__(self, shape: Sequence[int], width: int, layers: int, classes: int = 0) -> None:
        super().__init__()
        size = math.prod(shape)
        self.shape = tuple(shape)
        self.conditioning = Conditioning(width, classes)
        self.first = nn.Linear(size, width)
        self.told = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        self.layers = nn.ModuleList(nn.Sequential(nn.SiLU(), nn.Linear(width, width)) for _ in range(layers))
        self.last = nn.Sequential(nn.SiLU(), nn.Linear(width, size))

    def forward(self, inputs: Tensor, time: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """Say what noise is in the inputs."""
        told = functional.silu(self.conditioning(no_time(inputs) if time is None else time, label))
        inner = self.first(inputs.flatten(1))
        for reads, layer in zip(self.told, self.layers, strict=True):
            scale, shift = reads(told).chunk(2, 1)  # (N, width) each
            inner = inner + layer(inner * (1 + scale) + shift)
        noise: Tensor = self.last(inner).view(len(inputs), *self.shape)
        return noise


def velocity(x: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The velocity of a diffusion is which way its inputs move as noise comes to them: alpha noise - sigma data.

    A network that says it is asked for the noise where there is hardly any, and for the data where there is hardly
    anything else: at every level for what cannot be read off its input. alpha^2 + sigma^2 is 1.

    >>> import torch
    >>> velocity(torch.tensor([10.0]), torch.tensor([1.0]), torch.tensor(0.8), torch.tensor(0.6))  # 0.8 - 6
    tensor([-5.2000])

    Reference: T. Salimans, J. Ho, 2022, "Progressive distillation for fast sampling of diffusion models", section 4
    and appendix D.
    """
    return alpha * noise - sigma * x


class VelocityDenoiser(nn.Module):
    """Velocity prediction (v-prediction) lets a network say the velocity instead of the noise; both can be had from
    each other and the input.

    Parameters
    ----------
    network: takes and returns what a noise-prediction network does.

    >>> import torch
    >>> says_nothing = VelocityDenoiser(nn.Linear(2, 2))
    >>> says_nothing(torch.zeros(5, 2)).shape
    torch.Size([5, 2])

    Reference: T. Salimans, J. Ho, 2022, "Progressive distillation for fast sampling of diffusion models", section 4.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, *told: Tensor) -> Tensor:
        """Say the velocity."""
        found: Tensor = self.network(inputs, *told)
        return found


def standard(levels: NoiseLevels, level: Tensor, noisy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale inputs so that data of variance 1 come with variance 1 at every level: (inputs, alpha, sigma)."""
    alpha, sigma = levels.at(level, noisy)
    scale = (alpha.square() + sigma.square()).rsqrt()
    return noisy * scale, alpha * scale, sigma * scale


def said_by(model: nn.Module, noisy: Tensor, levels: NoiseLevels, level: Tensor, label: Tensor | None = None) -> Tensor:
    """Ask a network for what it says of inputs of some levels, noise or velocity: (N, ...), (N,) -> (N, ...)."""
    scaled, time = standard(levels, level, noisy)[0], level / len(levels)
    found: Tensor = model(scaled, time) if label is None else model(scaled, time, label)
    return found


def noise_said(model: nn.Module, said: Tensor, noisy: Tensor, levels: NoiseLevels, level: Tensor) -> Tensor:
    """Take the noise from what a network said: it is the noise, or alpha velocity + sigma input."""
    if not isinstance(model, VelocityDenoiser):
        return said
    scaled, alpha, sigma = standard(levels, level, noisy)
    return alpha * said + sigma * scaled


def predicted_noise(
    model: nn.Module, noisy: Tensor, levels: NoiseLevels, level: Tensor, label: Tensor | None = None
) -> Tensor:
    """Ask a network which noise was added to inputs of some levels: (N, ...), (N,) -> (N, ...).

    What it reads is scaled so that data of variance 1 come with variance 1 at every level; its time is the share of the
    level in all. The score is this noise, divided by minus sigma.

    >>> import torch
    >>> levels = NoiseLevels(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.75]))
    >>> predicted_noise(lambda x, time: x, torch.tensor([[2.5]]), levels, torch.tensor([1]))  # 2.5 / sqrt(1 + 0.75^2)
    tensor([[2.]])

    Reference: T. Karras, M. Aittala, T. Aila, S. Laine, 2022, "Elucidating the design space of diffusion-based
    generative models", table 1 (the scale of inputs).
    """
    return noise_said(model, said_by(model, noisy, levels, level, label), noisy, levels, level)


@dataclass(frozen=True)
class DenoiserModel:
    """A noise-prediction network is shown an input with noise in it and says which noise: so a diffusion model learns.

    Pictures go through a U-Net of stages of `widths` channels, each half the size of the one before; all else through
    residual layers, as many as `widths` has numbers but all of the first's width. `conditional`: it is told the class
    too, one of the data's, or nothing, so that guidance can compare both. `predicts`: noise, or velocity.

    >>> import torch
    >>> model = DenoiserModel(widths=(8, 16), conditional=True).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(2, 1, 8, 8), torch.tensor([0.5, 1.0]), torch.tensor([3, -1])).shape
    torch.Size([2, 1, 8, 8])

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", section 3.2 and appendix B.
    """

    widths: tuple[int, ...] = (32, 64)
    conditional: bool = False
    predicts: Literal["noise", "velocity"] = "noise"

    def __post_init__(self) -> None:
        require(self.predicts in ("noise", "velocity"), "model.predicts", self.predicts, "noise or velocity")
        fine = len(self.widths) >= 1 and min(self.widths) >= 1
        require(fine, "model.widths", list(self.widths), "whole numbers from 1, at least one")

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """Make the network; its outputs are of its inputs' shape, and `outputs` counts the classes."""
        if not inputs or math.prod(inputs) < 1:
            raise UserError(f"model denoiser came upon inputs {inputs}; allowed: pictures (C, H, W), or vectors (D,).")
        classes = outputs if self.conditional else 0
        pictures, width, layers = len(inputs) == 3, self.widths[0], len(self.widths)
        network: nn.Module
        network = UNet(inputs[0], self.widths, classes) if pictures else PointDenoiser(inputs, width, layers, classes)
        return VelocityDenoiser(network) if self.predicts == "velocity" else network
