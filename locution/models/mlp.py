"""The multilayer perceptron: fully connected layers in a row, from a list of widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from locution.errors import require
from locution.models.accepted import accept
from locution.models.activations import activation as activation_named
from locution.models.normalisation import norm_named


def fully_connected(inputs: int, outputs: int) -> nn.Linear:
    """A fully connected (dense, linear) layer joins every input to every output by a weight, and adds a bias
    each.

    Shapes: (N, inputs) in, (N, outputs) out: inputs x outputs weights and outputs biases.

    >>> layer = fully_connected(3, 2)
    >>> layer.weight.numel(), layer.bias.numel()
    (6, 2)

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", section 6.1.
    """
    return nn.Linear(inputs, outputs)


def hidden_features(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """A hidden layer stands between the input and the output, and nobody tells it what to put out.

    This hands out what each of them makes of the inputs: all that goes into a layer with weights, but the
    first.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> [tuple(h.shape) for h in hidden_features(MLP([64, 32, 16, 10]), torch.zeros(5, 64))]
    [(5, 32), (5, 16)]

    Reference: D. Rumelhart, G. Hinton, R. Williams, 1986, "Learning representations by back-propagating
    errors".
    """
    came: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, args: came.append(args[0]))
        for module in model.modules()
        if any(parameter.dim() >= 2 for parameter in module.parameters(recurse=False))
    ]
    try:
        model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return came[1:]


class Residual(nn.Module):
    """A residual connection adds what came in to what goes out, so that the gradient has a way around the
    layer.

    >>> import torch
    >>> Residual(nn.Identity())(torch.tensor([1.0, 2.0]))
    tensor([2., 4.])

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Deep residual learning for image recognition", eq. 1.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        """Add the block's output to its input."""
        return inputs + self.block(inputs)  # type: ignore[no-any-return]


class MLP(nn.Module):
    """A multilayer perceptron (MLP) is a row of fully connected layers with a bend between each and the next.

    Parameters
    ----------
    widths: the number of features before, between and after the layers, such as (64, 128, 10): two layers.
    activation: the bend, by name. dropout: the share of hidden units left out at random in training.
    residual: a bend and the layer behind it add what came in to what goes out, where the widths allow.
    norm: "batch" or "layer" normalises what goes into each bend; "none" leaves it as it is.

    Shapes: inputs (N, ...) are flattened to (N, widths[0]); outputs (N, widths[-1]).

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = MLP([64, 32, 10])
    >>> net(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    >>> sum(p.numel() for p in net.parameters())  # 64 x 32 + 32 + 32 x 10 + 10
    2410

    Reference: D. Rumelhart, G. Hinton, R. Williams, 1986, "Learning representations by back-propagating
    errors".
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str = "relu",
        dropout: float = 0.0,
        residual: bool = False,
        norm: str = "none",
    ) -> None:
        super().__init__()
        require(len(widths) >= 2 and min(widths) >= 1, "widths", list(widths), "two or more whole numbers from 1")
        require(0.0 <= dropout < 1.0, "dropout", dropout, "a share from 0 up to, not with, 1")
        layers: list[nn.Module] = [fully_connected(widths[0], widths[1])]
        for before, after in pairwise(widths[1:]):
            rest = [nn.Dropout(dropout)] if dropout > 0 else []
            bend = [*norm_named(norm, before), activation_named(activation)]
            parts = [*bend, *rest, fully_connected(before, after)]
            layers += [Residual(nn.Sequential(*parts))] if residual and before == after else parts
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Carry (N, ...) through the layers to (N, widths[-1])."""
        return self.layers(inputs.flatten(1) if inputs.dim() > 2 else inputs)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class MLPModel:
    """A multilayer perceptron (MLP) is a row of fully connected layers with a bend between each and the next.

    `widths` are those of the hidden layers: the data say how many features come in and how many numbers go
    out. `activation`, `dropout`, `residual` and `norm` are those of `MLP`.

    >>> import torch
    >>> model = MLPModel(widths=(32,)).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])

    Reference: D. Rumelhart, G. Hinton, R. Williams, 1986, "Learning representations by back-propagating
    errors".
    """

    widths: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    dropout: float = 0.0
    residual: bool = False
    norm: Literal["none", "batch", "layer"] = "none"

    def __post_init__(self) -> None:
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        require(0.0 <= self.dropout < 1.0, "model.dropout", self.dropout, "a share from 0 up to, not with, 1")
        activation_named(self.activation)
        norm_named(self.norm, 1)

    def build(self, inputs: tuple[int, ...], outputs: int) -> MLP:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("mlp", inputs, "numbers of any shape, at least one")
        widths = (math.prod(inputs), *self.widths, outputs)
        return MLP(widths, self.activation, self.dropout, self.residual, self.norm)


def depth(model: nn.Module) -> int:
    """Deep learning is learning with many layers in a row, each making its features from those of the one
    before.

    This counts them: the modules with weights of their own (matrices or larger) that they hold themselves.

    >>> depth(MLP([64, 128, 128, 10]))
    3

    Reference: Y. LeCun, Y. Bengio, G. Hinton, 2015, "Deep learning", Nature 521.
    """
    held = (module.parameters(recurse=False) for module in model.modules())
    return sum(any(parameter.dim() >= 2 for parameter in parameters) for parameters in held)
