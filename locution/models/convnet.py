"""The convolutional network: small filters slide over a picture, block behind block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from locution.errors import require
from locution.models.accepted import accept
from locution.models.mlp import fully_connected
from locution.models.pooling import pooling

Norm = Literal["batch", "group", "none"]
Halving = Literal["stride", "max", "average"]
NORMS = ("batch", "group", "none")
SMALLEST = 4  # pixels: a picture of a shorter side is not halved again


def normalisation(norm: str, width: int) -> list[nn.Module]:
    """Make the layer that keeps the outputs of a convolution of so many channels at one scale, or none.

    >>> normalisation("group", 12), normalisation("none", 12)
    ([GroupNorm(6, 12, ...)], [])
    """
    if norm == "batch":
        return [nn.BatchNorm2d(width)]
    if norm == "group":
        return [nn.GroupNorm(max(groups for groups in range(1, 9) if width % groups == 0), width)]
    return []


def convolution(inputs: int, outputs: int, norm: str = "batch", stride: int = 1) -> list[nn.Module]:
    """Make a convolution of 3 x 3 pixels and the normalisation behind it; the size stays, or is halved by stride 2.

    >>> import torch
    >>> layers = convolution(3, 8, stride=2)
    >>> tuple(nn.Sequential(*layers)(torch.zeros(1, 3, 6, 6)).shape)
    (1, 8, 3, 3)
    """
    scale = normalisation(norm, outputs)  # it has a bias of its own
    return [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not scale), *scale]


def conv_block(inputs: int, outputs: int, norm: str = "batch", stride: int = 1) -> nn.Sequential:
    """Make the block that a plain network repeats: convolution, normalisation, bend.

    >>> conv_block(1, 4)
    Sequential( (0): Conv2d(1, 4, ...) (1): BatchNorm2d(4, ...) (2): ReLU() )
    """
    return nn.Sequential(*convolution(inputs, outputs, norm, stride), nn.ReLU())


class ResidualBlock(nn.Module):
    """A residual block is two convolutions with a way around them, along which what came in is added to what goes out.

    Where the channels or the size change, the way around is a convolution of 1 x 1 pixels.

    Shapes: (N, inputs, H, W) in, (N, outputs, H / stride, W / stride) out, rounded up.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> block = ResidualBlock(4, 4, "none")
    >>> for layer in block.way:
    ...     _ = [nn.init.zeros_(weight) for weight in layer.parameters()]
    >>> x = torch.rand(1, 4, 2, 2)
    >>> torch.equal(block(x), x)  # convolutions that say nothing leave what came in
    True

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Deep residual learning for image recognition", eqs. 1 and 2.
    """

    def __init__(self, inputs: int, outputs: int, norm: str = "batch", stride: int = 1) -> None:
        super().__init__()
        first = convolution(inputs, outputs, norm, stride)
        self.way = nn.Sequential(*first, nn.ReLU(), *convolution(outputs, outputs, norm))
        straight = inputs == outputs and stride == 1
        scale = normalisation(norm, outputs)
        across = nn.Conv2d(inputs, outputs, 1, stride, bias=not scale)
        self.around = nn.Identity() if straight else nn.Sequential(across, *scale)
        self.bend = nn.ReLU()

    def forward(self, pictures: Tensor) -> Tensor:
        """Go both ways and add."""
        found: Tensor = self.bend(self.way(pictures) + self.around(pictures))
        return found


class ConvNet(nn.Module):
    """A convolutional network (CNN) looks at every place of a picture with the same small filters, block behind block.

    Each stage has its number of channels and, but for the first, half the size of the one before; the mean over all
    places that are left goes into one fully connected layer.

    Parameters
    ----------
    channels: of the pictures. widths: channels of each stage. outputs: how many numbers come out. halved: how many of
    the stages behind the first halve the size. halving: by a convolution's stride, or by max or average pooling.
    blocks: how many a stage has. norm: batch, group or none. residual: blocks with a way around. dropout: the share of
    features left out before the last layer.

    Shapes: pictures (N, channels, H, W) from 0 to 1, or bytes from 0 to 255; outputs (N, outputs).

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = ConvNet(1, (8, 16), 10)
    >>> net(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    >>> sum(p.numel() for p in net.parameters())  # 9 x 8 + 16, 9 x 8 x 16 + 32, 16 x 10 + 10
    1442

    Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, 1998, "Gradient-based learning applied to document
    recognition", section II; M. Lin, Q. Chen, S. Yan, 2014, "Network in network", section 3.2 (the mean over places).
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        outputs: int,
        *,
        halved: int | None = None,
        halving: Halving = "stride",
        blocks: int = 1,
        norm: Norm = "batch",
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        make = ResidualBlock if residual else conv_block
        halved = len(widths) - 1 if halved is None else halved
        stages: list[nn.Module] = []
        for number, (before, width) in enumerate(pairwise((channels, *widths))):
            halves = 0 < number <= halved
            smaller = pooling(halving) if halves else []
            first = make(before, width, norm, 2 if halves and not smaller else 1)
            stages.append(nn.Sequential(*smaller, first, *(make(width, width, norm) for _ in range(blocks - 1))))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = fully_connected(widths[-1], outputs)
        self.describe = f"a convolutional network of stages of {', '.join(map(str, widths))} channels"

    def forward(self, pictures: Tensor) -> Tensor:
        """Carry (N, C, H, W) through the stages to (N, outputs)."""
        if not pictures.is_floating_point():
            pictures = pictures.float() / 255
        features = self.stages(pictures).mean((2, 3))  # (N, widths[-1])
        scores: Tensor = self.head(self.dropout(features))
        return scores


def stages_for(height: int, width: int) -> tuple[int, ...]:
    """Choose the widths of a small network by the size of its pictures: a stage more for each doubling from 8 pixels.

    >>> stages_for(8, 8), stages_for(32, 48), stages_for(64, 64)
    ((32, 64), (16, 32, 64, 128), (16, 32, 64, 64, 128))
    """
    doublings = sum(min(height, width) >= side for side in (16, 32, 64))
    return ((32, 64), (16, 32, 64), (16, 32, 64, 128), (16, 32, 64, 64, 128))[doublings]


@dataclass(frozen=True)
class ConvNetModel:
    """A convolutional network (CNN) looks at every place of a picture with the same small filters, block behind block.

    `widths` are the channels of each stage; empty for a small network by the size of the pictures. `blocks`, `norm`,
    `residual`, `dropout` and `halving` are those of `ConvNet`. The size is halved from stage to stage as long as its
    shorter side has 4 pixels or more.

    >>> import torch
    >>> model = ConvNetModel(widths=(8, 16)).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])

    Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, 1998, "Gradient-based learning applied to document
    recognition", section II.
    """

    widths: tuple[int, ...] = ()
    blocks: int = 1
    norm: Norm = "batch"
    residual: bool = False
    dropout: float = 0.0
    halving: Halving = "stride"

    def __post_init__(self) -> None:
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        require(self.blocks >= 1, "model.blocks", self.blocks, "a whole number from 1")
        require(self.norm in NORMS, "model.norm", self.norm, ", ".join(NORMS))
        require(0.0 <= self.dropout < 1.0, "model.dropout", self.dropout, "a share from 0 up to, not with, 1")
        pooling(self.halving)

    def build(self, inputs: tuple[int, ...], outputs: int) -> ConvNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("convnet", inputs, "pictures (channels, height, width)", [3])
        channels, height, width = inputs
        widths, side, halved = self.widths or stages_for(height, width), min(height, width), 0
        while side >= SMALLEST and halved < len(widths) - 1:
            side, halved = -(-side // 2), halved + 1
        return ConvNet(
            channels,
            widths,
            outputs,
            halved=halved,
            halving=self.halving,
            blocks=self.blocks,
            norm=self.norm,
            residual=self.residual,
            dropout=self.dropout,
        )
