"""Principal components against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from locution.errors import UserError
from locution.estimators.principal import principal_components


def test_they_are_scikit_learns_but_for_the_sign_that_is_left_to_chance() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 6)) @ np.diag([5, 3, 2, 1, 1, 0.1]) + 7
    ours, shares = principal_components(rows, 3)
    peer = PCA(3).fit(rows)
    theirs = peer.transform(rows)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-9)
    assert np.allclose(shares, peer.explained_variance_ratio_)


def test_the_same_points_turned_over_give_the_same_picture() -> None:
    rows = np.random.default_rng(1).normal(size=(20, 4))
    assert np.allclose(principal_components(rows)[0], principal_components(rows[::-1])[0][::-1])


def test_fewer_directions_than_asked_for_are_filled_with_nothing() -> None:
    at, shares = principal_components([[1.0], [3.0]])
    assert at.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert shares.tolist() == [1.0, 0.0]
    at, shares = principal_components([[2.0, 2.0]])
    assert not at.any()
    assert not shares.any()


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(UserError, match=r"shape of vectors is \(3,\); allowed"):
        principal_components([1.0, 2.0, 3.0])
