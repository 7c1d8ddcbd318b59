"""The decomposition over resampled training sets agrees with the closed form of polynomial regression."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from locution.evaluation.bias_variance import bias_variance, draw_bias_variance, polynomial, polynomial_bias_variance

X = torch.linspace(-1, 1, 25, dtype=torch.float64)
NEW = torch.linspace(-0.95, 0.95, 20, dtype=torch.float64)
REPEATS, NOISE = 600, 0.3


def truth(x: Tensor) -> Tensor:
    return torch.sin(math.pi * x)


@pytest.mark.parametrize("degree", [0, 1, 3, 5, 9])
def test_resampling_gives_the_closed_form(degree: int) -> None:
    found = bias_variance(polynomial(degree), truth, X, NEW, noise=NOISE, repeats=REPEATS)
    form = polynomial_bias_variance(degree, truth, X, NEW, noise=NOISE)
    # the variance of R draws is off by about sqrt(2 / R), bias^2 by 2 bias sqrt(variance / R)
    spread = math.sqrt(form.variance / REPEATS)
    assert found.variance == pytest.approx(form.variance, rel=4 * math.sqrt(2 / REPEATS))
    assert found.bias_squared == pytest.approx(
        form.bias_squared, abs=6 * math.sqrt(form.bias_squared) * spread + 6 * spread**2
    )
    assert found.noise == form.noise == NOISE**2


def test_few_repeats_do_not_pass_variance_off_as_bias() -> None:
    form = polynomial_bias_variance(5, truth, X, NEW, noise=NOISE)
    runs = [bias_variance(polynomial(5), truth, X, NEW, noise=NOISE, repeats=2, seed=seed) for seed in range(200)]
    mean = sum(run.bias_squared for run in runs) / len(runs)
    assert mean == pytest.approx(form.bias_squared, abs=form.variance / 6)  # half the variance, uncorrected


def test_a_freer_model_has_less_bias_and_more_variance() -> None:
    curve = [polynomial_bias_variance(degree, truth, X, NEW, noise=NOISE) for degree in range(10)]
    assert all(a.bias_squared >= b.bias_squared - 1e-12 for a, b in zip(curve, curve[2:], strict=False))
    assert all(a.variance < b.variance for a, b in pairwise(curve))
    totals = [one.total for one in curve]
    assert totals.index(min(totals)) == 3  # neither the simplest nor the freest


def test_the_expected_error_is_that_on_new_targets() -> None:
    draw = torch.Generator().manual_seed(5)
    errors = []
    for _ in range(2000):
        y = truth(X) + NOISE * torch.randn(25, generator=draw, dtype=torch.float64)
        new = truth(NEW) + NOISE * torch.randn(20, generator=draw, dtype=torch.float64)
        errors.append(((polynomial(3)(X, y, NEW) - new) ** 2).mean())
    form = polynomial_bias_variance(3, truth, X, NEW, noise=NOISE)
    assert torch.stack(errors).mean().item() == pytest.approx(form.total, rel=0.03)


def test_a_polynomial_of_its_own_degree_is_found_exactly() -> None:
    assert polynomial(2)(X, 3 * X**2 - X + 1, NEW).tolist() == pytest.approx((3 * NEW**2 - NEW + 1).tolist())


def test_the_picture_shows_the_three_curves_and_the_closed_form(tmp_path: Path) -> None:
    curve = {d: bias_variance(polynomial(d), truth, X, NEW, noise=NOISE, repeats=20) for d in range(4)}
    form = {d: polynomial_bias_variance(d, truth, X, NEW, noise=NOISE) for d in range(4)}
    (axes,) = draw_bias_variance(curve, tmp_path / "curve.png", form).axes
    assert len(axes.lines) == 7
    assert (tmp_path / "curve.png").stat().st_size > 1000
