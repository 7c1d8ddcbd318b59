"""Bootstrap intervals against SciPy's, and against what they promise: to hold the truth 95 times of 100."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap as scipys

from locution.errors import UserError
from locution.evaluation.intervals import bootstrap, ratio


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=60)  # skewed: the plain percentiles would be off
    found = bootstrap(torch.tensor(values), resamples=20000)
    theirs = scipys((values,), np.mean, n_resamples=20000, method="BCa", random_state=1).confidence_interval
    assert found["value"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(theirs.low, abs=0.015)
    assert found["high"] == pytest.approx(theirs.high, abs=0.02)


def test_the_interval_of_a_ratio_is_scipys() -> None:
    draw = np.random.default_rng(0)
    words = draw.poisson(4, 80) + 1
    errors = draw.binomial(words, 0.2)
    found = bootstrap(torch.tensor(np.stack([errors, words], 1)), ratio, resamples=20000)

    def rate(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return a.sum(axis) / b.sum(axis)

    theirs = scipys((errors, words), rate, paired=True, n_resamples=20000, method="BCa", random_state=1)
    assert found["value"] == pytest.approx(errors.sum() / words.sum())
    assert found["low"] == pytest.approx(theirs.confidence_interval.low, abs=0.004)
    assert found["high"] == pytest.approx(theirs.confidence_interval.high, abs=0.004)


def test_the_interval_of_a_biased_figure_is_scipys() -> None:
    values = np.random.default_rng(2).normal(size=25)  # a standard deviation is too small on most redraws

    def spread(means: torch.Tensor) -> torch.Tensor:
        return (means[..., 1] - means[..., 0] ** 2).clamp(min=0).sqrt()

    found = bootstrap(torch.tensor(np.stack([values, values**2], 1)), spread, resamples=20000)
    theirs = scipys((values,), np.std, n_resamples=20000, method="BCa", random_state=1).confidence_interval
    plain = scipys((values,), np.std, n_resamples=20000, method="percentile", random_state=1).confidence_interval
    assert abs(theirs.low - plain.low) > 0.05  # the correction is no trifle here
    assert found["low"] == pytest.approx(theirs.low, abs=0.015)
    assert found["high"] == pytest.approx(theirs.high, abs=0.015)


def test_the_interval_holds_the_truth_about_95_times_of_100() -> None:
    draw = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        found = bootstrap(torch.tensor(draw.exponential(size=40)), resamples=500, seed=seed)
        held += found["low"] <= 1.0 <= found["high"]
    assert 178 <= held <= 198  # 190 expected, a little fewer for so few and skewed examples


def test_chunks_and_seeds() -> None:
    values = torch.randn(30000, generator=torch.Generator().manual_seed(0))  # drawn in many chunks
    found = bootstrap(values, resamples=400)
    half = (found["high"] - found["low"]) / 2
    assert half == pytest.approx(1.96 / 30000**0.5, rel=0.15)
    assert bootstrap(values, resamples=400) == found
    assert bootstrap(values, resamples=400, seed=1) != found


@pytest.mark.parametrize("values", [[1.0] * 20, [0.5], [1.0, 1.0]])
def test_what_never_varies_has_an_interval_of_no_width(values: list[float]) -> None:
    found = bootstrap(torch.tensor(values))
    assert found["low"] == found["value"] == found["high"] == values[0]


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(UserError, match="at least one example"):
        bootstrap(torch.zeros(0))
    with pytest.raises(UserError, match=r"level is 1\.5"):
        bootstrap(torch.zeros(3), level=1.5)
