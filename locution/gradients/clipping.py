"""Gradient clipping: no step longer than what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.engine.method import Method, Step
from locution.errors import UserError, require

LEAST_NORM = 1e-3  # Brock et al., section 4: a unit whose weights are zero may still learn


def unit_norms(tensor: Tensor) -> Tensor:
    """Measure each unit's norm: over all but the first axis of a weight, over the whole of a bias.

    >>> unit_norms(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    tensor([[5.], [2.]])
    """
    others = tuple(range(1, tensor.dim())) or None
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=others, keepdim=True)  # (units, 1, ...)
    return norms


@torch.no_grad()
def clip_adaptively(parameters: Sequence[Tensor], factor: float) -> None:
    """Shorten, unit by unit, each gradient that is longer than a share of its own weights.

    >>> weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))  # norm 5: at most 0.01 * 5 is allowed
    >>> weight.grad = torch.tensor([[0.0, 1.0]])
    >>> clip_adaptively([weight], 0.01)
    >>> weight.grad
    tensor([[0.0000, 0.0500]])

    Reference: Brock, De, Smith, Simonyan, 2021, "High-performance large-scale image recognition without
    normalization", equation 3.
    """
    for weight in parameters:
        if weight.grad is not None:
            allowed = factor * unit_norms(weight).clamp(min=LEAST_NORM)
            length = unit_norms(weight.grad)
            weight.grad.mul_(torch.where(length > allowed, allowed / length, 1.0))


def clip_gradients(
    parameters: Iterable[Tensor],
    norm: float | None = None,
    value: float | None = None,
    agc: float | None = None,
) -> Tensor:
    """Shorten gradients in place: all together to a norm, each number to a value, or each unit adaptively
    (agc).

    Exactly one of the three is given. Returns the norm that all the gradients had together before.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> clip_gradients([weight], norm=1.0)
    tensor(5.)
    >>> weight.grad
    tensor([0.6000, 0.8000])
    """
    check(norm, value, agc)
    chosen = [parameter for parameter in parameters if parameter.grad is not None]
    if norm is not None:
        return nn.utils.clip_grad_norm_(chosen, norm)
    before = nn.utils.get_total_norm([p.grad for p in chosen if p.grad is not None])
    if value is not None:
        nn.utils.clip_grad_value_(chosen, value)
    elif agc is not None:
        clip_adaptively(chosen, agc)
    return before


def check(norm: float | None, value: float | None, agc: float | None) -> None:
    """Refuse a limit that is none, and more than one limit."""
    limits = {"norm": norm, "value": value, "agc": agc}
    usual = {"norm": "1", "value": "0.5", "agc": "0.01"}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    for name, limit in given.items():
        require(limit > 0, f"clipping.{name}", limit, f"a number above 0, usually {usual[name]}")
    if len(given) != 1:
        came = " and ".join(f"clipping.{name}" for name in given) or "no limit"
        raise UserError(f"{came} came; allowed: exactly one of clipping.norm, clipping.value, clipping.agc.")


@dataclass
class ClippingMethod(Method):
    """Gradient clipping shortens a gradient that is too long, so that one bad batch cannot throw the
    weights far off.

    Settings, of which one is given; `norm` is 1 if none is
    --------------------------------------------------------
    norm: the most that all gradients together may measure; their direction stays. value: the most that each
    single number may be. agc: adaptive; the most that each unit's gradient may measure as a share of its
    weights.

    A gradient (3, 4) has norm 5; clipped to norm 1 it is a fifth of itself:

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> ClippingMethod(norm=1.0).gradient([weight], None)
    >>> weight.grad
    tensor([0.6000, 0.8000])

    Reference: Pascanu, Mikolov, Bengio, 2013, "On the difficulty of training recurrent neural networks",
    algorithm 1; adaptive: Brock, De, Smith, Simonyan, 2021, "High-performance large-scale image recognition
    without normalization", equation 3.
    """

    name: ClassVar[str] = "clipping"
    after: ClassVar[tuple[str, ...]] = ("pruning",)  # the gradient of a weight that is gone makes none longer

    norm: float | None = None
    value: float | None = None
    agc: float | None = None

    def __post_init__(self) -> None:
        if self.norm is self.value is self.agc is None:
            self.norm = 1.0
        check(self.norm, self.value, self.agc)

    def gradient(self, parameters: Sequence[nn.Parameter], step: Step) -> None:
        if self.norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.norm)
        elif self.value is not None:
            nn.utils.clip_grad_value_(parameters, self.value)
        elif self.agc is not None:
            clip_adaptively(parameters, self.agc)
