"""Lookahead: slow weights that follow the fast ones every few steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from locution.engine.method import Method, Optimizer, Plan
from locution.errors import LocutionError, require
from locution.optimizers.wrapper import Closure, Wrapper


class Lookahead(Wrapper):
    """Lookahead lets an optimizer run k steps, then goes back to a point on the way and starts again from
    there.

    Parameters
    ----------
    optimizer: any optimizer; its own state, such as momentum, is kept. k: steps between two moves of the
    slow weights. alpha: how far the slow weights go towards the fast ones.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Lookahead(torch.optim.SGD([weight], lr=0.1), k=2, alpha=0.5)
    >>> path = []
    >>> for _ in range(4):
    ...     weight.grad = torch.tensor([1.0])
    ...     optimizer.step()
    ...     path.append(round(weight.item(), 2))
    >>> path  # 0.8 would come second; half way back to 1.0 is 0.9
    [0.9, 0.9, 0.8, 0.8]
    """

    def __init__(self, optimizer: Any, k: int = 5, alpha: float = 0.5) -> None:
        check(k, alpha)
        super().__init__(optimizer)
        self.k, self.alpha, self.count = k, alpha, 0
        self.slow: list[Tensor] = []  # taken at the first step, so that weights loaded before it count

    def step(self, closure: Closure | None = None) -> Any:
        """Let the fast weights step; after every k-th step both meet at the slow weights' new place."""
        if not self.slow:
            self.slow = [weight.detach().clone() for weight in self.parameters()]
        loss = self.optimizer.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            self.meet()
        return loss

    @torch.no_grad()
    def meet(self) -> None:
        """Move the slow weights a share of the way to the fast ones, and the fast ones onto them."""
        fast = self.parameters()
        torch._foreach_lerp_(self.slow, fast, self.alpha)
        torch._foreach_copy_(fast, self.slow)

    def own_state(self) -> dict[str, Any]:
        return {"slow": self.slow, "count": self.count}

    def load_own_state(self, state: dict[str, Any]) -> None:
        weights = self.parameters()
        shapes = [tuple(slow.shape) for slow in state["slow"]]
        if shapes and shapes != [tuple(weight.shape) for weight in weights]:
            raise LocutionError("the slow weights are of another model; allowed: those of the model that is trained.")
        self.slow = [
            slow.detach().to(w.device, w.dtype, copy=True) for slow, w in zip(state["slow"], weights, strict=False)
        ]
        self.count = int(state["count"])


def check(k: int, alpha: float) -> None:
    """Refuse settings with which the slow weights would never move, or overshoot."""
    require(k >= 1, "lookahead.k", k, "a whole number from 1, usually 5")
    require(0 < alpha <= 1, "lookahead.alpha", alpha, "a number above 0 and up to 1, usually 0.5")


@dataclass
class LookaheadMethod(Method):
    """Lookahead keeps slow weights that look at where k steps of the fast weights lead before they follow
    part of the way.

    The fast weights are any optimizer's. After k steps the slow weights go the share alpha of the way to
    them, and the fast ones start again from there: what swings back and forth cancels, what points one way
    stays. A run whose last step falls between two meetings ends with its fast weights.

    Settings
    --------
    k: steps between two meetings. alpha: the share of the way.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = LookaheadMethod(k=2, alpha=0.5).optimizer(torch.optim.SGD([weight], lr=0.1), Plan())
    >>> for _ in range(2):
    ...     weight.grad = torch.tensor([1.0])
    ...     optimizer.step(None)
    >>> weight.item()  # fast: 1.0, 0.9, 0.8; slow: half way from 1.0 to 0.8
    0.9

    Reference: Zhang, Lucas, Hinton, Ba, 2019, "Lookahead optimizer: k steps forward, 1 step back",
    algorithm 1.
    """

    name: ClassVar[str] = "lookahead"
    after: ClassVar[tuple[str, ...]] = ("sam",)

    k: int = 5
    alpha: float = 0.5

    def __post_init__(self) -> None:
        check(self.k, self.alpha)

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        return Lookahead(optimizer, self.k, self.alpha)
