"""Label smoothing against torch's cross-entropy, and its place before mixup."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from locution.data.mixup import MixupMethod
from locution.engine import Batch, Plan, Step
from locution.engine.method import ordered
from locution.errors import UserError
from locution.losses.basic import cross_entropy as locution_cross_entropy
from locution.losses.label_smoothing import LabelSmoothingMethod, smooth


def step() -> Step:
    return Step(0, 0, Plan(seed=1), nn.Linear(2, 5))


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("shape", [(7,), (3, 4)])
def test_equals_torchs_cross_entropy(amount: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    output, targets = torch.randn(shape[0], 5, *shape[1:]), torch.randint(0, 5, shape)
    expected = cross_entropy(output, targets, label_smoothing=amount)
    found = cross_entropy(output, smooth(targets, amount, 5).movedim(-1, 1))  # torch has the classes second
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    own = locution_cross_entropy(output.movedim(1, -1), smooth(targets, amount, 5)).mean()  # here they come last
    torch.testing.assert_close(own, expected, rtol=0, atol=1e-6)


def test_what_is_not_to_be_learnt_stays_out() -> None:
    torch.manual_seed(0)
    output, targets = torch.randn(4, 5), torch.tensor([1, -100, 3, -100])
    expected = cross_entropy(output, targets, label_smoothing=0.2, reduction="sum")
    found = cross_entropy(output, smooth(targets, 0.2, 5), reduction="sum")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_gradient_equals_torchs_too() -> None:
    torch.manual_seed(0)
    targets = torch.randint(0, 5, (6,))
    one, two = torch.randn(6, 5).requires_grad_(), None
    two = one.detach().clone().requires_grad_()
    cross_entropy(one, targets, label_smoothing=0.1).backward()
    cross_entropy(two, smooth(targets, 0.1, 5)).backward()
    torch.testing.assert_close(one.grad, two.grad, rtol=0, atol=1e-7)


def test_distributions_are_smoothed_as_they_are() -> None:
    found = smooth(torch.tensor([[0.5, 0.5, 0.0, 0.0]]), 0.1)
    torch.testing.assert_close(found, torch.tensor([[0.475, 0.475, 0.025, 0.025]]))


def test_the_method_asks_the_model_for_the_number_of_classes_each_time_it_is_built() -> None:
    method = LabelSmoothingMethod()
    batch = Batch(torch.randn(3, 2), torch.tensor([0, 1, 4]))
    assert torch.equal(method.batch(batch, step()).targets, smooth(batch.targets, 0.1, 5))
    other = nn.Linear(2, 9)
    method.model(other, Plan())
    assert method.batch(batch, Step(0, 0, Plan(), other)).targets.shape == (3, 9)
    assert method == LabelSmoothingMethod()  # what was asked for is no setting


def test_texts_are_smoothed_word_by_word() -> None:
    batch = Batch(torch.zeros(2, 3, dtype=torch.long), torch.tensor([[0, 3, -100], [1, 1, 2]]))
    found = LabelSmoothingMethod(amount=0.2).batch(batch, Step(0, 0, Plan(), nn.Embedding(5, 4))).targets
    assert found.shape == (2, 3, 4)
    torch.testing.assert_close(found[0, 1], torch.tensor([0.05, 0.05, 0.05, 0.85]))
    assert not found[0, 2].any()


def test_with_mixup_the_listed_order_changes_nothing() -> None:
    batch = Batch(torch.randn(6, 2), torch.randint(0, 5, (6,)))
    results = []
    for listed in ([MixupMethod(), LabelSmoothingMethod()], [LabelSmoothingMethod(), MixupMethod()]):
        mixed = batch
        for method in ordered(listed):
            mixed = method.batch(mixed, step())
        results.append(mixed.targets)
    assert [m.name for m in ordered([MixupMethod(), LabelSmoothingMethod()])] == ["label_smoothing", "mixup"]
    assert torch.equal(*results)
    alone = MixupMethod().batch(batch, step()).targets
    torch.testing.assert_close(results[0], smooth(alone, 0.1))  # both are straight: either order, same targets


@pytest.mark.parametrize("targets", [None, torch.randn(3), torch.randn(3, 1), torch.randn(3, 2)])
def test_targets_that_are_no_classes_are_refused(targets: Any) -> None:
    with pytest.raises(UserError, match="no classes"):
        LabelSmoothingMethod().batch(Batch(torch.randn(3, 2), targets), step())


def test_bare_classes_are_refused_by_the_function() -> None:
    with pytest.raises(UserError, match="classes=N"):
        smooth(torch.tensor([1]), 0.1)


@pytest.mark.parametrize("settings", [{"amount": -0.1}, {"amount": 1.0}, {"classes": 1}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="label_smoothing"):
        LabelSmoothingMethod(**settings)
