"""The equivariant network: when the picture is turned by a quarter, all that it finds turns along."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from locution.errors import require
from locution.models.accepted import accept
from locution.models.mlp import fully_connected

TURNS = 4
"""Quarter turns: the rotations that a grid of pixels has without blending any."""


def turn(found: Tensor, quarters: int = 1) -> Tensor:
    """Turn pictures, or what was found in them in four orientations, anticlockwise by quarters.

    Shapes: pictures (N, C, H, W), or findings (N, C, 4, H, W), whose orientations move on with the turn.

    >>> turn(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).squeeze()
    tensor([[2., 4.], [1., 3.]])
    """
    turned = found.rot90(quarters, (-2, -1))
    return turned.roll(quarters, 2) if found.dim() == 5 else turned


def turned_filters(weights: Tensor) -> Tensor:
    """Turn each filter into its four orientations, so that one set of weights looks in all of them.

    Parameters
    ----------
    weights: (outputs, inputs, 1, h, w) for filters on pictures, (outputs, inputs, 4, h, w) for those on what was found
    in four orientations: there the orientations move on as the filter turns. h = w.

    Returns (outputs, 4, inputs, 1 or 4, h, w).

    >>> corner = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).view(1, 1, 1, 2, 2)
    >>> turned_filters(corner).view(4, 4)  # the corner goes round: upper left, lower left, lower right, upper right
    tensor([[1., 0., 0., 0.],
            [0., 0., 1., 0.],
            [0., 0., 0., 1.],
            [0., 1., 0., 0.]])

    Reference: T. Cohen, M. Welling, 2016, "Group equivariant convolutional networks", section 7.
    """
    moves = weights.shape[2] == TURNS
    each = [weights.rot90(quarters, (-2, -1)) for quarters in range(TURNS)]
    return torch.stack([one.roll(quarters, 2) if moves else one for quarters, one in enumerate(each)], 1)


class GroupConvolution(nn.Module):
    """A group convolution slides each filter over a picture in four orientations: where it is, and how it is turned.

    Turn what comes in by a quarter, and what goes out is turned by a quarter, its orientations moved on by one; there
    is nothing else that changes.

    Parameters
    ----------
    inputs, outputs: channels. orientations: of what comes in, 1 for pictures (which lifts them), 4 for what another
    such layer found. size: of the filters, odd. bias: add a number to each channel.

    Shapes: (N, inputs, H, W) or (N, inputs, 4, H, W) in, (N, outputs, 4, H, W) out.

    >>> _ = torch.manual_seed(0)
    >>> layer, x = GroupConvolution(1, 2, orientations=1), torch.rand(1, 1, 5, 5)
    >>> torch.allclose(layer(turn(x)), turn(layer(x)), atol=1e-6)
    True

    Reference: T. Cohen, M. Welling, 2016, "Group equivariant convolutional networks", eqs. 10 and 11.
    """

    def __init__(
        self, inputs: int, outputs: int, orientations: int = TURNS, size: int = 3, *, bias: bool = True
    ) -> None:
        super().__init__()
        require(orientations in (1, TURNS), "orientations", orientations, "1 for pictures, 4 for what was found")
        require(size >= 1 and size % 2 == 1, "size", size, "an odd number from 1, so that a filter has a middle")
        self.weight = nn.Parameter(torch.empty(outputs, inputs, orientations, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.kaiming_uniform_(self.weight.view(outputs, -1), a=math.sqrt(5))  # as torch's own convolutions begin

    def forward(self, found: Tensor) -> Tensor:
        """Look in four orientations."""
        flat = found.flatten(1, 2) if found.dim() == 5 else found  # (N, inputs x orientations, H, W)
        outputs, _, _, size, _ = self.weight.shape
        filters = turned_filters(self.weight).flatten(2, 3).flatten(0, 1)  # (outputs x 4, inputs x orientations, h, w)
        seen = conv2d(flat, filters, padding=size // 2)  # (N, outputs x 4, H, W)
        seen = seen.view(len(seen), outputs, TURNS, *seen.shape[-2:])  # (N, outputs, 4, H, W)
        return seen if self.bias is None else seen + self.bias.view(-1, 1, 1, 1)


class EquivariantNet(nn.Module):
    """An equivariant network turns along: what it finds in a turned picture is what it finds in the upright, turned.

    Group convolutions look in four orientations; the mean over places and orientations, which forgets both, goes into
    the last layer. So its answer is the same for a picture and its quarter turns, and one weight serves four.

    Parameters
    ----------
    channels: of the pictures. widths: channels of each stage, in four orientations each. outputs: how many numbers come
    out. halved: how many of the stages behind the first halve the size, by max pooling. norm: batch or none. dropout:
    the share of features left out before the last layer.

    Shapes: pictures (N, channels, H, W) from 0 to 1, or bytes from 0 to 255; outputs (N, outputs).

    >>> _ = torch.manual_seed(0)
    >>> net, x = EquivariantNet(1, (4, 8), 10, halved=1).eval(), torch.rand(2, 1, 8, 8)
    >>> torch.allclose(net(turn(x)), net(x), atol=1e-5)
    True

    Reference: T. Cohen, M. Welling, 2016, "Group equivariant convolutional networks", sections 6 and 8.1.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        outputs: int,
        halved: int,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for number, (before, width) in enumerate(pairwise((channels, *widths))):
            # squares of two lie the same way after a quarter turn only where they fill the picture
            smaller = [nn.MaxPool3d((1, 2, 2))] if 0 < number <= halved else []
            look = GroupConvolution(before, width, TURNS if number else 1, bias=norm == "none")
            scale = [nn.BatchNorm3d(width)] if norm == "batch" else []  # over orientations too: none is another's equal
            stages.append(nn.Sequential(*smaller, look, *scale, nn.ReLU()))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = fully_connected(widths[-1], outputs)
        self.describe = f"a rotation-equivariant network of stages of {', '.join(map(str, widths))} channels"

    def features(self, pictures: Tensor) -> Tensor:
        """Say what is found where, and how it is turned: (N, C, H, W) to (N, widths[-1], 4, h, w)."""
        found: Tensor = self.stages(pictures if pictures.is_floating_point() else pictures.float() / 255)
        return found

    def forward(self, pictures: Tensor) -> Tensor:
        """Carry (N, C, H, W) through the stages to (N, outputs)."""
        scores: Tensor = self.head(self.dropout(self.features(pictures).mean((2, 3, 4))))
        return scores


