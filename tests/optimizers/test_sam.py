"""SAM against a step written by hand, the paper's formulas, and what it is for: flatter minima."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.evaluation.sharpness import sharpness
from locution.optimizers.sam import SAM, SAMMethod, perturbation


def problem(seed: int = 0) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    torch.manual_seed(seed)
    x, y = torch.randn(12, 4), torch.randint(0, 3, (12,))
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return net, lambda model: cross_entropy(model(x), y)


def closure_for(
    optimizer: SAM, net: nn.Module, loss_of: Callable[[nn.Module], Tensor]
) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(net)
        loss.backward()
        return loss.detach()

    return closure


def by_hand(
    net: nn.Module, loss_of: Callable[[nn.Module], Tensor], lr: float, rho: float, adaptive: bool
) -> None:
    """One SAM step, one weight after another, as the paper's algorithm writes it."""
    weights = list(net.parameters())
    first = torch.autograd.grad(loss_of(net), weights)
    sizes = [w.detach().abs() + 0.01 if adaptive else torch.ones_like(w) for w in weights]
    norm = sum(((t * g) ** 2).sum() for t, g in zip(sizes, first, strict=True)) ** 0.5
    before = [w.detach().clone() for w in weights]
    with torch.no_grad():
        for w, t, g in zip(weights, sizes, first, strict=True):
            w += rho * t * t * g / norm
    second = torch.autograd.grad(loss_of(net), weights)
    with torch.no_grad():
        for w, old, g in zip(weights, before, second, strict=True):
            w.copy_(old - lr * g)


@pytest.mark.parametrize("adaptive", [False, True])
def test_steps_equal_the_papers_algorithm(adaptive: bool) -> None:
    net, loss_of = problem()
    other, _ = problem()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.3), rho=0.4, adaptive=adaptive)
    for _ in range(5):
        first = loss_of(net).item()
        returned = optimizer.step(closure_for(optimizer, net, loss_of))
        by_hand(other, loss_of, 0.3, 0.4, adaptive)
        assert returned.item() == pytest.approx(first, abs=1e-7)
        for mine, hand in zip(net.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, hand, rtol=0, atol=1e-6)


def test_neighbour_lies_uphill_at_distance_rho() -> None:
    net, loss_of = problem()
    weights = list(net.parameters())
    loss = loss_of(net)
    steps = perturbation(weights, torch.autograd.grad(loss, weights), rho=0.1)
    assert torch.cat([s.flatten() for s in steps]).norm().item() == pytest.approx(0.1, rel=1e-5)
    with torch.no_grad():
        torch._foreach_add_(weights, steps)
    assert loss_of(net).item() > loss.item()


def test_adaptive_reach_does_not_depend_on_the_scale_of_weights() -> None:
    # a weight a thousand times larger has a gradient a thousand times smaller: the function moves alike
    small = perturbation([torch.tensor([1.0])], [torch.tensor([3.0])], rho=0.5, adaptive=True)[0]
    large = perturbation([torch.tensor([1000.0])], [torch.tensor([0.003])], rho=0.5, adaptive=True)[0]
    assert (large / small).item() == pytest.approx(1000.0, rel=0.02)


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_gradient_of_zero_moves_nothing_and_makes_no_nan(adaptive: bool) -> None:
    weight = nn.Parameter(torch.tensor([2.0, 0.0]))
    optimizer = SAM(torch.optim.SGD([weight], lr=0.1), rho=0.5, adaptive=adaptive)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight * 0.0).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert weight.tolist() == [2.0, 0.0]


def test_weights_come_back_to_the_bit() -> None:
    net, loss_of = problem()
    before = [w.detach().clone() for w in net.parameters()]
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.0), rho=7.3)
    optimizer.step(closure_for(optimizer, net, loss_of))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_weights_come_back_when_the_second_pass_fails() -> None:
    net, loss_of = problem()
    before = [w.detach().clone() for w in net.parameters()]
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), rho=0.5)
    calls: list[int] = []

    def closure() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return closure_for(optimizer, net, loss_of)()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_weights_without_gradients_are_left_alone() -> None:
    used, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = SAM(torch.optim.SGD([used, unused], lr=0.1), rho=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (used**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert used.item() == pytest.approx(0.7)
    assert unused.item() == 1.0


def test_it_wraps_whatever_takes_a_closure() -> None:
    net, loss_of = problem()
    optimizer = SAM(torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=4), rho=0.01)
    first = loss_of(net).item()
    optimizer.step(closure_for(optimizer, net, loss_of))
    assert loss_of(net).item() < first


def test_groups_are_the_inner_optimizers_own_and_the_state_nests() -> None:
    net, loss_of = problem()
    inner = torch.optim.Adam(net.parameters(), lr=0.01)
    optimizer = SAM(inner, rho=0.1)
    optimizer.step(closure_for(optimizer, net, loss_of))
    state = optimizer.state_dict()
    assert set(state) == {"optimizer"}
    assert state["optimizer"]["state"].keys() == inner.state_dict()["state"].keys()
    optimizer.load_state_dict(state)
    assert optimizer.param_groups is inner.param_groups  # torch replaces its list when it loads
    optimizer.param_groups[0]["lr"] = 0.5
    assert inner.param_groups[0]["lr"] == 0.5


def test_a_step_without_a_closure_is_refused() -> None:
    with pytest.raises(UserError, match="closure"):
        SAM(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)).step()


@pytest.mark.parametrize("rho", [0.0, -1.0])
def test_reach_must_be_above_zero(rho: float) -> None:
    with pytest.raises(UserError, match=r"sam\.rho is"):
        SAMMethod(rho=rho)
    with pytest.raises(UserError, match=r"sam\.rho is"):
        SAM(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), rho=rho)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def test_batch_norm_statistics_follow_the_first_pass_only() -> None:
    x, y = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1] * 4)
    norms = []
    for methods in ([], [SAMMethod(rho=5.0)]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
        Engine(net, Turn(objective, partial(torch.optim.SGD, lr=0.1)), methods, device="cpu").fit(
            [(x, y)], steps=1
        )
        norms.append(net[1])
    assert torch.equal(norms[0].running_mean, norms[1].running_mean)
    assert torch.equal(norms[0].running_var, norms[1].running_var)
    assert norms[1].num_batches_tracked.item() == 1


def squared(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, mse_loss(output, batch.targets)


@pytest.mark.parametrize("seed", [0, 2])
def test_it_ends_in_a_flatter_place(seed: int) -> None:
    """The largest eigenvalue of the loss's second derivative falls by a quarter and more, on fixed seeds."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(32, 4, generator=stream)
    y = torch.sin(2 * x[:, :1]) + 0.5 * torch.randn(32, 1, generator=stream)
    values = []
    for methods in ([], [SAMMethod(rho=0.1)]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 24), nn.Tanh(), nn.Linear(24, 1))
        turn = Turn(squared, partial(torch.optim.SGD, lr=0.05, momentum=0.9))
        Engine(net, turn, methods, device="cpu").fit(TensorBatches(x, y, batch_size=8), steps=300)
        values.append(sharpness(net, squared, Batch(x, y)))
    assert values[1] < 0.75 * values[0], values
