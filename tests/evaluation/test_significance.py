"""Significance: against SciPy's exact permutation test, and Holm's step-down by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from locution.errors import UserError
from locution.evaluation.significance import holm, sign_flip


@pytest.mark.parametrize("count", [2, 5, 9])
def test_sign_flip_equals_scipys_exact_test(count: int) -> None:
    values = np.random.default_rng(count).normal(0.3, 1.0, count)
    expected = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip(values.tolist()) == pytest.approx(expected, abs=1e-12)


def test_sign_flip_of_many_pairs_is_near_the_exact_value() -> None:
    """20 differences of one size: the test is then the sign test, a binomial."""
    values = [1.0] * 15 + [-1.0] * 5
    assert sign_flip(values) == pytest.approx(binomtest(15, 20).pvalue, abs=0.005)
    assert sign_flip(values, seed=3) == sign_flip(values, seed=3)


def test_no_difference_is_never_significant() -> None:
    assert sign_flip([0.0] * 8) == 1.0
    with pytest.raises(UserError, match="at least one pair"):
        sign_flip([])


def test_holm_steps_down() -> None:
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
