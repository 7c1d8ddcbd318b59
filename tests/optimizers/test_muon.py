"""Muon: its step has equal singular values, agrees with torch's own, and leaves the small ones to AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.optimizers.muon import Muon, MuonAndAdamW


def test_all_directions_of_a_matrix_move_alike() -> None:
    weight = nn.Parameter(torch.zeros(6, 4))
    weight.grad = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 10.0, 0.1, 3.0]
    )
    Muon(lr=1.0, momentum=0.0, weight_decay=0.0, small=1).build([weight]).step()
    scaled = -weight.detach() / max(1.0, 6 / 4) ** 0.5
    left, _, right = torch.linalg.svd(weight.grad, full_matrices=False)
    values = torch.linalg.svdvals(scaled)
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
    assert float((scaled - left @ right).norm() / (left @ right).norm()) < 0.35


def test_each_half_equals_its_optimizer_of_torch() -> None:
    def params() -> list[nn.Parameter]:
        draw = torch.Generator().manual_seed(0)
        return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((8, 8), (4,), (8, 2))]

    ours, theirs = params(), params()
    both = Muon(lr=0.02, momentum=0.9, adamw_lr=0.01, weight_decay=0.1, small=8).build(ours)
    matrix = torch.optim.Muon(theirs[:1], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="original")
    rest = torch.optim.AdamW(theirs[1:], lr=0.01, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(3):
        for group in (ours, theirs):
            for weight in group:
                weight.grad = torch.sin(weight.detach() + step)
        both.step()
        matrix.step()
        rest.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_closure_is_run_once_with_gradients() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = Muon().build([weight])
    calls = []

    def closure() -> Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    with torch.no_grad():
        assert float(optimizer.step(closure) or 0) == 2.0
    assert len(calls) == 1


def test_state_comes_back_to_the_bit() -> None:
    def run(steps: int, optimizer: MuonAndAdamW, weights: list[nn.Parameter]) -> None:
        for _ in range(steps):
            for weight in weights:
                weight.grad = torch.cos(3 * weight.detach())
            optimizer.step()

    def fresh() -> list[nn.Parameter]:
        return [nn.Parameter(torch.eye(4)), nn.Parameter(torch.ones(3))]

    whole = fresh()
    run(6, Muon(small=4).build(whole), whole)
    first = fresh()
    begun = Muon(small=4).build(first)
    run(3, begun, first)
    second = [nn.Parameter(weight.detach().clone()) for weight in first]
    resumed = Muon(small=4).build(second)
    resumed.load_state_dict(begun.state_dict())
    run(3, resumed, second)
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))
    assert len(resumed.param_groups) == 2


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"optimizer\.lr"):
        Muon(lr=0.0)
