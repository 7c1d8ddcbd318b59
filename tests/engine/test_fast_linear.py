"""The faster product of a linear layer is the layer's own, forward, backward and twice backward."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from locution.engine import Batch, Engine, TensorBatches, Turn, fast_linear
from locution.engine.fast_linear import FastLinear

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(40, 24), (5, 8, 24), (2, 24)])
def test_output_and_gradients_are_the_layers_own(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(24, 7, bias=bias)
    fast = deepcopy(plain)
    fast.__class__ = FastLinear
    rows = torch.randn(shape, requires_grad=True)
    found = []
    for layer in (plain, fast):
        output = layer(rows)
        found.append([output, *torch.autograd.grad(output.square().sum(), [rows, *layer.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_the_gradient_of_a_gradient_is_there() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(24, 7)
    fast = deepcopy(plain)
    fast.__class__ = FastLinear
    rows = torch.randn(40, 24, requires_grad=True)
    seconds = []
    for layer in (plain, fast):
        first = torch.autograd.grad(layer(rows).pow(3).sum(), [rows, layer.weight], create_graph=True)
        total = first[0].square().sum() + first[1].square().sum()
        seconds.append(torch.autograd.grad(total, [rows, layer.weight]))
    for one, other in zip(*seconds, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-2)


@needs_onednn
def test_layers_are_changed_while_they_train_and_changed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_linear, "applies", lambda: True)
    monkeypatch.setattr(fast_linear, "LARGE", 20)
    kinds: list[type] = []

    def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        kinds.append(type(model[0]))  # type: ignore[index]
        output = model(batch.inputs)
        return output, F.cross_entropy(output, batch.targets)

    ends = []
    for large in (20, 10**9):
        monkeypatch.setattr(fast_linear, "LARGE", large)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
        turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
        Engine(model, turn, device="cpu").fit(TensorBatches(torch.randn(64, 6), torch.arange(64) % 3), epochs=2)
        assert all(type(layer) is not FastLinear for layer in model)
        ends.append(model[0].weight.detach())
    assert kinds == [FastLinear] * 4 + [nn.Linear] * 4
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-5, atol=1e-6)
