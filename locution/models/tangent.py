"""Networks in the tangent parametrisation: they learn at one speed however wide they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from locution.errors import UserError, require


class TangentLayer(nn.Module):
    """A tangent layer is a fully connected layer whose weights are all drawn alike, and scaled where they are used.

    A network of such layers learns at the same speed however wide it is, and the wider it is, the less its kernel
    depends on chance and on training.

    Parameters
    ----------
    inputs, outputs: features. weight_variance, bias_variance: what the drawn numbers are scaled to.

    Shapes: (N, inputs) in, (N, outputs) out: sqrt(weight_variance / inputs) W x + sqrt(bias_variance) b.

    >>> layer = TangentLayer(4, 1, weight_variance=1.0)
    >>> _ = layer.weight.data.fill_(3.0)
    >>> layer(torch.ones(1, 4))  # 4 x 3 / sqrt(4)
    tensor([[6.]], ...)

    Reference: A. Jacot, F. Gabriel, C. Hongler, 2018, "Neural tangent kernel: convergence and generalization in neural
    networks", section 2.
    """

    def __init__(self, inputs: int, outputs: int, weight_variance: float = 2.0, bias_variance: float = 0.0) -> None:
        super().__init__()
        check_variances(weight_variance, bias_variance)
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.randn(outputs))
        self.squares = weight_variance / inputs, bias_variance

    def forward(self, inputs: Tensor) -> Tensor:
        """Scale and add: (N, inputs) to (N, outputs)."""
        by, plus = (math.sqrt(square) for square in self.squares)
        return nn.functional.linear(by * inputs, self.weight, plus * self.bias)


def check_variances(weight_variance: float, bias_variance: float, where: str = "") -> None:
    """Refuse variances that are none."""
    require(
        weight_variance > 0, f"{where}weight_variance", weight_variance, "a number above 0, usually 2 before a ReLU"
    )
    require(bias_variance >= 0, f"{where}bias_variance", bias_variance, "a number from 0")


class TangentNet(nn.Module):
    """A network in the tangent parametrisation is a perceptron of ReLUs that a kernel describes, the wider the better.

    Parameters
    ----------
    widths: features before, between and after the layers. weight_variance, bias_variance: those of `TangentLayer`.

    Shapes: inputs (N, ...) are flattened to (N, widths[0]); outputs (N, widths[-1]).

    >>> _ = torch.manual_seed(0)
    >>> TangentNet([2, 512, 1])(torch.zeros(5, 2)).shape
    torch.Size([5, 1])

    Reference: A. Jacot, F. Gabriel, C. Hongler, 2018, "Neural tangent kernel: convergence and generalization in neural
    networks", section 2.
    """

    def __init__(self, widths: tuple[int, ...], weight_variance: float = 2.0, bias_variance: float = 0.1) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [TangentLayer(before, after, weight_variance, bias_variance), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.depth, self.weight_variance, self.bias_variance = len(widths) - 2, weight_variance, bias_variance

    def forward(self, inputs: Tensor) -> Tensor:
        """Carry (N, ...) through the layers to (N, widths[-1])."""
        outputs: Tensor = self.layers(inputs)
        return outputs


@dataclass(frozen=True)
class TangentModel:
    """A network in the tangent parametrisation is a perceptron of ReLUs that a kernel describes, the wider the better.

    `widths` are those of the hidden layers; `weight_variance` and `bias_variance` are those of `TangentLayer`.

    >>> model = TangentModel(widths=(64,)).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])

    Reference: A. Jacot, F. Gabriel, C. Hongler, 2018, "Neural tangent kernel: convergence and generalization in neural
    networks", section 2.
    """

    widths: tuple[int, ...] = (512,)
    weight_variance: float = 2.0
    bias_variance: float = 0.1

    def __post_init__(self) -> None:
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        check_variances(self.weight_variance, self.bias_variance, "model.")

    def build(self, inputs: tuple[int, ...], outputs: int) -> TangentNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        if not inputs or min(inputs) < 1:
            raise UserError(
                f"model tangent came upon inputs {inputs}; allowed: numbers or pictures, such as (1, 8, 8)."
            )
        return TangentNet((math.prod(inputs), *self.widths, outputs), self.weight_variance, self.bias_variance)
