"""How a run judges the pictures that it makes: against what was asked for, and beside others."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch

from locution.data.digits import DigitsData
from locution.models.gan import GANModel
from locution.reporting.results import RunResults
from locution.tasks.adversarial import CHUNK, made
from locution.tasks.generated_pictures import judge_pictures, shown
from locution.tasks.wanted import classes_wanted


@cache
def judged(asked: str) -> RunResults:
    """Judge digits that nobody made: those held out, as if each had been asked for as what it is, or as the next."""
    data: Any = DigitsData().load(0)
    held, results = data.test, RunResults("digits")
    wanted = {"as it is": held.targets, "as the next": (held.targets + 1) % 10}[asked]
    judge_pictures(results, data.train, held, data.labels, held.inputs, wanted)
    return results


def values(results: RunResults) -> dict[str, float]:
    return {metric.name: metric.value for metric in results.metrics}


def test_what_is_recognised_is_what_was_asked_for_if_the_classes_say_so() -> None:
    right, wrong = values(judged("as it is")), values(judged("as the next"))
    assert right["as_asked"] == pytest.approx(right["recognised"], abs=0.02)
    assert wrong["as_asked"] < 0.02


def test_samples_stand_beside_three_others_in_one_table() -> None:
    results = judged("as it is")
    (table,) = results.tables
    rows: dict[str, Any] = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["samples", "Gaussian fit", "held out", "learnt from"]
    assert rows["samples"]["data-copying"] == rows["held out"]["data-copying"] == pytest.approx(0.5)
    assert rows["learnt from"]["data-copying"] == 1.0
    assert math.isnan(rows["held out"]["recall"])
    assert rows["samples"]["recall"] == 1.0
    found = values(results)
    assert found["recognised"] == found["recognised_held_out"] > found["recognised_gaussian_fit"]
    assert results.warnings == []


def test_a_class_that_is_never_made_is_said_to_be_missing() -> None:
    data: Any = DigitsData().load(0)
    results = RunResults("digits")
    samples = data.test.inputs[data.test.targets != 4]
    judge_pictures(results, data.train, data.test, data.labels, samples)
    assert "as_asked" not in values(results)
    (line,) = results.warnings
    assert line.startswith("mode collapse: 1 of 10 modes")
    assert "class 4" in line


def test_pictures_without_classes_are_judged_by_their_distances_alone() -> None:
    data: Any = DigitsData(limit=200).load(0)
    results = RunResults("digits")
    judge_pictures(results, data.train, data.test, (), data.test.inputs)
    assert values(results) == {"energy_distance": pytest.approx(0.0, abs=0.5), "coverage": 1.0}
    assert results.tables == []


def test_classes_follow_their_noise_through_all_pieces() -> None:
    torch.manual_seed(0)
    gan = GANModel(latents=2, widths=(8,), conditional=True).build((2,), 3)
    label = classes_wanted(None, ("a", "b", "c"), CHUNK + 7)
    many = made(gan, CHUNK + 7, 0, label=label)
    for place, name in enumerate("abc"):
        alone = made(gan, CHUNK + 7, 0, label=classes_wanted(name, ("a", "b", "c"), CHUNK + 7))
        torch.testing.assert_close(many[place::3], alone[place::3])
        assert not torch.equal(many[(place + 1) % 3 :: 3], alone[(place + 1) % 3 :: 3])


@pytest.mark.parametrize(("by_class", "columns"), [(True, 10), (False, 12)])
def test_pictures_of_classes_stand_in_columns(by_class: bool, columns: int) -> None:
    (gallery,) = shown(torch.rand(60, 1, 8, 8), "Samples", by_class)
    assert gallery.pictures.shape == (60 // columns, columns, 8, 8)
