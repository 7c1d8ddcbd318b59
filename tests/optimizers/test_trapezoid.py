"""The trapezoid: the rates of each step by hand, and the same after a resume."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.engine.method import Plan
from locution.errors import UserError
from locution.optimizers.trapezoid import Trapezoid, TrapezoidMethod, trapezoid


def test_it_rises_stays_and_falls() -> None:
    factors = [trapezoid(step, 20, 4, 0.25) for step in range(20)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:16] == [1.0] * 12
    assert factors[15:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_without_rise_and_fall_it_is_level() -> None:
    assert {trapezoid(step, 10, 0, 0.0) for step in range(10)} == {1.0}


def descend(optimizer: Trapezoid, weight: nn.Parameter, steps: int) -> list[float]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    seen = []
    for _ in range(steps):
        before = weight.item()
        optimizer.step(closure)
        seen.append((before - weight.item()) / (2 * before))  # the step size that was used
    return seen


def test_the_step_sizes_are_used_and_resumed() -> None:
    def make(weight: nn.Parameter) -> Trapezoid:
        wrapped = TrapezoidMethod(warmup=2, decay=0.5).optimizer(
            torch.optim.SGD([weight], lr=0.1), Plan(0, 8)
        )
        assert isinstance(wrapped, Trapezoid)
        return wrapped

    wanted = [0.05, 0.1, 0.1, 0.1, 0.1, 0.075, 0.05, 0.025]
    weight = nn.Parameter(torch.tensor(1.0))
    assert descend(make(weight), weight, 8) == pytest.approx(wanted, rel=1e-4)
    weight = nn.Parameter(torch.tensor(1.0))
    first = make(weight)
    descend(first, weight, 5)
    second = make(weight)
    second.load_state_dict(first.state_dict())
    assert descend(second, weight, 3) == pytest.approx(wanted[5:], rel=1e-4)


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"trapezoid\.decay"):
        TrapezoidMethod(decay=2.0)
    with pytest.raises(UserError, match="how long training lasts"):
        TrapezoidMethod().optimizer(torch.optim.SGD([nn.Parameter(torch.ones(1))]), Plan(0, None))
