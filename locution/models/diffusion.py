"""Noise-prediction networks: what a diffusion model learns is to say which noise was added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    alpha, sigma = levels.at(level, noisy)
    scaled, time = noisy * (alpha.square() + sigma.square()).rsqrt(), level / len(levels)
    found: Tensor = model(scaled, time) if label is None else model(scaled, time, label)
    return found


@dataclass(frozen=True)
class DenoiserModel:
    """A noise-prediction network is shown an input with noise in it and says which noise: so a diffusion model learns.

    Pictures go through a U-Net of stages of `widths` channels, each half the size of the one before; all else through
    residual layers, as many as `widths` has numbers but all of the first's width. `conditional`: it is told the class
    too, one of the data's, or nothing, so that guidance can compare both.

    >>> import torch
    >>> model = DenoiserModel(widths=(8, 16), conditional=True).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(2, 1, 8, 8), torch.tensor([0.5, 1.0]), torch.tensor([3, -1])).shape
    torch.Size([2, 1, 8, 8])

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", section 3.2 and appendix B.
    """

    widths: tuple[int, ...] = (32, 64)
    conditional: bool = False

    def __post_init__(self) -> None:
        fine = len(self.widths) >= 1 and min(self.widths) >= 1
        require(fine, "model.widths", list(self.widths), "whole numbers from 1, at least one")

    def build(self, inputs: tuple[int, ...], outputs: int) -> UNet | PointDenoiser:
        """Make the network; its outputs are of its inputs' shape, and `outputs` counts the classes."""
        if not inputs or math.prod(inputs) < 1:
            raise UserError(f"model denoiser came upon inputs {inputs}; allowed: pictures (C, H, W), or vectors (D,).")
        classes = outputs if self.conditional else 0
        if len(inputs) == 3:
            return UNet(inputs[0], self.widths, classes)
        return PointDenoiser(inputs, self.widths[0], len(self.widths), classes)
