"""Metrics against scikit-learn's."""

from __future__ import annotations

import pytest
import sklearn.metrics as theirs
import torch
from torch import Tensor

from locution.errors import UserError
from locution.evaluation.metrics import METRICS, accuracy, confusion, error_rate, macro_f1, measure


@pytest.fixture
def scores() -> Tensor:
    return torch.randn(80, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classes() -> Tensor:
    return torch.randint(4, (80,), generator=torch.Generator().manual_seed(1))


def test_figures_of_classes_are_scikit_learns(scores: Tensor, classes: Tensor) -> None:
    guesses = scores.argmax(1)
    found = measure(["accuracy", "error_rate", "macro_f1", "cross_entropy"], scores, classes)
    assert found["accuracy"]["value"] == pytest.approx(theirs.accuracy_score(classes, guesses))
    assert found["error_rate"]["value"] == pytest.approx(theirs.zero_one_loss(classes, guesses))
    assert found["macro_f1"]["value"] == pytest.approx(theirs.f1_score(classes, guesses, average="macro"))
    chances = scores.softmax(1).double()
    expected = theirs.log_loss(classes, chances / chances.sum(1, keepdim=True), labels=range(4))
    assert found["cross_entropy"]["value"] == pytest.approx(expected, rel=1e-5)
    assert confusion(scores, classes, 4).tolist() == theirs.confusion_matrix(classes, guesses).tolist()


def test_a_class_that_is_neither_said_nor_there_does_not_count() -> None:
    guesses, right = torch.tensor([0, 3, 3, 0]), torch.tensor([0, 3, 0, 0])
    assert macro_f1(guesses, right)["value"] == pytest.approx(theirs.f1_score(right, guesses, average="macro"))


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3)])
def test_figures_of_values_are_scikit_learns(shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    targets = torch.randn(shape, generator=draw)
    outputs = targets + 0.5 * torch.randn(shape, generator=draw)
    found = measure(["mse", "rmse", "mae"], outputs, targets)
    assert found["mse"]["value"] == pytest.approx(theirs.mean_squared_error(targets, outputs), rel=1e-5)
    root = theirs.mean_squared_error(targets.flatten(), outputs.flatten()) ** 0.5
    assert found["rmse"]["value"] == pytest.approx(root, rel=1e-5)
    assert [found["rmse"][name] ** 2 for name in ("low", "high")] == pytest.approx(
        [found["mse"][name] for name in ("low", "high")]
    )
    assert found["mae"]["value"] == pytest.approx(theirs.mean_absolute_error(targets, outputs), rel=1e-5)
    if shape != (50, 3):
        assert measure(["r2"], outputs, targets)["r2"]["value"] == pytest.approx(
            theirs.r2_score(targets, outputs), rel=1e-5
        )


@pytest.mark.parametrize("name", list(METRICS))
def test_each_has_an_interval_around_its_value(name: str, scores: Tensor, classes: Tensor) -> None:
    values = name in ("mse", "rmse", "mae", "r2")
    pair = (scores[:, :1], scores[:, :1] + scores[:, 1:2]) if values else (scores, classes)
    found = METRICS[name](*pair, 0)
    assert found["low"] < found["value"] < found["high"]
    assert found == METRICS[name](*pair, 0)


def test_soft_targets_count_as_their_likeliest_class(scores: Tensor) -> None:
    assert accuracy(scores, scores.softmax(1))["value"] == 1.0


def test_what_does_not_fit_is_refused(scores: Tensor, classes: Tensor) -> None:
    with pytest.raises(UserError, match="Did you mean 'accuracy'"):
        measure(["acuracy"], scores, classes)
    with pytest.raises(UserError, match="79 targets came with 80 outputs"):
        accuracy(scores, classes[1:])
    with pytest.raises(UserError, match="allowed: "):
        measure(["mse"], scores[:, :1], scores[:, 0])
    with pytest.raises(UserError, match="one value each"):
        measure(["r2"], scores, scores)


def test_all_right_of_few_is_not_sure_to_be_all_right() -> None:
    classes = torch.arange(81) % 2
    sure = accuracy(classes, classes)
    assert sure == {"value": 1.0, "low": pytest.approx(81 / (81 + 1.959964**2), abs=1e-6), "high": 1.0}  # Wilson
    assert error_rate(classes, classes)["high"] == pytest.approx(1 - sure["low"])
    assert accuracy(1 - classes, classes)["low"] == 0.0 < accuracy(1 - classes, classes)["high"] < 0.05


def test_where_all_is_right_the_macro_f1_still_has_an_interval() -> None:
    right = torch.tensor([0, 1, 2, 1] * 10)
    found = macro_f1(right, right)
    assert found["value"] == found["high"] == 1.0
    assert found["low"] == pytest.approx(40 / (40 + 1.959964**2), abs=1e-6)  # Wilson: n / (n + z^2)
