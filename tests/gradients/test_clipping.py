"""Clipping against torch.nn.utils, against the adaptive rule by hand, and on a network that needs it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Turn
from locution.errors import LocutionError, UserError
from locution.gradients.clipping import ClippingMethod, clip_adaptively, clip_gradients


def parameters(seed: int = 0, scale: float = 3.0) -> list[nn.Parameter]:
    stream = torch.Generator().manual_seed(seed)
    made = [nn.Parameter(torch.randn(shape, generator=stream)) for shape in ((4, 3), (4,), (2, 4, 3, 3))]
    for parameter in made:
        parameter.grad = scale * torch.randn(parameter.shape, generator=stream)
    return [*made, nn.Parameter(torch.ones(2))]  # the last one has no gradient


def grads(made: list[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in made if p.grad is not None]


@pytest.mark.parametrize("scale", [3.0, 1e-3, 0.0])
def test_by_norm_equals_torch(scale: float) -> None:
    mine, theirs = parameters(scale=scale), parameters(scale=scale)
    before = clip_gradients(mine, norm=1.0)
    assert before.item() == pytest.approx(nn.utils.clip_grad_norm_(theirs, 1.0).item())
    method = parameters(scale=scale)
    ClippingMethod().gradient(method, None)  # type: ignore[arg-type]
    for a, b, c in zip(grads(mine), grads(theirs), grads(method), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        torch.testing.assert_close(c, b, rtol=0, atol=1e-6)


def test_by_value_equals_torch() -> None:
    mine, theirs, method = parameters(), parameters(), parameters()
    before = clip_gradients(mine, value=0.5)
    assert before.item() == pytest.approx(torch.cat([g.flatten() for g in grads(theirs)]).norm().item())
    nn.utils.clip_grad_value_(theirs, 0.5)
    ClippingMethod(value=0.5).gradient(method, None)  # type: ignore[arg-type]
    for a, b, c in zip(grads(mine), grads(theirs), grads(method), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(c, b)


def test_adaptively_equals_the_rule_by_hand() -> None:
    mine, other, method = parameters(), parameters(), parameters()
    clip_gradients(mine, agc=0.01)
    ClippingMethod(agc=0.01).gradient(method, None)  # type: ignore[arg-type]
    for clipped, same, parameter in zip(grads(mine), grads(method), other[:3], strict=True):
        grad, weight = parameter.grad, parameter.detach()
        units = range(len(weight)) if weight.dim() > 1 else [slice(None)]
        for unit in units:
            allowed = 0.01 * max(weight[unit].norm().item(), 1e-3)
            expected = grad[unit] * min(1.0, allowed / grad[unit].norm().item())
            torch.testing.assert_close(clipped[unit], expected, rtol=1e-5, atol=1e-7)
            assert torch.equal(same[unit], clipped[unit])


def test_adaptively_leaves_short_and_empty_gradients_alone() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.tensor([[0.001, 0.0], [0.0, 0.0]])
    clip_adaptively([weight], 0.01)
    assert weight.grad.tolist() == [[pytest.approx(0.001), 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"norm": 0.0}, r"clipping\.norm is 0\.0; allowed: a number above 0, usually 1\."),
        ({"value": -1.0}, r"clipping\.value is -1\.0"),
        ({"agc": 0.0}, r"clipping\.agc is 0\.0"),
        ({"norm": 1.0, "value": 0.5}, r"clipping\.norm and clipping\.value came; allowed: exactly one of"),
    ],
)
def test_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ClippingMethod(**settings)
    with pytest.raises(UserError, match=said):
        clip_gradients([], **settings)


def test_no_limit_is_refused_by_the_function_and_is_one_by_default_in_the_method() -> None:
    with pytest.raises(UserError, match="no limit came"):
        clip_gradients([])
    assert ClippingMethod() == ClippingMethod(norm=1.0)


class Recurrent(nn.Module):
    """Adds up its input over time through a weight that starts above one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.out = nn.RNN(1, 8, batch_first=True, nonlinearity="relu"), nn.Linear(8, 1)
        with torch.no_grad():
            self.cell.weight_hh_l0.copy_(1.2 * torch.eye(8))

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.out(self.cell(inputs)[0][:, -1])
        return output


def squared(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, (output - batch.targets).pow(2).mean()


def test_a_recurrent_network_diverges_without_it_and_learns_with_it() -> None:
    x = torch.rand(16, 20, 1, generator=torch.Generator().manual_seed(0))
    y = x.mean(dim=1)

    def fit(methods: list[ClippingMethod]) -> float:
        turn = Turn(squared, partial(torch.optim.SGD, lr=0.03))
        engine = Engine(Recurrent(), turn, methods, device="cpu", log_every=10)
        return engine.fit([(x, y)], steps=200).watch.last

    with pytest.raises(LocutionError, match=r"\+clipping"):
        fit([])
    assert fit([ClippingMethod()]) < 0.1
