"""LoRA: learn a small change to large frozen weights, as the product of two thin matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from locution.engine.method import Method, Plan
from locution.engine.random import generator
from locution.errors import require
from locution.models.freezing import set_trained
from locution.models.surgery import lean_copy, replace_layers

Patterns = str | tuple[str, ...]


def low_rank_update(down: Tensor, up: Tensor, alpha: float) -> Tensor:
    """A low-rank update is the product of two thin matrices, scaled: few numbers that change a whole weight.

    down (r, in), up (out, r): gives alpha / r x up @ down, (out, in), of rank r at most.

    >>> low_rank_update(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0], [3.0]]), alpha=2.0)
    tensor([[ 2.,  4.], [ 6., 12.]])

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.1, equation 3.
    """
    return alpha / len(down) * (up @ down)


class LoRA(nn.Module):
    """A linear layer that stays frozen, and beside it two thin matrices that learn what to add to it.

    `up` starts at zero, so that nothing changes before training begins. Both are kept in fp32 and used in the
    precision of what comes in; `dropout` hides a share of their input in training.

    >>> layer = LoRA(nn.Linear(3, 2), rank=1, alpha=1.0)
    >>> x = torch.ones(1, 3)
    >>> bool((layer(x) == layer.base(x)).all())
    True
    >>> _ = layer.down.data.fill_(1.0), layer.up.data.fill_(0.5)
    >>> (layer(x) - layer.base(x)).tolist()  # 0.5 x (1 + 1 + 1)
    [[1.5, 1.5]]

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.1.
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        stream: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.alpha, self.dropout = alpha, dropout
        start = torch.empty(rank, base.in_features)
        bound = 1 / math.sqrt(base.in_features)  # what Kaiming's rule with a = sqrt(5) comes to, as in peft
        start.uniform_(-bound, bound, generator=stream)
        self.down = nn.Parameter(start.to(base.weight.device))  # (r, in)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))  # (out, r)

    @property
    def weight(self) -> Tensor:
        """The frozen weight, for code that asks a layer for its type or its place."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return self.base.bias

    @property
    def rank(self) -> int:
        """How many rows the thin matrices have."""
        return len(self.down)

    def forward(self, x: Tensor) -> Tensor:
        thin = linear(dropout(x, self.dropout, self.training), self.down.to(x.dtype))  # (..., r)
        change = linear(thin, self.up.to(x.dtype))  # (..., out)
        answer: Tensor = self.base(x)
        return answer + self.alpha / self.rank * change

    def merged(self) -> nn.Linear:
        """Make the plain layer that does the same: its weight with the update added, its own bias."""
        base: nn.Linear = self.base
        layer = nn.Linear(base.in_features, base.out_features, base.bias is not None, device="meta")
        weight = base.weight.detach().float() + low_rank_update(self.down.detach(), self.up.detach(), self.alpha)
        layer.weight = nn.Parameter(weight.to(base.weight.dtype), requires_grad=base.weight.requires_grad)
        if base.bias is not None:
            layer.bias = base.bias
        return layer.train(self.training)


def lora_layers(model: nn.Module) -> dict[str, LoRA]:
    """Find the adapted layers of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRA)}


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """Collect the weights that a model had before LoRA, under the names that they had.

    >>> sorted(base_state(add_lora(nn.Sequential(nn.Linear(2, 2)), rank=1)))
    ['0.bias', '0.weight']
    """
    state: dict[str, Tensor] = model.state_dict()
    for name in lora_layers(model):
        dot = f"{name}." if name else ""
        for own in ("down", "up"):
            del state[f"{dot}{own}"]
        for key in [key for key in state if key.startswith(f"{dot}base.")]:
            state[dot + key.removeprefix(f"{dot}base.")] = state.pop(key)
    return state


def add_lora(
    model: nn.Module,
    pattern: str | Sequence[str] = "*",
    *,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """Put a LoRA layer in the place of each linear layer whose name matches; other weights stay as they were.

    The last layer of torch's own attention stays too: that reads its weight and never calls it.

    >>> net = add_lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), "0", rank=1)
    >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    ['0.down', '0.up', '2.weight', '2.bias']

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.
    """

    def adapted(name: str, layer: nn.Module) -> nn.Module:
        assert isinstance(layer, nn.Linear)
        if isinstance(layer, NonDynamicallyQuantizableLinear):
            return layer
        return LoRA(layer, rank, alpha, dropout, generator(seed, f"lora {name}"))

    return replace_layers(model, adapted, pattern)


def merge_lora(model: nn.Module) -> nn.Module:
    """Copy a model with every update added into its weight: plain layers again, and not slower than before.

    >>> net = add_lora(nn.Sequential(nn.Linear(2, 2)), rank=1)
    >>> sorted(merge_lora(net).state_dict()), sorted(net.state_dict())[:2]
    (['0.bias', '0.weight'], ['0.base.bias', '0.base.weight'])

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.1.
    """
    model = lean_copy(model)

    def merged(name: str, layer: nn.Module) -> nn.Module:
        assert isinstance(layer, LoRA)
        return layer.merged()

    return replace_layers(model, merged, kinds=(LoRA,)) if lora_layers(model) else model


def check(where: str, rank: int, alpha: float, dropout: float) -> None:
    """Refuse settings with which nothing would be learnt."""
    require(rank >= 1, f"{where}.rank", rank, "a whole number from 1, usually 8 to 64")
    require(alpha > 0, f"{where}.alpha", alpha, "a number above 0, usually twice the rank")
    require(0 <= dropout < 1, f"{where}.dropout", dropout, "a share from 0 up to, not with, 1")


@dataclass
class LoRAMethod(Method):
    """LoRA freezes a model and trains a small change to each of its linear layers, the product of two thin matrices.

    Far fewer numbers train, so gradients and the optimizer's state take little memory, and what was learnt before is
    still there. What leaves training is a plain model with the changes added into its weights.

    Settings
    --------
    layers: which linear layers, by a pattern on their names, or several. rank: rows of the thin matrices. alpha: the
    change is scaled by alpha / rank. dropout: the share of their input that is hidden in training. train: patterns of
    parameters that train beside them, such as a new head: [head.*].

    A layer of 8 x 6 has 54 numbers; with rank 1, 14 train:

    >>> model = LoRAMethod(rank=1).model(nn.Linear(6, 8), Plan())
    >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
    14

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.1, equation 3.
    """

    name: ClassVar[str] = "lora"
    after: ClassVar[tuple[str, ...]] = ("averaging",)  # the averaged update is what is merged at the end
    excludes: ClassVar[dict[str, str]] = {
        "freeze": "lora freezes by itself: name what else trains in lora.train",
        "spectral_norm": "it divides weights that lora keeps frozen; leave one out",
    }

    layers: Patterns = "*"
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    train: Patterns = ()

    def __post_init__(self) -> None:
        check("lora", self.rank, self.alpha, self.dropout)
        require(bool(self.layers), "lora.layers", self.layers, "a pattern on the layers' names, such as *")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        set_trained(model, self.train)
        settings = {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout}
        return add_lora(model, self.layers, **settings, seed=plan.seed)  # type: ignore[arg-type]

    def trained(self, model: nn.Module) -> nn.Module:
        return merge_lora(model)
