"""Lookahead against the paper's algorithm, step by step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from locution.errors import LocutionError, UserError
from locution.optimizers.lookahead import Lookahead, LookaheadMethod
from locution.optimizers.sam import SAM


def gradients(steps: int) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    return [torch.randn(3, generator=stream) for _ in range(steps)]


def test_steps_equal_the_papers_algorithm() -> None:
    """Outer loop: fast = slow; k inner steps; slow += alpha (fast - slow)."""
    k, alpha, lr, given = 3, 0.4, 0.1, gradients(11)
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = Lookahead(torch.optim.SGD([weight], lr=lr), k, alpha)
    slow = fast = weight.detach().clone()
    for number, gradient in enumerate(given, start=1):
        weight.grad = gradient.clone()
        optimizer.step()
        fast = fast - lr * gradient
        if number % k == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow
        torch.testing.assert_close(weight.detach(), fast, rtol=0, atol=1e-6)
        torch.testing.assert_close(optimizer.slow[0], slow, rtol=0, atol=1e-6)


def test_the_inner_optimizers_momentum_is_kept() -> None:
    k, alpha, given = 2, 0.5, gradients(6)
    weight, plain = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    optimizer = Lookahead(torch.optim.SGD([weight], lr=0.1, momentum=0.9), k, alpha)
    inner = torch.optim.SGD([plain], lr=0.1, momentum=0.9)
    slow = plain.detach().clone()
    for number, gradient in enumerate(given, start=1):
        weight.grad, plain.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        inner.step()
        if number % k == 0:
            slow = torch.lerp(slow, plain.detach(), alpha)
            plain.data.copy_(slow)
        torch.testing.assert_close(weight.detach(), plain.detach(), rtol=0, atol=1e-6)


def test_alpha_one_changes_nothing() -> None:
    weight, plain = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    optimizer = Lookahead(torch.optim.Adam([weight], lr=0.1), k=2, alpha=1.0)
    inner = torch.optim.Adam([plain], lr=0.1)
    for gradient in gradients(5):
        weight.grad, plain.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        inner.step()
    torch.testing.assert_close(weight, plain, rtol=0, atol=1e-7)


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 7])
def test_state_goes_round_to_the_bit_in_the_middle_of_a_cycle(stop: int) -> None:
    given = gradients(12)

    def run(weight: nn.Parameter, optimizer: Lookahead, part: list[torch.Tensor]) -> None:
        for gradient in part:
            weight.grad = gradient.clone()
            optimizer.step()

    whole = nn.Parameter(torch.ones(3))
    run(whole, Lookahead(torch.optim.AdamW([whole], lr=0.1)), given)

    first = nn.Parameter(torch.ones(3))
    optimizer = Lookahead(torch.optim.AdamW([first], lr=0.1))
    run(first, optimizer, given[:stop])
    kept = copy.deepcopy((first.data, optimizer.state_dict()))
    run(first, optimizer, given[stop:])  # what was kept must not share memory with what goes on
    second = nn.Parameter(kept[0])
    again = Lookahead(torch.optim.AdamW([second], lr=0.1))
    again.load_state_dict(kept[1])
    run(second, again, given[stop:])
    assert torch.equal(whole, first)
    assert torch.equal(whole, second)


def test_loaded_slow_weights_are_the_wrappers_own() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = Lookahead(torch.optim.SGD([weight], lr=0.1), k=1)
    weight.grad = torch.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    before = state["slow"][0].clone()
    optimizer.step()
    assert torch.equal(state["slow"][0], before)


def test_weights_that_are_loaded_before_the_first_step_count() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = Lookahead(torch.optim.SGD([weight], lr=1.0), k=1, alpha=0.5)
    weight.data.fill_(10.0)
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == pytest.approx(9.5)


def test_a_foreign_state_is_refused_in_one_line() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = Lookahead(torch.optim.SGD([weight], lr=0.1))
    with pytest.raises(LocutionError, match="Lookahead takes back: count, optimizer, slow"):
        optimizer.load_state_dict(SAM(torch.optim.SGD([weight], lr=0.1)).state_dict())
    state = optimizer.state_dict()
    with pytest.raises(LocutionError, match="another model"):
        optimizer.load_state_dict({**state, "slow": [torch.ones(4)]})


def test_step_returns_the_inner_loss() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = Lookahead(torch.optim.SGD([weight], lr=0.1))
    assert optimizer.step(lambda: (weight**2).sum()).item() == 1.0


@pytest.mark.parametrize("settings", [{"k": 0}, {"alpha": 0.0}, {"alpha": 1.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    key = next(iter(settings))
    with pytest.raises(UserError, match=rf"lookahead\.{key} is"):
        LookaheadMethod(**settings)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"lookahead\.{key} is"):
        Lookahead(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), **settings)  # type: ignore[arg-type]
