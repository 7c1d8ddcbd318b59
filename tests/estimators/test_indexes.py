"""Indexes: their settings reach the library, what is kept builds them again, and who was not found does not vote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from locution.data.digits import read_digits
from locution.estimators import indexes
from locution.estimators.neighbours import NearestNeighbours, recall


def digits() -> tuple[Any, Any]:
    pictures, classes = read_digits()
    return np.asarray(pictures.flatten(1), dtype=np.float64) * 16, classes.numpy()


def test_where_nobody_was_found_nobody_votes() -> None:
    class Blind:
        def candidates(self, rows: Any, count: int) -> Any:
            return np.full((len(rows), 3), -1)

        def aim(self, effort: int) -> None:
            """It sees nothing in any case."""

    learnt = NearestNeighbours(3).fit([[0.0], [1.0], [2.0]], [0, 1, 1])
    learnt._index = Blind()
    assert learnt.predict_proba([[5.0]]).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("index", ["exact", "hnsw", "ivf_pq"])
def test_what_was_kept_is_plain_data_from_which_the_index_is_built_again(index: str) -> None:
    if index != "exact":
        pytest.importorskip("faiss")
    rows, classes = digits()
    learnt = NearestNeighbours(3, index=index).fit(rows[:400], classes[:400])
    kept = learnt.state_dict()
    assert {"points_", "classes_", "codes_"} <= set(kept)
    assert not any(name.startswith("_") for name in kept)
    again = NearestNeighbours(3, index=index)
    again.load_state_dict(kept)
    for one, other in zip(learnt.kneighbors(rows[400:500]), again.kneighbors(rows[400:500]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.predict(rows[400:500]).tolist() == learnt.predict(rows[400:500]).tolist()


def test_settings_reach_the_index() -> None:
    pytest.importorskip("faiss")
    rows, _ = digits()
    plain, set_by_hand = (
        NearestNeighbours(index="hnsw", **settings).fit(rows[:300])._index
        for settings in ({}, {"effort": 7, "links": 5, "building": 33})
    )
    for found, wanted in ((plain, (128, 100, 32)), (set_by_hand, (7, 33, 5))):
        graph = found.index.hnsw  # type: ignore[attr-defined]
        assert (graph.efSearch, graph.efConstruction, graph.nb_neighbors(1)) == wanted
    plain, set_by_hand = (
        NearestNeighbours(index="ivf_pq", **settings).fit(rows[:300])._index
        for settings in ({}, {"effort": 3, "cells": 9, "codes": 8, "shortlist": 4})
    )
    for found, wanted in ((plain, (16, 17, 32, 10)), (set_by_hand, (3, 9, 8, 4))):
        cells = found.index  # type: ignore[attr-defined]
        assert (cells.nprobe, cells.nlist, cells.pq.M, found.shortlist) == wanted  # type: ignore[attr-defined]
    assert cells.pq.nbits == 8  # of 300 points: 256 entries in a code book
    few: Any = NearestNeighbours(1, index="ivf_pq").fit(rows[:40])
    assert few._index.index.pq.nbits == 5  # of 40: 32
    assert (few.kneighbors(rows[:40])[0] == 0).all()


@pytest.mark.parametrize("index", ["hnsw", "ivf_pq"])
def test_points_far_out_are_told_apart_in_single_precision(index: str) -> None:
    pytest.importorskip("faiss")
    rows, _ = digits()  # whole numbers to 16; at 1e8 single precision knows steps of 8
    truth = NearestNeighbours().fit(rows[300:]).kneighbors(rows[:300], 10)[1]
    found = NearestNeighbours(index=index).fit(rows[300:] + 1e8).kneighbors(rows[:300] + 1e8, 10)[1]
    assert recall(found, truth) >= 0.95


def test_of_equally_near_ones_the_first_comes_first_and_few_points_are_compared_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = np.array([[5, 3, 1, 4, 0, 2]]).repeat(3, 0)
    assert indexes.ranked(np.zeros((3, 2)), np.ones((6, 2)), places, 4)[1].tolist() == [[0, 1, 2, 3]] * 3
    many = np.arange(400)[None, ::-1]
    assert indexes.ranked(np.zeros((1, 1)), np.ones((400, 1)), many, 400)[1].tolist() == [list(range(400))]
    monkeypatch.setattr(indexes, "BLOCK", 3)  # less than a single row needs
    points = np.arange(10.0)[:, None]
    assert NearestNeighbours(1).fit(points).kneighbors(points + 0.1)[1][:, 0].tolist() == list(range(10))
