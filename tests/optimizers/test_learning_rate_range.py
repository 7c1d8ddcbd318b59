"""The range test: rates rise by a factor, the model stays, the suggestion learns."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from locution.data.digits import DigitsData
from locution.engine import Batch
from locution.errors import UserError
from locution.losses.basic import MSE, CrossEntropy
from locution.models.linear import LineModel
from locution.models.mlp import MLPModel
from locution.optimizers.basic import SGD, AdamW, largest_learning_rate
from locution.optimizers.learning_rate_range import RangeTest, learning_rate_range, smoothed, suggest


def on_the_line(**settings: float) -> RangeTest:
    x = torch.arange(5.0)[:, None]
    model = LineModel().build((1,), 1)
    return learning_rate_range(model, MSE(), SGD().build, [(x, 2 * x + 1)], device="cpu", **settings)  # type: ignore[arg-type]


def test_the_rates_rise_by_one_factor_and_the_test_ends_when_the_loss_explodes() -> None:
    found = on_the_line(lowest=1e-5, highest=10.0, steps=100)
    factors = [b / a for a, b in pairwise(found.rates)]
    assert factors == pytest.approx([1e6 ** (1 / 99)] * len(factors))
    assert found.rates[0] == 1e-5
    assert found.losses[0] == pytest.approx(33.0)
    bound = largest_learning_rate(torch.tensor([[12.0, 4.0], [4.0, 2.0]]))
    below = [loss for rate, loss in zip(found.rates, found.losses, strict=True) if rate < bound]
    assert all(after < before for before, after in pairwise(below))
    assert bound < found.rates[-1] < 10.0
    assert found.suggestion < bound


def test_the_model_stays_as_it_is_and_what_is_suggested_learns() -> None:
    data = DigitsData(batch_size=64).load(seed=0)
    torch.manual_seed(0)
    model = MLPModel().build(data.inputs, data.outputs)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = learning_rate_range(model, CrossEntropy(), AdamW().build, data.train, steps=60, device="cpu")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert 1e-4 < found.suggestion < 3e-2


def test_a_loss_that_is_no_number_ends_the_test() -> None:
    calls: list[int] = []

    def breaks(model: nn.Module, batch: Batch) -> tuple[object, Tensor]:
        calls.append(1)
        output, loss = MSE()(model, batch)
        return output, loss * float("nan") if len(calls) > 10 else loss

    x = torch.arange(5.0)[:, None]
    found = learning_rate_range(LineModel().build((1,), 1), breaks, SGD().build, [(x, x)], device="cpu")
    assert len(found.rates) == len(found.losses) == 10


def test_what_the_user_did_wrong_is_said() -> None:
    with pytest.raises(UserError, match=r"lowest is 0\.0"):
        on_the_line(lowest=0.0)
    with pytest.raises(UserError, match="steps is 4"):
        on_the_line(steps=4)
    model = LineModel().build((1,), 1)
    with pytest.raises(UserError, match="targets have shape"):
        learning_rate_range(model, MSE(), SGD().build, [(torch.zeros(3, 1), torch.zeros(3))], device="cpu")


def test_the_smooth_curve_is_not_moved_and_an_explosion_does_not_hide_what_came_before() -> None:
    assert smoothed([3.0, 2.0, 1.0, 2.0, 3.0], reach=1) == pytest.approx([2.5, 2.0, 5 / 3, 2.0, 2.5])
    assert smoothed([1.0, 1.0, 1e30], reach=1) == pytest.approx([1.0, 4 / 3, 1.5])
    assert suggest([0.1, 1.0], [1.0, 2.0]) == 0.1


def test_the_picture_has_loss_over_the_logarithm_of_the_rate(tmp_path: Path) -> None:
    figure = on_the_line().draw(tmp_path / "range.png")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "learning rate"
    assert (tmp_path / "range.png").stat().st_size > 1000
