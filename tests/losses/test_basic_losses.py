"""The losses against torch's, and the reduction that lets parts of a batch add up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine import Batch
from locution.errors import UserError
from locution.losses.basic import MSE, CrossEntropy, cross_entropy, mean_squared_error

IDENTITY = nn.Identity()


@pytest.fixture
def scores() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classes() -> Tensor:
    return torch.tensor([0, 1, 3, 3, 2, 0])


def test_cross_entropy_of_classes_is_torchs(scores: Tensor, classes: Tensor) -> None:
    output, loss = CrossEntropy()(IDENTITY, Batch(scores, classes))
    assert output is scores
    torch.testing.assert_close(loss, functional.cross_entropy(scores, classes))
    torch.testing.assert_close(cross_entropy(scores, classes).mean(), loss)


def test_cross_entropy_of_distributions_is_torchs(scores: Tensor) -> None:
    soft = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)).softmax(-1)
    _, loss = CrossEntropy()(IDENTITY, Batch(scores, soft))
    torch.testing.assert_close(loss, functional.cross_entropy(scores, soft))
    torch.testing.assert_close(cross_entropy(scores, soft).mean(), loss)


def test_class_weights_multiply_and_are_not_divided_by(scores: Tensor, classes: Tensor) -> None:
    weights = (1.0, 2.0, 0.0, 0.5)
    tensor = torch.tensor(weights)
    _, hard = CrossEntropy(class_weights=weights)(IDENTITY, Batch(scores, classes))
    torch.testing.assert_close(hard, functional.cross_entropy(scores, classes, tensor, reduction="sum") / 6)
    sure = functional.one_hot(classes, 4).float()
    _, soft = CrossEntropy(class_weights=weights)(IDENTITY, Batch(scores, sure))
    torch.testing.assert_close(soft, functional.cross_entropy(scores, sure, tensor))
    torch.testing.assert_close(hard, soft)


def test_sequences_count_what_is_not_ignored_and_the_batchs_weights_make_it_a_mean_over_tokens() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 5, 4, generator=draw)
    targets = torch.randint(4, (3, 5), generator=draw)
    targets[0, 2:] = -100
    targets[2] = -100
    lengths = (targets != -100).sum(1).float()
    _, loss = CrossEntropy()(IDENTITY, Batch(scores, targets, lengths))
    torch.testing.assert_close(loss, functional.cross_entropy(scores.view(-1, 4), targets.view(-1)))
    assert cross_entropy(scores, targets)[2] == 0


def test_the_mean_squared_error_is_torchs() -> None:
    draw = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(5, 2, 3, generator=draw), torch.randn(5, 2, 3, generator=draw)
    _, loss = MSE()(IDENTITY, Batch(outputs, targets))
    torch.testing.assert_close(loss, functional.mse_loss(outputs, targets))
    torch.testing.assert_close(mean_squared_error(outputs, targets).mean(), loss)


@pytest.mark.parametrize("objective", [CrossEntropy(), CrossEntropy((1.0, 2.0, 3.0, 4.0))])
def test_weights_are_a_mean_over_their_sum_and_whole_weights_are_copies(
    objective: CrossEntropy, scores: Tensor, classes: Tensor
) -> None:
    weights = torch.tensor([1.0, 2.0, 0.0, 1.0, 3.0, 1.0])
    _, weighted = objective(IDENTITY, Batch(scores, classes, weights))
    copies = weights.long()
    _, repeated = objective(IDENTITY, Batch(scores.repeat_interleave(copies, 0), classes.repeat_interleave(copies, 0)))
    torch.testing.assert_close(weighted, repeated)
    _, error = MSE()(IDENTITY, Batch(scores, torch.zeros_like(scores), weights))
    torch.testing.assert_close(error, (scores**2).mean(1).mul(weights).sum() / 8)


@pytest.mark.parametrize("parts", [1, 2, 4, 5, 6])
def test_the_parts_of_a_batch_add_up_to_the_whole(parts: int, scores: Tensor, classes: Tensor) -> None:
    for weights in (None, torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0, 1.0])):
        batch = Batch(scores, classes, weights)
        objective = CrossEntropy((1.0, 2.0, 3.0, 4.0))
        total = sum(share * objective(IDENTITY, part)[1] for part, share in batch.split(parts))
        torch.testing.assert_close(total, objective(IDENTITY, batch)[1])


def test_shapes_that_would_broadcast_in_silence_are_refused(scores: Tensor) -> None:
    with pytest.raises(UserError, match=r"targets have shape \(6,\); allowed: \(6, 1\)"):
        MSE()(IDENTITY, Batch(scores[:, :1], scores[:, 0]))
    with pytest.raises(UserError, match=r"targets have shape \(6, 1\); allowed: \(6,\), a class"):
        CrossEntropy()(IDENTITY, Batch(scores, torch.zeros(6, 1, dtype=torch.int64)))
    with pytest.raises(UserError, match=r"allowed: \(6, 4\), the shape"):
        CrossEntropy()(IDENTITY, Batch(scores, torch.zeros(6, 3)))


def test_class_weights_out_of_range_are_refused(scores: Tensor, classes: Tensor) -> None:
    with pytest.raises(UserError, match="numbers from 0, one a class"):
        CrossEntropy(class_weights=(-1.0,))
    with pytest.raises(UserError, match=r"class_weights has 2 numbers; allowed: 4"):
        CrossEntropy(class_weights=(1.0, 1.0))(IDENTITY, Batch(scores, classes))
