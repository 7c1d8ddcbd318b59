"""DropConnect: in training, a random part of a layer's weights is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.method import Method, Plan, Step
from locution.errors import require
from locution.models.surgery import lean_copy, replace_layers

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def drop_mask(shape: Sequence[int], p: float, draw: torch.Generator) -> Tensor:
    """Draw a mask that is 0 with probability p and else 1 / (1 - p), so that its mean is 1.

    >>> drop_mask((6,), 0.5, torch.Generator().manual_seed(0))
    tensor([0., 2., 0., 0., 0., 2.])
    """
    return (torch.rand(tuple(shape), generator=draw) >= p).float() / (1 - p)


class DropConnect(nn.Module):
    """DropConnect is a layer that works, while it trains, with a masked copy of its weight.

    `redraw` draws the mask; it stays until the next draw, so that every pass of a step sees the same layer. In
    evaluation the weight is whole. Shapes are those of the layer.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer.weight.data = torch.tensor([[1.0, 1.0]])
    >>> dropped = DropConnect(layer, p=0.5)
    >>> dropped.redraw(torch.Generator().manual_seed(0))
    >>> dropped(torch.tensor([1.0, 10.0])), dropped.eval()(torch.tensor([1.0, 10.0]))
    (tensor([20.], grad_fn=...), tensor([11.], grad_fn=...))

    Reference: L. Wan, M. Zeiler, S. Zhang, Y. LeCun, R. Fergus, 2013, "Regularization of neural networks using
    DropConnect", section 3.1.
    """

    def __init__(self, layer: nn.Module, p: float = 0.5) -> None:
        super().__init__()
        self.layer, self.p = layer, p
        self.mask: Tensor | None = None  # no buffer: the next step draws another

    @property
    def weight(self) -> Tensor:
        """The whole weight of the layer inside."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        return weight

    @property
    def bias(self) -> Tensor | None:
        """The bias of the layer inside, which is never masked."""
        bias: Tensor | None = self.layer.bias  # type: ignore[assignment]
        return bias

    def redraw(self, draw: torch.Generator) -> None:
        """Draw which weights are missing from now on."""
        self.mask = drop_mask(self.weight.shape, self.p, draw).to(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.mask is None:
            whole: Tensor = self.layer(x)
            return whole
        return with_weight(self.layer, x, self.weight * self.mask)


def with_weight(layer: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """Apply a linear or a convolution layer with another weight than its own."""
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(x, weight, layer.bias)
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    found: Tensor = layer._conv_forward(x, weight, layer.bias)
    return found


@dataclass
class DropConnectMethod(Method):
    """DropConnect leaves out random weights of a layer in each step of training, as dropout leaves out random units.

    No connection can rely on another one being there. One mask a layer and step, drawn from the step's own stream:
    the same for all passes, micro-batches and processes (the paper draws one for each example). What leaves training
    has whole weights.

    Settings
    --------
    p: the share of weights that is missing. layers: which linear and convolution layers, by a pattern on their names,
    or several.

    Of weights (1, 1) at p = 0.5 the first is dropped here and the second doubled, so that the mean stays:

    >>> drop_mask((2,), 0.5, torch.Generator().manual_seed(0))
    tensor([0., 2.])

    Reference: L. Wan, M. Zeiler, S. Zhang, Y. LeCun, R. Fergus, 2013, "Regularization of neural networks using
    DropConnect", section 3.1.
    """

    name: ClassVar[str] = "dropconnect"
    after: ClassVar[tuple[str, ...]] = ("spectral_norm",)  # the weight that is masked is the one it makes
    excludes: ClassVar[dict[str, str]] = {"lora": "its weights are frozen: lora.dropout hides its input instead"}

    p: float = 0.2
    layers: str | tuple[str, ...] = "*"

    def __post_init__(self) -> None:
        require(0 <= self.p < 1, "dropconnect.p", self.p, "a share from 0 to below 1, usually 0.2 to 0.5")
        require(bool(self.layers), "dropconnect.layers", self.layers, "a pattern on the layers' names, such as *")
        self.dropped: list[DropConnect] = []

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        model = replace_layers(model, lambda name, layer: DropConnect(layer, self.p), self.layers, KINDS)
        self.dropped = [module for module in model.modules() if isinstance(module, DropConnect)]
        return model

    def batch(self, batch: Batch, step: Step) -> Batch:
        draw = step.generator(self.name)
        for layer in self.dropped:
            layer.redraw(draw)
        return batch

    def trained(self, model: nn.Module) -> nn.Module:
        return plain(model)


def plain(model: nn.Module) -> nn.Module:
    """Copy a model with its layers as they were before, whole.

    >>> plain(nn.Sequential(DropConnect(nn.Linear(2, 1))))
    Sequential( (0): Linear(in_features=2, out_features=1, bias=True) )
    """
    model = lean_copy(model)
    return replace_layers(model, lambda name, layer: layer.layer, "*", (DropConnect,))  # type: ignore[arg-type, return-value]
