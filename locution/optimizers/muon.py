"""Muon: matrices move by the orthogonalised momentum of their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import require


@dataclass(frozen=True)
class Muon:
    """Muon moves each weight matrix along its momentum with all singular values made nearly equal.

    Directions that gradients rarely point to are then learned as fast as the others; small transformers need
    far fewer steps. Vectors, and matrices with a side below `small` (embeddings of a small vocabulary,
    heads), are left to AdamW.

    Parameters
    ----------
    lr: step size of the matrices, before it is scaled to their shape. momentum: of the matrices. adamw_lr:
    step size of the rest. weight_decay: of the matrices. small: side below which a matrix is left to AdamW.

    >>> weight = nn.Parameter(torch.zeros(2, 2))
    >>> optimizer = Muon(lr=1.0, momentum=0.0, weight_decay=0.0, small=1).build([weight])
    >>> weight.grad = torch.diag(torch.tensor([100.0, 1.0]))
    >>> _ = optimizer.step()
    >>> (-weight.detach().diagonal()).round(decimals=0).tolist()
    [1.0, 1.0]

    Reference: K. Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    lr: float = 0.008
    momentum: float = 0.95
    adamw_lr: float = 0.003
    weight_decay: float = 0.01
    small: int = 128

    def __post_init__(self) -> None:
        require(self.lr > 0, "optimizer.lr", self.lr, "a number above 0, usually 0.005 to 0.02")
        require(self.adamw_lr > 0, "optimizer.adamw_lr", self.adamw_lr, "a number above 0, usually 0.003")
        require(
            0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "a number from 0 up to, not with, 1"
        )
        require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "a number from 0")
        require(self.small >= 1, "optimizer.small", self.small, "a whole number from 1")

    def build(self, parameters: Iterable[nn.Parameter]) -> MuonAndAdamW:
        """Make the optimizer for these parameters."""
        return MuonAndAdamW(parameters, self)


class MuonAndAdamW:
    """Two optimizers of torch as one: Muon for the matrices, AdamW for the rest.

    >>> matrix, vector = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))
    >>> optimizer = MuonAndAdamW([matrix, vector], Muon(small=4))
    >>> [type(part).__name__ for part in optimizer.parts]
    ['Muon', 'AdamW']
    """

    def __init__(self, parameters: Iterable[nn.Parameter], settings: Muon) -> None:
        chosen = list(parameters)
        matrices = [p for p in chosen if p.ndim == 2 and min(p.shape) >= settings.small]
        taken = {id(p) for p in matrices}
        rest = [p for p in chosen if id(p) not in taken]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            made = torch.optim.Muon(
                matrices,
                lr=settings.lr,
                momentum=settings.momentum,
                weight_decay=settings.weight_decay,
                adjust_lr_fn="original",
            )
            self.parts.append(made)
        if rest:
            self.parts.append(
                torch.optim.AdamW(rest, lr=settings.adamw_lr, betas=(0.9, 0.98), weight_decay=0.0)
            )
        self.param_groups: list[dict[str, Any]] = [
            group for part in self.parts for group in part.param_groups
        ]

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step; a closure, if there is one, computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to go on: the state of both halves."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
