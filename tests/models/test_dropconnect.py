"""DropConnect: mean and variance against the closed form, one mask a step, whole weights at the end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from locution.engine import Plan, Step
from locution.engine.batch import Batch
from locution.models.dropconnect import DropConnect, DropConnectMethod, drop_mask, plain


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_mean_and_variance_follow_the_closed_form(p: float) -> None:
    """y = sum of w m x with m = 0 or 1 / (1 - p): mean w.x, variance p / (1 - p) sum (w x)^2."""
    draw = torch.Generator().manual_seed(0)
    layer = DropConnect(nn.Linear(5, 3).requires_grad_(False), p)
    x = torch.randn(5, generator=draw)
    outputs = []
    for _ in range(20_000):
        layer.redraw(draw)
        outputs.append(layer(x))
    found = torch.stack(outputs)
    mean = layer.layer(x)
    variance = p / (1 - p) * ((layer.weight * x) ** 2).sum(1)
    error = (variance / 20_000).sqrt()
    assert bool(((found.mean(0) - mean).abs() < 5 * error).all())
    torch.testing.assert_close(found.var(0), variance, rtol=0.08, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv1d(2, 3, 3), torch.randn(4, 2, 9)),
        (nn.Conv2d(2, 3, 3), torch.randn(4, 2, 9, 9)),
        (nn.Linear(7, 3), torch.randn(4, 7)),
    ],
)
def test_any_linear_or_convolution_layer_equals_itself_with_the_weight_masked(layer: Any, x: torch.Tensor) -> None:
    dropped = DropConnect(layer, 0.5)
    dropped.redraw(torch.Generator().manual_seed(1))
    found = dropped(x)
    mask = drop_mask(layer.weight.shape, 0.5, torch.Generator().manual_seed(1))
    with torch.no_grad():
        layer.weight.copy_(layer.weight * mask)
    torch.testing.assert_close(found, layer(x))
    assert set(mask.flatten().tolist()) == {0.0, 2.0}


def test_masks_are_the_steps_own_and_the_weights_leave_whole() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    original = {name: value.clone() for name, value in model.state_dict().items()}
    method = DropConnectMethod(p=0.5, layers="0")
    model = method.model(model, Plan())
    steps = [Step(number, 0, Plan(seed=3), model) for number in (1, 1, 2)]
    masks = []
    for step in steps:
        method.batch(Batch(torch.zeros(1)), step)
        masks.append(model[0].mask.clone())
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert isinstance(model[2], nn.Linear), "only what the pattern names"
    leaves = method.trained(model).state_dict()
    assert leaves.keys() == original.keys()
    assert all(torch.equal(leaves[name], original[name]) for name in original)


def test_a_single_layer_may_be_the_model() -> None:
    assert isinstance(plain(DropConnectMethod().model(nn.Linear(2, 1), Plan())), nn.Linear)
