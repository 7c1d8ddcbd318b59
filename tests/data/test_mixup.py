"""Mixup against its closed form, and its draws against the Beta distribution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution.data.mixup import MixupMethod, draw, mixup
from locution.data.targets import count_classes, distributions
from locution.engine import Batch, Plan, Step
from locution.errors import UserError


def step(number: int = 0, model: nn.Module | None = None) -> Step:
    return Step(number, 0, Plan(seed=5), model or nn.Linear(2, 3))


def test_seven_tenths_and_three_tenths() -> None:
    x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0, 2])
    inputs, targets = mixup(x, y, 0.7, torch.tensor([1, 0]), classes=3)
    torch.testing.assert_close(inputs, torch.tensor([[1.6, 2.6], [2.4, 3.4]]))
    torch.testing.assert_close(targets, torch.tensor([[0.7, 0.0, 0.3], [0.3, 0.0, 0.7]]))


def test_the_loss_is_the_same_blend_of_losses() -> None:
    """Cross-entropy is straight in its target: 0.7 of one target's loss and 0.3 of the other's."""
    torch.manual_seed(0)
    x, y, order = torch.randn(6, 2), torch.randint(0, 3, (6,)), torch.randperm(6)
    net = nn.Linear(2, 3)
    inputs, targets = mixup(x, y, 0.7, order, classes=3)
    output = net(inputs)
    expected = 0.7 * cross_entropy(output, y) + 0.3 * cross_entropy(output, y[order])
    torch.testing.assert_close(cross_entropy(output, targets), expected, rtol=0, atol=1e-6)


def test_values_and_trees_blend_too() -> None:
    x = {"a": torch.tensor([[0.0], [1.0]]), "b": (torch.tensor([2.0, 4.0]),)}
    inputs, targets = mixup(x, torch.tensor([10.0, 20.0]), 0.25, torch.tensor([1, 0]))
    assert inputs["a"].tolist() == [[0.75], [0.25]]
    assert inputs["b"][0].tolist() == [3.5, 2.5]
    assert targets.tolist() == [17.5, 12.5]


def test_classes_become_distributions_by_asking_the_model() -> None:
    batch = MixupMethod().batch(Batch(torch.randn(4, 2), torch.tensor([0, 1, 2, 0])), step())
    assert batch.targets.shape == (4, 3)
    torch.testing.assert_close(batch.targets.sum(1), torch.ones(4))


def test_a_step_always_draws_the_same_and_steps_differ() -> None:
    method, batch = MixupMethod(alpha=1.0), Batch(torch.randn(8, 2), torch.randint(0, 3, (8,)))
    third_step, fourth_step = step(3), step(4)
    first = method.batch(batch, third_step)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    second, third = method.batch(batch, third_step), method.batch(batch, fourth_step)
    assert torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.inputs, third.inputs)
    assert torch.equal(torch.get_rng_state(), state)  # torch's own generator is neither read nor moved


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_follow_the_beta_distribution(alpha: float) -> None:
    weights = torch.tensor([draw(alpha, 1, step(n))[0] for n in range(2000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert weights.mean().item() == pytest.approx(0.5, abs=0.03)
    assert weights.var().item() == pytest.approx(variance, rel=0.1)


def test_counts_in_the_mean_blend_and_keep_their_sum() -> None:
    batch = Batch(torch.randn(4, 2), torch.randn(4), weights=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    mixed = MixupMethod(alpha=1.0).batch(batch, step())
    assert mixed.weight() == pytest.approx(10.0)
    weight, order = draw(1.0, 4, step())
    torch.testing.assert_close(mixed.weights, weight * batch.weights + (1 - weight) * batch.weights[order])


def test_words_and_unstated_classes_are_refused() -> None:
    swap = torch.tensor([1, 0])
    with pytest.raises(UserError, match="inputs of int64"):
        mixup(torch.tensor([[1], [2]]), torch.tensor([0.0, 1.0]), 0.7, swap)
    with pytest.raises(UserError, match="classes=N"):
        mixup(torch.ones(2, 1), torch.tensor([0, 1]), 0.7, swap)
    with pytest.raises(UserError, match="no tensor"):
        MixupMethod().batch(Batch(torch.ones(2, 2)), step())
    with pytest.raises(UserError, match=r"mixup\.classes is null"):
        MixupMethod().batch(Batch(torch.ones(2, 9), torch.tensor([0, 1])), step())  # the model takes 2, not 9


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"alpha": -1.0}, {"classes": 1}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="mixup"):
        MixupMethod(**settings)


def test_classes_of_any_shape_become_distributions() -> None:
    targets = torch.tensor([[2, 0], [1, -100]])  # (N, T)
    found = distributions(targets, 3)  # (N, T, C), as the loss takes them
    assert found.shape == (2, 2, 3)
    assert found[0, 0].tolist() == [0, 0, 1]
    assert found[1, 1].tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError):
        distributions(torch.tensor([3]), 3)


def test_counting_classes_leaves_the_model_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))
    net[0].eval()
    assert count_classes(net, Batch(torch.randn(5, 2))) == 3
    assert [m.training for m in net] == [False, True, True, True]
    assert net[1].num_batches_tracked.item() == 0


class Named(nn.Module):
    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"logits": inputs}


def test_a_model_that_answers_otherwise_does_not_say_it() -> None:
    assert count_classes(Named(), Batch(torch.randn(5, 2))) is None
