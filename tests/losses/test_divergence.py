"""Divergence and entropy against torch's, and what tells classes from values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from locution.errors import UserError
from locution.losses.divergence import are_classes, distance, entropy, kullback_leibler, per_example


def scores(*shape: int) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(3)
    return torch.randn(shape, generator=stream), torch.randn(shape, generator=stream)


def test_divergence_and_entropy_equal_torchs() -> None:
    one, other = scores(7, 5)
    first, second = Categorical(logits=one), Categorical(logits=other)
    torch.testing.assert_close(kullback_leibler(one, other), kl_divergence(first, second))
    wanted: Tensor = first.entropy()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(entropy(one), wanted)
    warm = kl_divergence(Categorical(logits=one / 3), Categorical(logits=other / 3))
    torch.testing.assert_close(kullback_leibler(one, other, temperature=3.0), warm)


def test_large_scores_give_no_nan() -> None:
    one, other = torch.tensor([[1e4, -1e4]]), torch.tensor([[-1e4, 1e4]])
    assert kullback_leibler(one, one).item() == 0.0
    assert kullback_leibler(one, other).item() == pytest.approx(2e4)
    assert entropy(one).item() == 0.0


CLASSES = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("targets", "outputs", "classes"),
    [
        (torch.tensor([0, 2]), CLASSES, True),
        (torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), CLASSES, True),
        (torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]), CLASSES, True),  # nothing to learn from the second
        (torch.tensor([[1.5, -0.5, 0.0], [0.0, 0.0, 1.0]]), CLASSES, False),  # adds up, but no distribution
        (torch.tensor([[0.5, 0.7, 0.0], [0.0, 0.0, 1.0]]), CLASSES, False),
        (torch.tensor([[1.0], [1.0]]), torch.zeros(2, 1), False),  # values that happen to be 1
        (torch.tensor([1.0, 0.0]), torch.zeros(2), False),
    ],
)
def test_classes_are_told_from_values(targets: Tensor, outputs: Tensor, classes: bool) -> None:
    assert are_classes(targets, outputs) is classes


def test_targets_that_are_no_tensor_are_refused() -> None:
    with pytest.raises(UserError, match="targets came that are no tensor; allowed: classes, distributions or values"):
        are_classes(None, CLASSES)


def test_an_example_of_which_nothing_counts_weighs_nothing() -> None:
    found = per_example(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([[0, 1], [-100, -100]]))
    assert found.tolist() == [2.0, 0.0]


def test_values_are_compared_by_their_mean_square() -> None:
    one, other = scores(4, 3)
    torch.testing.assert_close(distance(one, other, classes=False), (one - other).square().mean(1))
