"""Micro-batches add up to the large batch, whatever their sizes and weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, TensorBatches, Turn


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def weighted(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """A mean over the batch's weight."""
    output = model(batch.inputs)
    errors = ((output - batch.targets) ** 2)[:, 0]
    weights = torch.ones_like(errors) if batch.weights is None else batch.weights
    return output, (errors * weights).sum() / weights.sum()


def train(accumulate: int, *, tokens: bool, batch_size: int = 10) -> list[Tensor]:
    torch.manual_seed(1)
    inputs, targets = torch.randn(33, 5).double(), torch.randn(33, 1).double()
    weights = torch.randint(1, 9, (33,)).double() if tokens else None
    data = TensorBatches(inputs, targets, weights=weights, batch_size=batch_size)
    turn = Turn(weighted, partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    engine = Engine(net(), turn, accumulate=accumulate, device="cpu").fit(data, epochs=2)
    return [parameter.detach() for parameter in engine.model.parameters()]


@pytest.mark.parametrize("tokens", [False, True], ids=["examples", "tokens"])
@pytest.mark.parametrize("accumulate", [2, 3, 4, 10, 50])
def test_accumulation_equals_the_large_batch(accumulate: int, tokens: bool) -> None:
    # 33 in batches of 10: the last batch has 3, and most micro-batches are ragged
    for one, other in zip(train(1, tokens=tokens), train(accumulate, tokens=tokens), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_mean_of_means_would_be_noticed() -> None:
    batch = Batch(torch.arange(7.0), weights=torch.tensor([1.0, 1, 1, 5, 1, 1, 2]))
    parts = batch.split(3)
    assert [len(part) for part, _ in parts] == [3, 3, 1]
    assert [round(share, 6) for _, share in parts] == [0.25, round(7 / 12, 6), round(2 / 12, 6)]