@dataclass(frozen=True)
class EquivariantModel:
    """An equivariant network turns along: what it finds in a turned picture is what it finds in the upright, turned.

    `widths` are the channels of each stage, each in four orientations; `norm` and `dropout` are those of
    `EquivariantNet`. The size is halved from stage to stage as long as both sides are even and have 4 pixels or more.

    >>> model = EquivariantModel(widths=(4, 8)).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])

    Reference: T. Cohen, M. Welling, 2016, "Group equivariant convolutional networks", section 6.
    """

    widths: tuple[int, ...] = (8, 16, 16)
    norm: Literal["batch", "none"] = "batch"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(min(self.widths, default=0) >= 1, "model.widths", list(self.widths), "one or more whole numbers from 1")
        require(self.norm in ("batch", "none"), "model.norm", self.norm, "batch, none")
        require(0.0 <= self.dropout < 1.0, "model.dropout", self.dropout, "a share from 0 up to, not with, 1")

    def build(self, inputs: tuple[int, ...], outputs: int) -> EquivariantNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("equivariant", inputs, "pictures (channels, height, width)", [3])
        channels, *sides = inputs
        halved = 0
        while halved < len(self.widths) - 1 and min(sides) >= 4 and not any(side % 2 for side in sides):
            sides, halved = [side // 2 for side in sides], halved + 1
        return EquivariantNet(channels, self.widths, outputs, halved, self.norm, self.dropout)
