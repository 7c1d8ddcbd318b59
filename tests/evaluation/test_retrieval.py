"""Retrieval and linear probes against scikit-learn and against searches by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from locution.data.digits import read_digits
from locution.errors import UserError
from locution.evaluation.linear_probe import linear_probe
from locution.evaluation.retrieval import average_precision, recall_at, relevance

DRAW = torch.Generator().manual_seed(0)
VECTORS, CLASSES = torch.randn(60, 5, generator=DRAW), torch.randint(4, (60,), generator=DRAW)


def test_average_precision_is_scikit_learns() -> None:
    found = average_precision(relevance(VECTORS, CLASSES))
    away = torch.cdist(VECTORS.double(), VECTORS.double())
    for row in range(60):
        others = [other for other in range(60) if other != row]
        wanted = (CLASSES[others] == CLASSES[row]).numpy()
        assert found[row].item() == pytest.approx(average_precision_score(wanted, -away[row, others].numpy()), abs=1e-9)


@pytest.mark.parametrize("count", [1, 3])
def test_recall_is_that_of_a_search_by_hand(count: int) -> None:
    found = recall_at(relevance(VECTORS, CLASSES), count)
    for row in range(60):
        others = sorted((float((VECTORS[row] - VECTORS[o]).norm()), o) for o in range(60) if o != row)[:count]
        assert bool(found[row]) == any(CLASSES[other] == CLASSES[row] for _, other in others)


def test_recall_at_one_of_pixels_is_leave_one_out_of_the_nearest_neighbour() -> None:
    pictures, digits = read_digits()
    rows, truth = pictures[:150].flatten(1), digits[:150]
    right = []
    for row in range(150):
        kept = np.arange(150) != row
        nearest = KNeighborsClassifier(1).fit(rows[kept], truth[kept])
        right.append(float(nearest.predict(rows[row : row + 1])[0] == truth[row]))
    assert recall_at(relevance(rows, truth), 1).tolist() == right


def test_equally_near_ones_come_in_their_order_and_oneself_never() -> None:
    same = torch.zeros(4, 2)
    assert relevance(same, torch.tensor([0, 1, 0, 1])).tolist() == [
        [False, True, False],
        [False, False, True],
        [True, False, False],
        [False, True, False],
    ]


def test_of_many_equally_near_ones_the_first_comes_first() -> None:
    classes = torch.randint(9, (300,), generator=torch.Generator().manual_seed(1))
    found = relevance(torch.zeros(300, 3), classes)
    for row in (0, 7, 299):
        others = torch.cat([classes[:row], classes[row + 1 :]])
        assert torch.equal(found[row], others == classes[row])


def test_an_example_alone_of_its_kind_finds_nothing() -> None:
    found = relevance(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 0, 5]))
    assert average_precision(found)[2] == 0
    assert recall_at(found, 2)[2] == 0


def test_a_linear_probe_is_logistic_regression_on_standardised_features() -> None:
    train, test = 3 * VECTORS[:40] + 2, 3 * VECTORS[40:] + 2
    scaler = StandardScaler().fit(train.double())
    plain = LogisticRegression(max_iter=5000).fit(scaler.transform(train.double()), CLASSES[:40])
    expected = plain.predict(scaler.transform(test.double()))
    assert linear_probe(train, CLASSES[:40], test).tolist() == expected.tolist()


def test_a_feature_that_never_changes_does_no_harm_to_a_probe() -> None:
    train = torch.cat([VECTORS[:40], torch.ones(40, 1)], 1)
    test = torch.cat([VECTORS[40:], torch.ones(20, 1)], 1)
    assert torch.equal(linear_probe(train, CLASSES[:40], test), linear_probe(VECTORS[:40], CLASSES[:40], VECTORS[40:]))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: relevance(torch.zeros(1, 2), torch.zeros(1)), "two rows or more"),
        (lambda: relevance(torch.zeros(3, 2), torch.zeros(2)), "shapes of vectors and classes"),
        (lambda: recall_at(torch.zeros(3, 2, dtype=torch.bool), 3), "count is 3; allowed: a whole number from 1 to 2"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        asked()  # type: ignore[operator]
