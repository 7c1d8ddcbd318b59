"""One-cycle against torch's OneCycleLR, at every step."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from locution.engine import Engine, Plan, Turn
from locution.errors import UserError
from locution.optimizers.one_cycle import OneCycle, OneCycleMethod, one_cycle


def weight() -> nn.Parameter:
    return nn.Parameter(torch.ones(2))


@pytest.mark.parametrize("shape", ["cos", "linear"])
@pytest.mark.parametrize(("total", "pct_start"), [(10, 0.3), (10, 0.25), (37, 0.5), (100, 0.9), (7, 0.01)])
@pytest.mark.parametrize("make", [partial(torch.optim.SGD, momentum=0.9), torch.optim.AdamW])
@pytest.mark.parametrize("three", [False, True])
def test_equals_torch_at_every_step(shape: Any, total: int, pct_start: float, make: Any, three: bool) -> None:
    pct_start = min(pct_start, 0.5) if three else pct_start
    mine, theirs = make([weight()], lr=0.02), make([weight()], lr=0.02)
    cycle = OneCycle(mine, total, pct_start=pct_start, shape=shape, three_phase=three)
    scheduler = OneCycleLR(theirs, 0.02, total, pct_start=pct_start, anneal_strategy=shape, three_phase=three)
    for number in range(total):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wants gradients, or complains
            cycle.step()
            theirs.step()
        for key in ("lr", "momentum", "betas"):
            if key in theirs.param_groups[0]:
                assert mine.param_groups[0][key] == pytest.approx(theirs.param_groups[0][key], rel=1e-12, abs=1e-15), (
                    number,
                    key,
                )
        if number < total - 1:
            scheduler.step()


def test_the_pure_function_equals_torch_too() -> None:
    theirs = torch.optim.SGD([weight()], lr=1.0)
    scheduler = OneCycleLR(theirs, 0.5, 20, cycle_momentum=False)
    rates = [one_cycle(n, 20, 0.5 / 25, 0.5, 0.5 / 25 / 1e4) for n in range(20)]
    for rate in rates:
        assert rate == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        theirs.step()
        if rate is not rates[-1]:
            scheduler.step()


def test_a_rise_of_a_single_step_is_no_division_by_zero() -> None:
    assert one_cycle(0, 10, 1.0, 5.0, 0.0, pct_start=0.1) == 5.0  # torch divides by zero here
    assert one_cycle(0, 1, 1.0, 5.0, 0.0) == 0.0


def test_three_phases_by_hand() -> None:
    """Up in four steps, down in four, lower in the two that are left."""
    found = [one_cycle(n, 11, 1.0, 5.0, 0.0, 5 / 11, "linear", True) for n in range(11)]
    assert found == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.0])


@pytest.mark.parametrize("share", [0.1, 0.01])
def test_three_phases_of_a_rise_of_a_single_step_or_less(share: float) -> None:
    found = [one_cycle(n, 10, 1.0, 5.0, 0.0, share, three_phase=True) for n in range(10)]
    assert found[-1] == 0.0
    assert all(later < earlier for earlier, later in pairwise(found[1:]))


def test_past_the_end_it_stays_at_the_end() -> None:
    assert one_cycle(500, 10, 1.0, 5.0, 0.25) == one_cycle(9, 10, 1.0, 5.0, 0.25) == 0.25


def test_each_group_peaks_at_its_own_rate_unless_one_is_given() -> None:
    groups = [{"params": [weight()], "lr": 0.1}, {"params": [weight()], "lr": 0.01}]
    own = OneCycle(torch.optim.SGD(copy.deepcopy(groups)), 10)
    one = OneCycle(torch.optim.SGD(groups), 10, max_lr=0.5)
    highest = [0.0] * 4
    for _ in range(10):
        own.step()
        one.step()
        rates = [g["lr"] for g in own.param_groups + one.param_groups]
        highest = [max(pair) for pair in zip(highest, rates, strict=True)]
    assert highest == pytest.approx([0.1, 0.01, 0.5, 0.5])


def test_plain_sgd_gets_no_momentum_it_did_not_have() -> None:
    optimizer = OneCycle(torch.optim.SGD([weight()], lr=0.1), 10)
    optimizer.step()
    assert optimizer.param_groups[0]["momentum"] == 0


def test_momentum_may_stay() -> None:
    optimizer = OneCycle(torch.optim.AdamW([weight()], lr=0.1), 10, cycle_momentum=False)
    optimizer.step()
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_a_rate_that_is_a_tensor_is_set_in_place() -> None:
    rate = torch.tensor(0.1)
    optimizer = OneCycle(torch.optim.AdamW([weight()], lr=rate, foreach=False, capturable=False), 10)
    optimizer.set()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.1 / 25)


def test_state_goes_round_to_the_bit() -> None:
    stream = torch.Generator().manual_seed(0)
    given = [torch.randn(2, generator=stream) for _ in range(12)]

    def run(parameter: nn.Parameter, optimizer: OneCycle, part: list[torch.Tensor]) -> None:
        for gradient in part:
            parameter.grad = gradient.clone()
            optimizer.step()

    first = weight()
    optimizer = OneCycle(torch.optim.AdamW([first], lr=0.1), 12)
    run(first, optimizer, given[:5])
    second = nn.Parameter(first.detach().clone())
    again = OneCycle(torch.optim.AdamW([second], lr=0.3), 12)  # the state knows the peak better
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(first, optimizer, given[5:])
    run(second, again, given[5:])
    assert torch.equal(first, second)


def test_it_must_know_how_long_training_lasts() -> None:
    sgd = torch.optim.SGD([weight()], lr=0.1)
    with pytest.raises(UserError, match=r"one_cycle\.steps is unknown; allowed: steps=N"):
        OneCycleMethod().optimizer(sgd, Plan(steps=None))


def test_an_epoch_of_unknown_length_is_refused_before_training() -> None:
    def mse(model: nn.Module, batch: Any) -> Any:
        return None, model(batch.inputs).pow(2).mean()

    stream = (pair for pair in [(torch.ones(2, 1), None)])
    engine = Engine(
        nn.Linear(1, 1), Turn(mse, partial(torch.optim.SGD, lr=0.1)), [OneCycleMethod()], device="cpu"
    )
    with pytest.raises(UserError, match="one_cycle"):
        engine.fit(stream, epochs=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_lr": 0.0},
        {"pct_start": 0.0},
        {"pct_start": 1.0},
        {"div": 0.5},
        {"final_div": 0.0},
        {"base_momentum": 1.0},
        {"max_momentum": -0.1},
        {"shape": "square"},
        {"three_phase": True, "pct_start": 0.51},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="one_cycle"):
        OneCycleMethod(**settings)
    with pytest.raises(UserError, match="one_cycle"):
        OneCycle(torch.optim.SGD([weight()], lr=0.1), 10, **settings)
