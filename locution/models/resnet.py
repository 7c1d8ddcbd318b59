"""The residual network: as many layers as one likes, for every block only adds to what comes in."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.accepted import accept
from locution.models.convnet import NORMS, Norm, normalisation
from locution.models.mlp import fully_connected


def skipped(inputs: Tensor, found: Tensor) -> Tensor:
    """A skip connection leads around some layers: what came in is added to what they found.

    The layers have only to find what is missing, and if that is nothing they can be zero. Backwards, a gradient comes
    through the sum undiminished, whatever the layers make of it.

    Shapes: two of the same, and their sum. Raises UserError where they differ.

    >>> import torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> skipped(x, 0 * x).sum().backward()  # layers that do nothing
    >>> x.grad
    tensor([1., 1.])

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Deep residual learning for image recognition", eq. 1; R.
    Srivastava, K. Greff, J. Schmidhuber, 2015, "Training very deep networks", eq. 3 (with gates).
    """
    if inputs.shape != found.shape:
        came = f"{tuple(inputs.shape)} around layers that give {tuple(found.shape)}"
        raise UserError(f"a skip connection leads {came}; allowed: two of one shape.")
    return inputs + found


def weigh(inputs: int, outputs: int, norm: str, stride: int = 1) -> list[nn.Module]:
    """Make one layer of a block: normalise, bend, and only then convolve 3 x 3 pixels.

    >>> weigh(4, 4, "none")
    [ReLU(), Conv2d(4, 4, ...)]
    """
    scale = normalisation(norm, inputs)
    return [*scale, nn.ReLU(), nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not scale)]


class Block(nn.Module):
    """A block of two layers and, if it is residual, a skip connection around them with nothing on it.

    Where the channels or the size change, the way around is a convolution of one pixel, as it must be.

    Shapes: (N, inputs, H, W) in, (N, outputs, H / stride, W / stride) out, rounded up.

    >>> import torch
    >>> block = Block(4, 4, "none")
    >>> _ = [nn.init.zeros_(weight) for weight in block.parameters()]
    >>> x = torch.randn(1, 4, 2, 2)
    >>> torch.equal(block(x), x)  # layers that say nothing leave all of it, below zero too
    True

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Identity mappings in deep residual networks", eq. 3 and figure
    4e.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int = 1, residual: bool = True) -> None:
        super().__init__()
        self.way = nn.Sequential(*weigh(inputs, outputs, norm, stride), *weigh(outputs, outputs, norm))
        straight = inputs == outputs and stride == 1
        self.around = nn.Identity() if straight or not residual else nn.Conv2d(inputs, outputs, 1, stride)
        self.residual = residual

    def forward(self, pictures: Tensor) -> Tensor:
        """Go through the layers, and around them too."""
        found: Tensor = self.way(pictures)
        return skipped(self.around(pictures), found) if self.residual else found


class ResNet(nn.Module):
    """A residual network (ResNet) adds block after block of layers to what came in, and so may be very deep.

    Parameters
    ----------
    channels: of the pictures. widths: channels of each stage; each but the first halves the size. outputs: how many
    numbers come out. layers: all that have weights, an even number: a first convolution, two a block, and a last layer.
    stride: of the first convolution. norm: batch, group or none. residual: False leaves the skip connections out.

    Shapes: pictures (N, channels, H, W) from 0 to 1, or bytes from 0 to 255; outputs (N, outputs).

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = ResNet(1, (4,), 10, layers=100)
    >>> len(net.blocks), net(torch.zeros(5, 1, 8, 8)).shape
    (49, torch.Size([5, 10]))

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Identity mappings in deep residual networks", eqs. 3 to 5.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        outputs: int,
        layers: int,
        *,
        stride: int = 1,
        norm: Norm = "batch",
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, stride, padding=1)
        blocks, count, before = [], layers // 2 - 1, widths[0]
        for number in range(count):
            stage = number * len(widths) // count  # the blocks are dealt out to the stages, as evenly as it goes
            begins = number > 0 and stage > (number - 1) * len(widths) // count
            blocks.append(Block(before, widths[stage], norm, 2 if begins else 1, residual))
            before = widths[stage]
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(*normalisation(norm, before), nn.ReLU())
        self.head = fully_connected(before, outputs)
        self.describe = f"{'a residual' if residual else 'a plain'} network of {layers} layers"

    def forward(self, pictures: Tensor) -> Tensor:
        """Carry (N, C, H, W) through the blocks to (N, outputs)."""
        if not pictures.is_floating_point():
            pictures = pictures.float() / 255
        features = self.last(self.blocks(self.stem(pictures))).mean((2, 3))  # (N, widths[-1])
        scores: Tensor = self.head(features)
        return scores


@dataclass(frozen=True)
class ResNetModel:
    """A residual network (ResNet) adds block after block of layers to what came in, and so may be very deep.

    `layers`, `widths`, `stride`, `norm` and `residual` are those of `ResNet`; there must be a block for each stage, and
    pictures must be large enough to be halved for each. Without its skip connections (`residual=false`) a network of a
    hundred layers does not learn.

    >>> import torch
    >>> model = ResNetModel(layers=12, widths=(4, 8)).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Deep residual learning for image recognition", section 3.3.
    """

    layers: int = 20
    widths: tuple[int, ...] = (16,)
    stride: int = 1
    norm: Norm = "batch"
    residual: bool = True

    def __post_init__(self) -> None:
        require(min(self.widths, default=0) >= 1, "model.widths", list(self.widths), "one or more whole numbers from 1")
        least = 2 + 2 * len(self.widths)
        allowed = f"an even number from {least}: two a block, a block or more a stage, the first and the last"
        require(self.layers >= least and self.layers % 2 == 0, "model.layers", self.layers, allowed)
        require(self.stride in (1, 2), "model.stride", self.stride, "1, or 2 to halve the pictures at once")
        require(self.norm in NORMS, "model.norm", self.norm, ", ".join(NORMS))

    def build(self, inputs: tuple[int, ...], outputs: int) -> ResNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("resnet", inputs, "pictures (channels, height, width)", [3])
        halved = self.stride * 2 ** (len(self.widths) - 1)
        if min(inputs[1:]) < halved:
            allowed = f"{halved} or more pixels a side, or fewer model.widths"
            raise UserError(f"model resnet came upon pictures of {inputs[1]} x {inputs[2]}; allowed: {allowed}.")
        return ResNet(
            inputs[0], self.widths, outputs, self.layers, stride=self.stride, norm=self.norm, residual=self.residual
        )
