"""The U-Net: a picture is made smaller and larger again, and each size is handed across."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.models.conditioning import Conditioning
from locution.models.convnet import normalisation


class ToldBlock(nn.Module):
    """A residual block that reads a vector: it scales and shifts each channel between its two convolutions.

    Shapes: (N, inputs, H, W) and (N, told) in, (N, outputs, H, W) out.

    Reference: P. Dhariwal, A. Nichol, 2021, "Diffusion models beat GANs on image synthesis", section 3.1 (adaptive
    group normalisation).
    """

    def __init__(self, inputs: int, outputs: int, told: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*normalisation("group", inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.told = nn.Linear(told, 2 * outputs)
        self.scale = normalisation("group", outputs)[0]
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.around = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, pictures: Tensor, told: Tensor) -> Tensor:
        """Go both ways and add."""
        scale, shift = self.told(told)[..., None, None].chunk(2, 1)  # (N, outputs, 1, 1) each
        inner = self.scale(self.first(pictures)) * (1 + scale) + shift
        found: Tensor = self.second(inner) + self.around(pictures)
        return found


class UNet(nn.Module):
    """A U-Net makes a picture smaller, stage by stage, and larger again, each stage reading what had its size before.

    Parameters
    ----------
    channels: of the pictures. widths: channels of each stage, each half the size of the one before. classes: 0 for a
    network that is told none.

    Shapes: pictures (N, channels, H, W), time (N,) from 0 to 1, label as in `Conditioning`; (N, channels, H, W) out.

    >>> _ = torch.manual_seed(0)
    >>> net = UNet(1, (8, 16))
    >>> net(torch.zeros(2, 1, 7, 9), torch.tensor([0.1, 0.9])).shape  # any size
    torch.Size([2, 1, 7, 9])

    Reference: O. Ronneberger, P. Fischer, T. Brox, 2015, "U-Net: convolutional networks for biomedical image
    segmentation", section 2; told the time as in J. Ho, A. Jain, P. Abbeel, 2020, appendix B.
    """

    def __init__(self, channels: int, widths: Sequence[int], classes: int = 0) -> None:
        super().__init__()
        told = 4 * widths[0]
        self.conditioning = Conditioning(told, classes)
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(ToldBlock(width, width, told) for width in widths[:-1])
        self.smaller = nn.ModuleList(nn.Conv2d(one, two, 3, 2, padding=1) for one, two in pairwise(widths))
        self.middle = ToldBlock(widths[-1], widths[-1], told)
        pairs = list(pairwise(widths))[::-1]
        self.larger = nn.ModuleList(nn.Conv2d(two, one, 3, padding=1) for one, two in pairs)
        self.up = nn.ModuleList(ToldBlock(2 * one, one, told) for one, _ in pairs)
        out = nn.Conv2d(widths[0], channels, 3, padding=1)
        with torch.no_grad():
            out.weight.mul_(0.1)  # at first hardly anything is said
        self.last = nn.Sequential(*normalisation("group", widths[0]), nn.SiLU(), out)

    def forward(self, pictures: Tensor, time: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """Say what noise is in the pictures."""
        told = functional.silu(self.conditioning(no_time(pictures) if time is None else time, label))
        inner, seen = self.first(pictures), []
        for block, smaller in zip(self.down, self.smaller, strict=True):
            inner = block(inner, told)
            seen.append(inner)
            inner = smaller(inner)
        inner = self.middle(inner, told)
        for block, larger in zip(self.up, self.larger, strict=True):
            across = seen.pop()
            grown = larger(functional.interpolate(inner, across.shape[-2:]))
            inner = block(torch.cat([grown, across], 1), told)
        noise: Tensor = self.last(inner)
        return noise


def no_time(inputs: Tensor) -> Tensor:
    """Take inputs of which no time is told as nearly free of noise: time 0 of each, (N, ...) -> (N,)."""
    return torch.zeros(len(inputs), device=inputs.device)
