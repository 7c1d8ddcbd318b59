"""The layer of LoRA: a frozen one, and beside it two thin matrices that learn what to add to it."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from locution.errors import require

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
KINDS = (nn.Linear, *CONVOLUTIONS)
PLACE_BY_PLACE = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}  # by the dimensions of a weight


def check(where: str, rank: int, alpha: float, dropout: float) -> None:
    """Refuse settings with which nothing would be learnt."""
    require(rank >= 1, f"{where}.rank", rank, "a whole number from 1, usually 8 to 64")
    require(alpha > 0, f"{where}.alpha", alpha, "a number above 0, usually twice the rank")
    require(0 <= dropout < 1, f"{where}.dropout", dropout, "a share from 0 up to, not with, 1")


def low_rank_update(down: Tensor, up: Tensor, alpha: float) -> Tensor:
    """A low-rank update is the product of two thin matrices, scaled: few numbers that change a whole weight.

    down (r, in), up (out, r): gives alpha / r x up @ down, (out, in), of rank r at most. Of a convolution, down is
    (r, in, *kernel) and up (out, r, 1, ...): gives (out, in, *kernel).

    >>> low_rank_update(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0], [3.0]]), alpha=2.0)
    tensor([[ 2.,  4.], [ 6., 12.]])

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.1, equation 3.
    """
    product = up.flatten(1) @ down.flatten(1)  # (out, in x kernel)
    return alpha / len(down) * product.view(len(up), *down.shape[1:])


def adaptable(layer: nn.Module) -> bool:
    """Say whether LoRA can stand in a layer's place: a linear layer, or a convolution that mixes all its channels.

    The last layer of torch's own attention is none: that reads its weight and never calls it. Nor is a convolution in
    groups: its update could not be added into its weight.

    >>> [adaptable(layer) for layer in (nn.Linear(2, 2), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3, groups=2), nn.ReLU())]
    [True, True, False, False]
    """
    if isinstance(layer, CONVOLUTIONS):
        return layer.groups == 1
    return isinstance(layer, nn.Linear) and not isinstance(layer, NonDynamicallyQuantizableLinear)


class LoRA(nn.Module):
    """A layer that stays frozen, and beside it two thin matrices that learn what to add to it.

    The layer is linear or a convolution; then the first matrix is a convolution too, of the same kernel into `rank`
    channels, and the second acts place by place. `up` starts at zero, so that nothing changes before training begins.
    Both are kept in fp32 and used in the precision of what comes in; `dropout` hides a share of what comes in while it
    trains.

    >>> layer = LoRA(nn.Linear(3, 2), rank=1, alpha=1.0)
    >>> x = torch.ones(1, 3)
    >>> bool((layer(x) == layer.base(x)).all())
    True
    >>> _ = layer.down.data.fill_(1.0), layer.up.data.fill_(0.5)
    >>> (layer(x) - layer.base(x)).tolist()  # 0.5 x (1 + 1 + 1)
    [[1.5, 1.5]]
    >>> layer = LoRA(nn.Conv2d(3, 8, 5), rank=2)
    >>> tuple(layer.down.shape), tuple(layer.up.shape)
    ((2, 3, 5, 5), (8, 2, 1, 1))

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.1.
    """

    def __init__(
        self,
        base: nn.Module,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        stream: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        layer: Any = base.requires_grad_(False)
        self.base, self.alpha, self.dropout = layer, alpha, dropout
        out, *seen = layer.weight.shape  # seen: inputs, and the kernel of a convolution
        start = torch.empty(rank, *seen)
        bound = 1 / math.sqrt(math.prod(seen))  # what Kaiming's rule with a = sqrt(5) comes to, as in peft
        start.uniform_(-bound, bound, generator=stream)
        self.down = nn.Parameter(start.to(layer.weight.device))  # (r, in, *kernel)
        ones = (1,) * (len(seen) - 1)
        self.up = nn.Parameter(torch.zeros(out, rank, *ones, device=layer.weight.device))  # (out, r, 1, ...)

    @property
    def weight(self) -> Tensor:
        """The frozen weight, for code that asks a layer for its type or its place."""
        weight: Tensor = self.base.weight
        return weight

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        bias: Tensor | None = self.base.bias
        return bias

    @property
    def rank(self) -> int:
        """How many rows the thin matrices have."""
        return len(self.down)

    def forward(self, x: Tensor) -> Tensor:
        hidden, down, up = F.dropout(x, self.dropout, self.training), self.down.to(x.dtype), self.up.to(x.dtype)
        if down.dim() == 2:
            change = F.linear(F.linear(hidden, down), up)  # (..., r), then (..., out)
        else:  # as the layer pads and strides, (N, r, ...), then (N, out, ...)
            change = PLACE_BY_PLACE[down.dim()](self.base._conv_forward(hidden, down, None), up)
        answer: Tensor = self.base(x)
        return answer + self.alpha / self.rank * change

    def merged(self) -> nn.Module:
        """Make the plain layer that does the same: its weight with the update added, its own bias.

        The weight counts as one that trains, for training has moved it.
        """
        own: nn.Module = self.base
        layer = copy.copy(own)  # how it pads and strides, and not the large weight
        weight = self.weight.detach().float() + low_rank_update(self.down.detach(), self.up.detach(), self.alpha)
        layer._parameters = own._parameters | {"weight": nn.Parameter(weight.to(self.weight.dtype))}
        return layer.train(self.training)


def lora_layers(model: nn.Module) -> dict[str, LoRA]:
    """Find the adapted layers of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRA)}
