"""Noise schedules and the forward process against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from locution.errors import UserError
from locution.models.noise_levels import (
    SCHEDULES,
    cosine_schedule,
    linear_schedule,
    variance_exploding,
    variance_preserving,
)


def test_the_linear_schedule_is_that_of_the_paper() -> None:
    torch.testing.assert_close(linear_schedule(1000), torch.linspace(1e-4, 0.02, 1000))


@pytest.mark.parametrize("steps", [100, 250, 4000])
def test_fewer_linear_steps_leave_as_little(steps: int) -> None:
    whole = float((1 - linear_schedule(1000)).log().sum())
    assert float((1 - linear_schedule(steps)).log().sum()) == pytest.approx(whole, rel=0.12)


def test_the_cosine_schedule_leaves_a_cosine_squared() -> None:
    left = (1 - cosine_schedule(1000).double()).cumprod(0)
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    angle = (times + 0.008) / 1.008 * math.pi / 2
    stated = angle.cos().square() / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(left[:990], stated[:990], atol=1e-5, rtol=0)
    assert cosine_schedule(1000).max() == pytest.approx(0.999)  # no step forgets more


@pytest.mark.parametrize("name", SCHEDULES)
def test_all_noise_at_once_is_the_noise_of_all_steps(name: str) -> None:
    # x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) z: the mean's factor and the variance, step by step
    betas = SCHEDULES[name](300)
    levels = variance_preserving(betas)
    factor, variance = 1.0, 0.0
    for step, beta in enumerate(betas.double().tolist(), start=1):
        factor, variance = factor * math.sqrt(1 - beta), (1 - beta) * variance + beta
        if step < 299:
            assert float(levels.alphas[step]) == pytest.approx(factor, rel=1e-5)
        assert float(levels.sigmas[step]) == pytest.approx(math.sqrt(variance), rel=1e-5)
    assert len(levels) == 300
    assert (float(levels.alphas[0]), float(levels.sigmas[0])) == (1.0, 0.0)


def test_noise_is_added_to_each_example_up_to_its_own_level() -> None:
    levels = variance_preserving(linear_schedule(10))
    x, noise = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2)
    found = levels.noised(x, noise, torch.tensor([0, 5, 10]))
    assert torch.equal(found[0], x[0])
    torch.testing.assert_close(found[1], levels.alphas[5] * x[1] + levels.sigmas[5] * noise[1])
    assert (found[2] - noise[2]).abs().max() < 0.05


def test_exploding_levels_rise_by_one_factor() -> None:
    levels = variance_exploding(5, 0.01, 100.0)
    assert torch.equal(levels.alphas, torch.ones(6))
    ratios = levels.sigmas[2:] / levels.sigmas[1:-1]
    torch.testing.assert_close(ratios, torch.full((4,), 10.0))


def test_exploding_levels_need_a_way_to_go() -> None:
    with pytest.raises(UserError, match="smallest is 2"):
        variance_exploding(5, 2.0, 1.0)
