"""Nearest neighbours: scikit-learn's own answers on digits, and indexes that miss few."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from locution.data.digits import read_digits
from locution.errors import UserError
from locution.estimators import indexes
from locution.estimators.neighbours import NearestNeighbours, recall
from locution.estimators.parametric import parametric
from locution.estimators.perceptron import Perceptron
from locution.reporting.recall_curve import recall_and_speed, timed


def digits() -> tuple[Any, Any]:
    pictures, classes = read_digits()
    return np.asarray(pictures.flatten(1), dtype=np.float64) * 16, classes.numpy()


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("vote", ["uniform", "distance"])
def test_digits_are_told_as_scikit_learn_tells_them(count: int, vote: str) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    rows, classes = digits()
    theirs = KNeighborsClassifier(count, weights=vote).fit(rows[:1200], classes[:1200])
    ours = NearestNeighbours(count, vote).fit(rows[:1200], classes[:1200])
    assert ours.score(rows[1200:], classes[1200:]) == theirs.score(rows[1200:], classes[1200:])
    away = ours.kneighbors(rows[1200:])[0]
    np.testing.assert_allclose(away, theirs.kneighbors(rows[1200:])[0], atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(rows[:50]), theirs.predict_proba(rows[:50]), atol=1e-9)


@pytest.mark.parametrize("index", ["hnsw", "ivf_pq"])
def test_an_index_finds_nearly_all_and_more_with_more_effort(index: str) -> None:
    pytest.importorskip("faiss")
    rows, _ = digits()
    truth = NearestNeighbours().fit(rows[300:]).kneighbors(rows[:300], 10)[1]
    found = [
        recall(
            NearestNeighbours(index=index, effort=effort).fit(rows[300:] + 1e4).kneighbors(rows[:300] + 1e4, 10)[1],
            truth,
        )
        for effort in (1, 0)
    ]
    assert found[1] >= 0.95
    assert found[0] < found[1]


def test_blocks_change_nothing_and_equal_ways_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = digits()
    whole = NearestNeighbours().fit(rows[:200]).kneighbors(rows[200:300], 4)
    monkeypatch.setattr(indexes, "BLOCK", 500)
    for one, other in zip(whole, NearestNeighbours().fit(rows[:200]).kneighbors(rows[200:300], 4), strict=True):
        np.testing.assert_array_equal(one, other)
    assert NearestNeighbours().fit([[0.0], [2.0], [2.0]]).kneighbors([[1.0]], 3)[1].tolist() == [[0, 1, 2]]


def test_what_was_not_found_is_infinitely_far_and_has_no_vote() -> None:
    away, places = indexes.ranked(np.zeros((1, 1)), np.array([[3.0], [0.0]]), np.array([[-1, 0, -1]]), 2)
    assert away.tolist() == [[3.0, np.inf]]
    assert places.tolist() == [[0, -1]]
    learnt = NearestNeighbours(3).fit([[0.0], [1.0], [2.0]], [0, 1, 1])

    class Blind:
        def candidates(self, rows: Any, count: int) -> Any:
            return np.array([[0, -1, -1]])

        def aim(self, effort: int) -> None:
            """It sees nothing in any case."""

    learnt._index = Blind()
    assert learnt.predict_proba([[5.0]]).tolist() == [[1.0, 0.0]]


def test_it_keeps_scikit_learns_conventions_and_its_points() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not inherit from BaseEstimator; some checks need pandas
        check_estimator(NearestNeighbours(neighbours=1), on_skip=None)
    rows, classes = digits()
    assert not parametric(NearestNeighbours(), rows[:50], classes[:50])
    assert parametric(Perceptron(max_epochs=5), rows[:50], classes[:50] > 4)


def test_recall_and_speed_are_measured_for_each_effort() -> None:
    pytest.importorskip("faiss")
    rows, _ = digits()
    drawn = recall_and_speed(rows[100:], rows[:100], {"hnsw": [1, 100], "ivf_pq": [1, 8]})
    assert list(drawn.lines) == ["hnsw", "ivf_pq", "exact"]
    for index, (shares, speeds) in drawn.lines.items():
        assert min(speeds) > 0
        if index == "exact":
            assert shares == [1.0]
        else:
            assert 0 < shares[0] < shares[1] <= 1
    assert drawn.log == "y"  # queries a second span powers of ten
    assert drawn.up == "queries a second"


def test_what_counts_is_the_fastest_of_three_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 4.0, 10.0, 11.0, 20.0, 22.0])  # 4, 1 and 2 seconds
    monkeypatch.setattr("locution.reporting.recall_curve.perf_counter", lambda: next(ticks))
    rows, _ = digits()
    found, speed = timed(NearestNeighbours().fit(rows[10:]), rows[:10], 3)
    assert speed == 10.0
    assert np.array_equal(found, NearestNeighbours().fit(rows[10:]).kneighbors(rows[:10], 3)[1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"index": "hsnw"}, r"neighbours\.index is 'hsnw'"),
        ({"vote": "near"}, r"neighbours\.vote is 'near'"),
        ({"neighbours": 0}, r"neighbours\.neighbours is 0"),
        ({"links": 1}, r"neighbours\.links is 1"),
        ({"effort": -1}, r"neighbours\.effort is -1"),
        ({"index": "ivf_pq", "codes": 3}, r"neighbours\.codes is 3; allowed: a number that divides 64"),
        ({"index": "ivf_pq", "cells": 99}, r"neighbours\.cells is 99; allowed: a number up to 50"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(settings: dict[str, Any], said: str) -> None:
    if "ivf_pq" in settings.values():
        pytest.importorskip("faiss")
    with pytest.raises(UserError, match=said):
        NearestNeighbours(**settings).fit(digits()[0][:50])


def test_more_neighbours_than_points_and_no_faiss_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="is 5; allowed: a whole number from 1 to 2"):
        NearestNeighbours().fit([[0.0], [1.0]]).kneighbors([[0.0]])
    monkeypatch.setattr(indexes, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'locution\[neighbours\]', or index='exact'"):
        NearestNeighbours(index="hnsw").fit([[0.0], [1.0]])


def test_without_classes_it_finds_and_says_that_it_cannot_predict() -> None:
    found = NearestNeighbours(neighbours=1).fit(np.eye(3))
    assert found.kneighbors(np.eye(3))[1].tolist() == [[0], [1], [2]]
    with pytest.raises(UserError, match="fitted without classes y; allowed: kneighbors, or fit"):
        found.predict(np.eye(3))


@pytest.mark.parametrize("index", ["hnsw", "ivf_pq"])
def test_an_index_that_is_there_looks_at_more_or_less_as_it_is_told(index: str) -> None:
    points = np.random.default_rng(3).normal(size=(800, 16))
    built, truth = NearestNeighbours(index=index).fit(points), NearestNeighbours().fit(points).kneighbors(points, 10)[1]
    for effort in (1, 40):
        again = NearestNeighbours(index=index, effort=effort).fit(points).kneighbors(points, 10)[1]
        found = built.aim(effort).kneighbors(points, 10)[1]
        assert abs(recall(found, truth) - recall(again, truth)) < 0.02
    little, much = (recall(built.aim(effort).kneighbors(points, 10)[1], truth) for effort in (1, 40))
    assert little < much - 0.05
