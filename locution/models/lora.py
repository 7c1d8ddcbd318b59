"""LoRA: learn a small change to large frozen weights, as the product of two thin matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from locution.engine.method import Method, Plan
from locution.engine.random import generator
from locution.errors import UserError, require, unknown
from locution.models.freezing import last_layer, matching, set_trained
from locution.models.lora_layer import KINDS, LoRA, adaptable, check, lora_layers, low_rank_update
from locution.models.surgery import lean_copy, lies_in, replace_layers

__all__ = ["LoRA", "LoRAMethod", "add_lora", "base_state", "check", "lora_layers", "low_rank_update", "merge_lora"]

Patterns = str | tuple[str, ...]


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
    kinds: tuple[type[nn.Module], ...] = KINDS,
) -> nn.Module:
    """Put a LoRA layer in the place of each linear layer and convolution whose name matches; other weights stay.

    Those stay too of which `adaptable` says that LoRA cannot stand in their place. `kinds` narrows what is looked for.

    >>> net = add_lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), "0", rank=1)
    >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    ['0.down', '0.up', '2.weight', '2.bias']

    Reference: E. Hu et al., 2022, "LoRA: low-rank adaptation of large language models", section 4.
    """

    def adapted(name: str, layer: nn.Module) -> nn.Module:
        if not adaptable(layer):
            return layer
        return LoRA(layer, rank, alpha, dropout, generator(seed, f"lora {name}"))

    return replace_layers(model, adapted, pattern, kinds)


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


def chosen(model: nn.Module, layers: Patterns = "*", train: Patterns | None = None) -> tuple[list[str], list[str]]:
    """Choose the layers that LoRA adapts, and the parameters that train in full beside them.

    Without `train` the last layer trains in full, unless `layers` names it or there is no other.

    >>> chosen(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2)))
    (['0'], ['2.weight', '2.bias'])
    >>> chosen(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2)), train=())
    (['0', '2'], [])
    """
    there = [name for name, layer in model.named_modules() if adaptable(layer)]
    patterns = [layers] if isinstance(layers, str) else list(layers)
    if not there:
        raise UserError("lora came upon a model without linear layers and convolutions; allowed: one that has some.")
    for pattern in patterns:
        if not any(lies_in(name, pattern) for name in there):
            raise unknown("layer for lora.layers", pattern, there)
    named = [name for name in there if any(lies_in(name, pattern) for pattern in patterns)]
    if train is None:
        head = last_layer(model)
        rest = [name for name in named if name != head]
        kept = not rest or any(lies_in(head, pattern) for pattern in patterns if pattern != "*")
        whole = [name for name, _ in model.named_parameters() if name.rpartition(".")[0] == head]
        return (named, []) if kept else (rest, whole)
    full = matching(model, train) if train else []
    left = [name for name in named if (f"{name}.weight" if name else "weight") not in full]
    if not left:
        took = "no layer of lora.layers is left to adapt"
        raise UserError(f"lora.train is {train!r}, and {took}; allowed: patterns of some layers, such as head.")
    return left, full


@dataclass
class LoRAMethod(Method):
    """LoRA freezes a model and trains a small change to each of its layers, the product of two thin matrices.

    Far fewer numbers train, so gradients and the optimizer's state take little memory, and what was learnt before is
    still there. What leaves training is a plain model with the changes added into its weights.

    Settings
    --------
    layers: which linear layers and convolutions, by patterns on their names or on what holds them. rank: rows of the
    thin matrices. alpha: the change is scaled by alpha / rank. dropout: the share of their input that is hidden in
    training. train: patterns of the layers or parameters that train in full beside them (peft's modules_to_save); by
    default the last layer, which is new where a model is fine-tuned, unless `layers` names it; [] for none.

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
    train: Patterns | None = None

    def __post_init__(self) -> None:
        check("lora", self.rank, self.alpha, self.dropout)
        require(bool(self.layers), "lora.layers", self.layers, "a pattern on the layers' names, such as *")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        layers, full = chosen(model, self.layers, self.train)
        parameters = dict(model.named_parameters())  # looked up before: an adapted layer's own have other names then
        set_trained(model, ())
        model = add_lora(model, layers, rank=self.rank, alpha=self.alpha, dropout=self.dropout, seed=plan.seed)
        for name in full:
            parameters[name].requires_grad_(True)
        return model

    def trained(self, model: nn.Module) -> nn.Module:
        return merge_lora(model)
