"""Sharpness against the whole matrix of second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from locution.engine import Batch
from locution.evaluation.sharpness import power_iteration, sharpness


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, mse_loss(output, batch.targets)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_largest_eigenvalue_of_the_whole_matrix(seed: int) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 1)).double()
    batch = Batch(torch.randn(10, 3).double(), torch.randn(10, 1).double())
    names = [name for name, _ in net.named_parameters()]
    shapes = [p.shape for p in net.parameters()]
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([s.numel() for s in shapes])
        weights = {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return mse_loss(torch.func.functional_call(net.eval(), weights, batch.inputs), batch.targets)

    matrix: Tensor = torch.autograd.functional.hessian(loss, flat)
    exact = torch.linalg.eigvalsh(matrix)[-1].item()
    net.train()
    found = sharpness(net, objective, batch, iterations=2000, tolerance=1e-10)
    assert found == pytest.approx(exact, rel=1e-4)
    assert all(module.training for module in net.modules())


def test_a_larger_negative_eigenvalue_does_not_hide_the_positive_one() -> None:
    weight = nn.ParameterList([nn.Parameter(torch.tensor([0.5, 0.5]))])

    def saddle(model: nn.Module, batch: Batch) -> tuple[None, Tensor]:
        a, b = model[0]  # type: ignore[index]
        return None, a**2 - 4 * b**2

    assert sharpness(weight, saddle, Batch(torch.zeros(1))) == pytest.approx(2.0, abs=1e-3)


def test_a_straight_loss_has_none() -> None:
    weight = nn.ParameterList([nn.Parameter(torch.ones(3))])
    assert sharpness(weight, lambda model, batch: (None, model[0].sum()), Batch(torch.zeros(1))) == 0.0  # type: ignore[index]


def test_power_iteration_finds_the_eigenvalue_of_largest_size() -> None:
    matrix = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double()
    matrix = matrix + matrix.T
    values = torch.linalg.eigvalsh(matrix)
    exact = values[values.abs().argmax()].item()
    start = torch.ones(6).double()
    assert power_iteration(lambda v: matrix @ v, start, 5000, 1e-14) == pytest.approx(exact, rel=1e-5)
