"""What every wrapper around an optimizer shares: whatever it does not change, it hands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from locution.errors import LocutionError

Closure = Callable[[], Tensor]


class Wrapper:
    """A wrapper changes when or with what an optimizer steps, and leaves everything else to it.

    The parameter groups are the inner optimizer's own list, so a learning rate that is set on the wrapper,
    or on what it wraps, is one and the same. The state nests: `{"optimizer": the inner state, **the
    wrapper's own}`.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    >>> Wrapper(sgd).param_groups is sgd.param_groups
    True
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The inner optimizer's own groups: its parameters and their settings."""
        groups: list[dict[str, Any]] = self.optimizer.param_groups
        return groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self.optimizer.param_groups = groups

    def parameters(self) -> list[Tensor]:
        """List what the optimizer moves, group by group."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def step(self, closure: Closure | None = None) -> Any:
        """Move the weights once; `closure` forgets the gradients, computes the loss and its gradients,
        returns it."""
        return self.optimizer.step(closure)

    def lasts(self, steps: int) -> None:
        """Hear for how many steps training goes on when it begins anew; a schedule stretches over them."""
        if isinstance(self.optimizer, Wrapper):
            self.optimizer.lasts(steps)

    def own_state(self) -> dict[str, Any]:
        """What the wrapper itself must keep."""
        return {}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Take back what `own_state` gave."""

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's state, and the wrapper's own beside it."""
        return {"optimizer": self.optimizer.state_dict(), **self.own_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; refuse the state of an optimizer that was wrapped otherwise."""
        expected = {"optimizer", *self.own_state()}
        if set(state_dict) != expected:
            name = type(self).__name__
            came, allowed = ", ".join(sorted(state_dict)), ", ".join(sorted(expected))
            raise LocutionError(f"the optimizer's state holds {came}; {name} takes back: {allowed}.")
        self.optimizer.load_state_dict(state_dict["optimizer"])
        self.load_own_state(state_dict)
