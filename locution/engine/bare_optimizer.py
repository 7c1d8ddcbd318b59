"""torch's optimizers, stripped so that their update can be part of a compiled step."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Bare:
    """An optimizer stripped to what its `step` reads: settings, state and the gradients of the graph."""

    def __init__(self, groups: Any, columns: Any, gradients: Any, state: Any) -> None:
        self.param_groups, self.columns, self.gradients, self.state = groups, columns, gradients, state

    def _init_group(self, group: dict[str, Any], *lists: list[Any]) -> Any:
        """Fill the optimizer's lists as its own `_init_group` does, leaving out what got no gradient."""
        places, columns, result = self.columns[group["number"]]
        present = [row for row, place in enumerate(places) if self.gradients[place] is not None]
        lists[1].extend([self.gradients[places[row]] for row in present])
        for index, (filled, column) in enumerate(zip(lists, columns, strict=True)):
            if index != 1:
                filled.extend([column[row] for row in present] if len(column) == len(places) else column)
        return result

    def _cuda_graph_capture_health_check(self) -> None: ...

    def _accelerator_graph_capture_health_check(self) -> None: ...


def columns_of(optimizer: Any, trained: Sequence[Tensor]) -> list[Any]:
    """Ask torch's optimizer once for the lists that its step works on: parameters, gradients, state."""
    place = {id(parameter): index for index, parameter in enumerate(trained)}
    chosen = [p for p in trained if p in optimizer.state] or trained
    kept = [parameter.grad for parameter in trained]
    for parameter in trained:
        parameter.grad = None
    for parameter in chosen:
        parameter.grad = torch.empty_like(parameter)
    found = []
    for group in optimizer.param_groups:
        columns: list[list[Any]] = [[] for _ in list(inspect.signature(optimizer._init_group).parameters)[1:]]
        result = optimizer._init_group(group, *columns)
        found.append(([place[id(parameter)] for parameter in columns[0]], columns, result))
    for parameter, gradient in zip(trained, kept, strict=True):
        parameter.grad = gradient
    return found


def moved(held: Any, value: Any, device: torch.device) -> Any:
    """Give the graph a setting that a schedule has moved: in place where it is a tensor already."""
    if isinstance(held, Tensor):
        return held.fill_(value)
    if isinstance(held, tuple):
        return tuple(moved(torch.empty((), device=device), number, device) for number in value)
    return value


def added(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Add two gradients, of which either may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
