"""Calibration against its formula and scikit-learn, proportions against the quadratic that defines them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from locution.errors import UserError
from locution.evaluation.calibration import expected_calibration_error
from locution.evaluation.proportions import proportion


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bins", [1, 7, 10])
def test_the_bins_are_scikit_learns_and_the_error_is_their_weighted_distance(seed: int, bins: int) -> None:
    draw = np.random.default_rng(seed)
    sure = draw.random(400)
    right = draw.random(400) < sure**2
    found = expected_calibration_error(sure.tolist(), right.tolist(), bins)
    share, mean = calibration_curve(right, sure, n_bins=bins)
    assert [one.right for one in found.bins] == pytest.approx(share)
    assert [one.confidence for one in found.bins] == pytest.approx(mean)
    counts = np.histogram(sure, bins, range=(0, 1))[0]
    assert [one.count for one in found.bins] == counts[counts > 0].tolist()
    assert found.error == pytest.approx((counts[counts > 0] / 400 * np.abs(share - mean)).sum())
    assert found.overconfident


def test_certainty_stands_in_the_last_bin() -> None:
    found = expected_calibration_error([1.0, 1.0, 0.95], [True, True, False])
    assert [one.count for one in found.bins] == [3]
    assert found.error == pytest.approx(2.95 / 3 - 2 / 3)
    assert expected_calibration_error([1.0, 0.0], [True, False]).error == 0.0


def test_what_is_no_confidence_is_refused() -> None:
    with pytest.raises(UserError, match="2 answers came with 1 confidences"):
        expected_calibration_error([0.5], [True, False])
    with pytest.raises(UserError, match="no answer"):
        expected_calibration_error([], [])
    for value in (1.1, -0.1, float("nan")):
        with pytest.raises(UserError, match="outside 0 to 1"):
            expected_calibration_error([value], [True])
    with pytest.raises(UserError, match=r"bins is 0"):
        expected_calibration_error([0.5], [True], 0)


@pytest.mark.parametrize(("count", "total"), [(0, 40), (1, 40), (20, 40), (39, 40), (40, 40), (3, 7)])
def test_the_ends_of_an_interval_are_the_shares_that_just_explain_the_count(count: int, total: int) -> None:
    found = proportion(count, total)
    assert found["low"] <= found["value"] <= found["high"]
    for end in (found["low"], found["high"]):  # (p - share)^2 = z^2 p (1 - p) / n, the equation that Wilson solves
        if 0 < end < 1:
            assert (found["value"] - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / total, rel=1e-5)
    assert (found["low"] == 0.0) == (count == 0)
    assert (found["high"] == 1.0) == (count == total)


def test_no_trial_says_nothing() -> None:
    assert proportion(0, 0) == {"value": 0.0, "low": 0.0, "high": 1.0}
    with pytest.raises(UserError, match="count is 3"):
        proportion(3, 2)
