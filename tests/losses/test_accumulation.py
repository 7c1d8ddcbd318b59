"""Accumulation: four micro-batches of 8 give the update of a batch of 32."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from locution.engine import Batch, Engine, Turn
from locution.losses.basic import CrossEntropy
from locution.models.mlp import MLP
from locution.optimizers.basic import SGD, AdamW


def trained(batch: Batch, accumulate: int, optimizer: SGD | AdamW, steps: int) -> list[Tensor]:
    torch.manual_seed(0)
    model = MLP([20, 16, 4])
    engine = Engine(copy.deepcopy(model), Turn(CrossEntropy(), optimizer.build), accumulate=accumulate, device="cpu")
    engine.fit([batch], steps=steps)
    return [parameter.detach() for parameter in engine.model.parameters()]


@pytest.mark.parametrize("count", [32, 29], ids=["4 x 8", "the last one ragged"])
@pytest.mark.parametrize("weighted", [False, True], ids=["examples", "weights"])
def test_four_micro_batches_give_the_update_of_the_whole_batch(count: int, weighted: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    weights = torch.rand(count, generator=draw) * 9 + 1 if weighted else None
    batch = Batch(torch.randn(count, 20, generator=draw), torch.randint(4, (count,), generator=draw), weights)
    for whole, parts in zip(
        trained(batch, 1, SGD(lr=0.5, momentum=0.9), 10), trained(batch, 4, SGD(lr=0.5, momentum=0.9), 10), strict=True
    ):
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)


def test_adam_takes_the_same_first_step() -> None:
    draw = torch.Generator().manual_seed(0)
    batch = Batch(torch.randn(32, 20, generator=draw), torch.randint(4, (32,), generator=draw))
    # Adam divides by the gradient's size, so rounding grows with steps where a gradient is near zero: eps damps it
    first = AdamW(lr=0.01, eps=1e-3)
    for whole, parts in zip(trained(batch, 1, first, 5), trained(batch, 4, first, 5), strict=True):
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)
