"""Targets as distributions: what is one, what is none, and how many classes a model tells apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from locution.data.targets import are_distributions, count_classes, distributions, require_classes
from locution.engine import Batch
from locution.errors import UserError


def test_distributions_stay_as_they_are() -> None:
    given = torch.tensor([[0.7, 0.3]])
    assert distributions(given, 2) is given


@pytest.mark.parametrize(
    ("rows", "are"),
    [
        ([[0.5, 0.5], [0.0, 0.0]], True),
        ([[1.5, -0.5]], False),
        ([[1.0], [1.0]], False),
        ([[0.5, 0.4]], False),
        ([0.0, 1.0], False),
    ],
)
def test_a_distribution_adds_up_to_one_over_two_classes_or_more(rows: list[list[float]], are: bool) -> None:
    assert are_distributions(torch.tensor(rows)) is are


def test_whole_numbers_are_no_distributions() -> None:
    assert not are_distributions(torch.tensor([[1, 0]]))


def test_a_model_is_asked_asleep_and_left_as_it_was() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Dropout())
    model[2].eval()
    assert count_classes(model, Batch(torch.ones(8, 4), torch.zeros(8, dtype=torch.long))) == 3
    assert [part.training for part in model.modules()] == [True, True, True, False]
    assert int(model[0].num_batches_tracked) == 0


def test_a_model_that_does_not_tell_two_classes_apart_is_no_classifier() -> None:
    with pytest.raises(UserError, match=r"label_smoothing\.classes is null; allowed: the number of classes"):
        require_classes("label_smoothing.classes", nn.Linear(4, 1), Batch(torch.zeros(2, 4), torch.zeros(2)))


def test_outputs_of_another_shape_say_nothing() -> None:
    assert count_classes(nn.Linear(4, 3), Batch(torch.zeros(2, 5, 4), torch.zeros(2))) is None  # (2, 5, 3) for (2,)
    assert count_classes(nn.Linear(4, 3), Batch(torch.zeros(2, 7), torch.zeros(2))) is None  # it cannot take them
