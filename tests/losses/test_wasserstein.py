"""Wasserstein distances: against SciPy, an assignment, a linear programme and the closed forms of Gaussians."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from locution.errors import UserError
from locution.losses.sinkhorn import (
    costs,
    own_potential,
    potentials,
    sinkhorn,
    sinkhorn_divergence,
    transport_plan,
)
from locution.losses.wasserstein import (
    gaussian_wasserstein,
    in_order,
    matching_distance,
    wasserstein_distance,
)
from locution.reporting.transport import transport


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def programme(x: torch.Tensor, y: torch.Tensor, p: float, a: torch.Tensor, b: torch.Tensor) -> float:
    """The least cost of all plans, by a linear programme."""
    from scipy.optimize import linprog

    n, m = len(x), len(y)
    cost = (x[:, None] - y[None]).abs() ** p
    rows = [np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))]
    found = linprog(cost.ravel().numpy(), A_eq=np.vstack(rows), b_eq=torch.cat([a / a.sum(), b / b.sum()]).numpy())
    return float(found.fun ** (1 / p))


@pytest.mark.parametrize("p", [1.0, 1.7, 2.0, 3.0])
def test_of_equally_many_numbers_no_pairing_is_cheaper(p: float) -> None:
    x, y = numbers(6), numbers(6, seed=1) + 0.5
    pairings = ((x - y[list(order)]).abs() ** p for order in itertools.permutations(range(6)))
    least = min(float(ways.mean()) for ways in pairings) ** (1 / p)
    assert float(wasserstein_distance(x, y, p)) == pytest.approx(least, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (5, 3), (4, 8), (40, 41)])
def test_the_earth_movers_distance_is_scipys(n: int, m: int) -> None:
    from scipy.stats import wasserstein_distance as scipys

    x, y, a, b = numbers(n), numbers(m, seed=1) + 0.3, numbers(n, seed=2).abs(), numbers(m, seed=3).abs()
    assert float(wasserstein_distance(x, y)) == pytest.approx(scipys(x, y), abs=1e-12)
    expected = scipys(x, y, a.numpy(), b.numpy())
    assert float(wasserstein_distance(x, y, 1, a, b)) == pytest.approx(expected, abs=1e-12)
    assert float(wasserstein_distance(x, y, x_weights=a)) == pytest.approx(scipys(x, y, a.numpy()), abs=1e-12)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_with_weights_no_plan_is_cheaper(p: float) -> None:
    x, y, a, b = numbers(5), numbers(7, seed=1), numbers(5, seed=2).abs(), numbers(7, seed=3).abs()
    assert float(wasserstein_distance(x, y, p, a, b)) == pytest.approx(programme(x, y, p, a, b), abs=1e-7)


def test_weights_that_are_equal_or_nothing_change_nothing() -> None:
    x, y = numbers(9), numbers(9, seed=1)
    for p in (1.0, 2.0):
        plain = float(wasserstein_distance(x, y, p))
        assert float(wasserstein_distance(x, y, p, torch.full((9,), 3.0), torch.ones(9))) == pytest.approx(plain)
        longer, light = torch.cat([torch.tensor([-99.0]), x]), torch.cat([torch.zeros(1), torch.ones(9)])
        assert float(wasserstein_distance(longer, y, p, light)) == pytest.approx(plain)
        assert float(wasserstein_distance(x.repeat(3), y.repeat(2), p)) == pytest.approx(plain)


def test_many_sets_at_once_are_each_by_itself() -> None:
    x, y, a = numbers(2, 3, 8), numbers(2, 3, 5, seed=1), numbers(2, 3, 8, seed=2).abs()
    together = wasserstein_distance(x, y, 2.0, a)
    assert together.shape == (2, 3)
    for row in itertools.product(range(2), range(3)):
        torch.testing.assert_close(together[row], wasserstein_distance(x[row], y[row], 2.0, a[row]))
    torch.testing.assert_close(wasserstein_distance(x, x.flip(-1) + 1), torch.ones(2, 3).double())


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("m", [6, 4])
def test_the_gradient_is_that_of_small_changes(p: float, m: int) -> None:
    x, y, a = numbers(6).requires_grad_(), numbers(m, seed=1).requires_grad_(), numbers(6, seed=2).abs()
    assert torch.autograd.gradcheck(lambda x, y: wasserstein_distance(x, y, p), (x, y))
    a = (a + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y, a: wasserstein_distance(x, y, p, a), (x, y, a))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_where_both_are_the_same_the_gradient_is_zero_and_no_nan(p: float) -> None:
    for weights in (None, torch.ones(3)):
        x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        distance = wasserstein_distance(x, x.detach().flip(0), p, weights)
        distance.backward()
        assert distance.item() == 0
        assert x.grad is not None
        assert x.grad.tolist() == [0, 0, 0]


def test_sorting_leaves_what_came_untouched_and_keeps_its_kind() -> None:
    x = torch.tensor([2.0, 1.0], dtype=torch.bfloat16)
    assert wasserstein_distance(x, x + 1).dtype == torch.float32
    assert float(wasserstein_distance(torch.tensor([0, 1]), torch.tensor([2, 3]))) == 2
    y = numbers(5)
    kept = y.clone()
    wasserstein_distance(y, y + 1)
    assert torch.equal(y, kept)
    assert torch.equal(in_order(y), y.sort().values)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_gaussians_on_a_line_agree_with_their_quantiles(shift: float) -> None:
    levels = (torch.arange(20_000).double() + 0.5) / 20_000
    normal = math.sqrt(2) * torch.erfinv(2 * levels - 1)
    found = wasserstein_distance(2 * normal, 5 * normal + shift, 2.0)
    closed = gaussian_wasserstein(torch.zeros(1), torch.tensor([[4.0]]), torch.tensor([shift]), torch.tensor([[25.0]]))
    assert float(closed) == pytest.approx(math.hypot(3, shift))
    assert float(found) == pytest.approx(float(closed), rel=1e-3)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_the_finer_of_both_kinds_is_what_comes_out(p: float) -> None:
    x, y = numbers(4, seed=1), numbers(6, seed=2)
    assert wasserstein_distance(x.float(), y, p).dtype == torch.float64
    assert wasserstein_distance(x, y.float(), p).dtype == torch.float64
    assert wasserstein_distance(x.half(), y.bfloat16(), p).dtype == torch.float32


def test_a_spread_that_rounding_has_taken_below_nothing_counts_as_none() -> None:
    flat, flatter = torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([1.0, -1e-7]))
    mean, other = torch.zeros(2), torch.tensor([3.0, 4.0])
    for one, two in ((flat, flatter), (flatter, flat), (flatter, torch.eye(2)), (torch.eye(2), flatter)):
        expected = 25.0 + float((two[1, 1] > 0.5) != (one[1, 1] > 0.5))
        assert gaussian_wasserstein(mean, one, other, two).item() == pytest.approx(expected**0.5, abs=1e-5)
    assert gaussian_wasserstein(mean, flatter, mean, flatter).item() == 0.0


def test_gaussians_in_space_agree_with_the_formula_of_roots() -> None:
    from scipy.linalg import sqrtm

    roots = numbers(2, 4, 4)
    one, other = roots[0] @ roots[0].T, roots[1] @ roots[1].T
    means = numbers(2, 4, seed=1)
    half = sqrtm(one.numpy())
    square = ((means[0] - means[1]) ** 2).sum() + one.trace() + other.trace()
    expected = math.sqrt(float(square) - 2 * np.trace(sqrtm(half @ other.numpy() @ half)).real)
    assert float(gaussian_wasserstein(means[0], one, means[1], other)) == pytest.approx(expected, abs=1e-8)
    turn = torch.linalg.qr(numbers(4, 4, seed=2)).Q
    points = numbers(1000, 4, seed=3)  # a Gaussian carried by a symmetric positive matrix: each point its own way
    stretch = turn @ torch.diag(torch.tensor([0.5, 1.0, 2.0, 3.0]).double()) @ turn.T
    spread = torch.cov(points.T, correction=0)
    ways = (points - points.mean(0)) @ (stretch - torch.eye(4).double())
    found = gaussian_wasserstein(torch.zeros(4), spread, torch.zeros(4), stretch @ spread @ stretch)
    assert float(found) == pytest.approx(math.sqrt(float(ways.square().sum(1).mean())), rel=1e-6)


def test_entropic_transport_of_gaussians_has_its_closed_form() -> None:
    # of N(0, A) and N(m, B) with cost |x - y|^2: the plan is Gaussian, its covariance c minimises
    # m^2 + A + B - 2 c - (epsilon / 2) log(1 - c^2 / (A B)), so c^2 + (epsilon / 2) c = A B
    levels = (torch.arange(400).double() + 0.5) / 400
    normal = (math.sqrt(2) * torch.erfinv(2 * levels - 1)).unsqueeze(1)
    normal = normal / normal.std(correction=0)
    for epsilon in (0.5, 2.0):
        a, b, m = 1.0, 4.0, 1.5
        c = (-epsilon / 2 + math.sqrt(epsilon**2 / 4 + 4 * a * b)) / 2
        expected = m**2 + a + b - 2 * c - epsilon / 2 * math.log(1 - c**2 / (a * b))
        assert float(sinkhorn(normal, 2 * normal + m, epsilon)) == pytest.approx(expected, rel=0.01)


def test_a_small_epsilon_finds_the_best_assignment() -> None:
    from scipy.optimize import linear_sum_assignment

    x, y = numbers(12, 3), numbers(12, 3, seed=1)
    for p in (1.0, 2.0):
        cost = costs(x, y, p)
        pairs = linear_sum_assignment(cost.numpy())
        least = float(cost[pairs].mean())
        found = float(sinkhorn(x, y, 0.005, p, tolerance=1e-3, turns=5000))
        assert least <= found <= least + 0.005 * math.log(12) + 1e-3


def plainly(cost: torch.Tensor, epsilon: float, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cuturi's own turns, without logarithms."""
    kernel, u, v = (-cost / epsilon).exp(), torch.ones_like(a), torch.ones_like(b)
    for _ in range(5000):
        u = a / (kernel @ v)
        v = b / (kernel.T @ u)
    return u.unsqueeze(1) * kernel * v


def test_the_plan_is_cuturis() -> None:
    x, y = numbers(7, 2), numbers(5, 2, seed=1)
    a, b = numbers(7, seed=2).softmax(0), numbers(5, seed=3).softmax(0)
    cost = costs(x, y, 2.0)
    plan = plainly(cost, 0.8, a, b)
    fine = (plan * (plan / (a.unsqueeze(1) * b)).log()).sum()
    found = sinkhorn(x, y, 0.8, x_weights=a, y_weights=b * 7, tolerance=1e-10)
    assert float(found) == pytest.approx(float((plan * cost).sum() + 0.8 * fine), abs=1e-8)
    given, taken = potentials(cost, a, b, 0.8, tolerance=1e-10)
    ours = ((given.unsqueeze(1) + taken - cost) / 0.8).exp() * a.unsqueeze(1) * b
    torch.testing.assert_close(ours, plan, atol=1e-8, rtol=1e-6)


def test_its_gradient_is_that_of_small_changes_to_points_and_weights() -> None:
    x, y, a = numbers(4, 2).requires_grad_(), numbers(3, 2, seed=1).requires_grad_(), numbers(4).softmax(0)

    def cost(x: torch.Tensor, y: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return sinkhorn(x, y, 0.5, x_weights=a, tolerance=1e-12)

    assert torch.autograd.gradcheck(cost, (x, y, a.requires_grad_()))
    assert torch.autograd.gradcheck(lambda x, y: sinkhorn_divergence(x, y, 0.5, tolerance=1e-10), (x, y))


def test_the_divergence_is_zero_only_for_the_same_and_moves_points_onto_others() -> None:
    x, y = numbers(10, 2).float(), (numbers(10, 2, seed=1) + 2).float()
    assert float(sinkhorn_divergence(x, x, 0.3)) == pytest.approx(0, abs=1e-5)
    before = float(sinkhorn_divergence(x, y, 0.3))
    assert before > 1
    assert float(sinkhorn_divergence(x, x + 2, 0.3)) == pytest.approx(8, abs=1e-4)  # of a shift, whatever epsilon
    moved = x.clone().requires_grad_()
    for _ in range(30):
        (slope,) = torch.autograd.grad(sinkhorn_divergence(moved, y, 0.3), moved)
        moved = (moved - 3 * slope).detach().requires_grad_()
    assert float(sinkhorn_divergence(moved.detach(), y, 0.3)) < 0.02 * before


def test_the_divergence_takes_from_the_cost_half_of_what_each_side_costs_itself() -> None:
    x, y = numbers(5, 2, seed=1), 2 * numbers(7, 2, seed=2)
    selves = [sinkhorn(one, one, 2.0) for one in (x, y)]
    assert abs(float(selves[0] - selves[1])) > 0.1, "the sides differ"
    expected = sinkhorn(x, y, 2.0) - selves[0] / 2 - selves[1] / 2
    torch.testing.assert_close(sinkhorn_divergence(x, y, 2.0), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_costs_are_powers_of_distances(p: float) -> None:
    x, y = numbers(4, 3, seed=1), numbers(5, 3, seed=2)
    torch.testing.assert_close(costs(x, y, p), torch.cdist(x, y) ** p, rtol=1e-9, atol=0)


def test_carrying_points_onto_themselves_has_the_same_cost_by_half_turns() -> None:
    x, a = numbers(6, 2), torch.full((6,), 1 / 6).double()
    price = own_potential(costs(x, x, 2.0), a, 0.5, tolerance=1e-12)
    whole = sinkhorn(x, x, 0.5, tolerance=1e-10, turns=20_000)
    assert 2 * float((a * price).sum()) == pytest.approx(float(whole), abs=1e-8)
    with pytest.warns(UserWarning, match="have not met after 1;"):
        own_potential(costs(x, x, 2.0), a, 0.5, most=1)


def test_points_far_apart_neither_overflow_nor_lose_their_gradient() -> None:
    x, y = torch.tensor([[0.0], [1.0]], requires_grad=True), torch.tensor([[1000.0], [1001.0]])
    found = sinkhorn(x, y, 0.1)
    assert found.item() == pytest.approx(1e6, rel=1e-5)
    found.backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([-1000, -1000], rel=1e-4)
    same = torch.zeros(2, 1, requires_grad=True)
    sinkhorn(same, same.detach(), 0.1, p=1.0).backward()
    assert same.grad is not None
    assert same.grad.flatten().tolist() == [0, 0]


def test_too_few_turns_are_told_of() -> None:
    with pytest.warns(UserWarning, match="have not met after 3") as told:
        sinkhorn(numbers(5, 2), numbers(5, 2, seed=1), 0.05, turns=3)
    assert [one.filename for one in told] == [__file__], "it points at who asked"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sinkhorn(numbers(5, 2), numbers(5, 2, seed=1), 0.5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: wasserstein_distance(numbers(3), numbers(3), 0.5), r"p is 0\.5"),
        (lambda: wasserstein_distance(numbers(3), numbers(3), math.inf), r"p is inf"),
        (lambda: wasserstein_distance(numbers(0), numbers(3)), r"shape of x is \(0,\)"),
        (lambda: wasserstein_distance(numbers(3), torch.tensor(1.0)), r"shape of y is \(\)"),
        (lambda: wasserstein_distance(numbers(2, 3), numbers(3, 3)), r"shapes of x and y is \(\(2, 3\), \(3, 3\)\)"),
        (lambda: wasserstein_distance(numbers(3), numbers(3), 1, torch.ones(4)), r"weights of x is \(4,\)"),
        (lambda: wasserstein_distance(numbers(3), numbers(3), 1, -torch.ones(3)), r"least weight of x is -1"),
        (lambda: wasserstein_distance(numbers(3), numbers(3), 1, None, torch.zeros(3)), r"least weight of y is 0"),
        (
            lambda: wasserstein_distance(numbers(2), numbers(3), 1, torch.tensor([1.0, math.inf])),
            r"a weight of x is inf",
        ),
        (lambda: wasserstein_distance(numbers(1), numbers(3), 1, torch.tensor([math.nan])), r"a weight of x is nan"),
        (
            lambda: sinkhorn(numbers(1, 1), numbers(3, 1), 0.1, x_weights=torch.tensor([math.inf])),
            r"weight of x is inf",
        ),
        (lambda: gaussian_wasserstein(torch.zeros(2), torch.eye(3), torch.zeros(2), torch.eye(2)), r"beside mean is"),
        (lambda: sinkhorn(numbers(3, 1), numbers(3, 1), 0.0), r"epsilon is 0"),
        (lambda: sinkhorn(numbers(3, 1), numbers(3, 2), 0.1), r"shapes of x and y"),
        (lambda: sinkhorn(numbers(3, 1), numbers(3, 1), 0.1, p=0.0), r"p is 0"),
        (lambda: sinkhorn(numbers(3, 1), numbers(3, 1), 0.1, turns=0), r"turns is 0"),
        (lambda: sinkhorn(numbers(3, 1), numbers(3, 1), 0.1, x_weights=torch.zeros(3)), r"least weight of x is 0"),
        (lambda: sinkhorn(numbers(3, 1), numbers(3, 1), 0.1, y_weights=torch.ones(2)), r"weights of y is \(2,\)"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()


def test_the_picture_shows_the_distance_as_an_area() -> None:
    drawn = transport([0.0, 1.0], [5.0, 2.0], names=("before", "after"))
    assert list(drawn.lines) == ["before", "after"]
    assert drawn.note == "The area between the lines is 3."


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_points_are_matched_as_cheaply_as_any_pairing(p: float) -> None:
    x, y = numbers(6, 3), numbers(6, 3, seed=1) + 0.5
    pairings = ((x - y[list(order)]).norm(dim=1) ** p for order in itertools.permutations(range(6)))
    least = min(float(ways.mean()) for ways in pairings) ** (1 / p)
    assert float(matching_distance(x, y, p)) == pytest.approx(least, abs=1e-12)


def test_points_on_a_line_are_matched_as_sorting_does() -> None:
    x, y = numbers(50), numbers(50, seed=1) + 0.3
    for p in (1.0, 2.0):
        assert float(matching_distance(x[:, None], y[:, None], p)) == pytest.approx(
            float(wasserstein_distance(x, y, p))
        )


def test_as_many_points_are_asked_for_on_both_sides() -> None:
    with pytest.raises(UserError, match=r"\(\(3, 2\), \(4, 2\)\); allowed: \(N, d\) both"):
        matching_distance(numbers(3, 2), numbers(4, 2))


def test_a_transport_plan_carries_everything_and_its_cost_is_the_entropic_one() -> None:
    x, y, epsilon = numbers(7, 2), numbers(5, 2, seed=1) + 0.5, 0.3
    plan = transport_plan(x, y, epsilon, tolerance=1e-12, turns=20_000)
    assert plan.sum(1).tolist() == pytest.approx([1 / 7] * 7)
    assert plan.sum(0).tolist() == pytest.approx([1 / 5] * 5)
    cost = (plan * costs(x, y, 2.0)).sum() + epsilon * (plan * (plan * 35).log()).sum()
    assert float(cost) == pytest.approx(float(sinkhorn(x, y, epsilon, tolerance=1e-12, turns=20_000)), rel=1e-6)


def test_a_sharp_plan_is_the_cheapest_matching() -> None:
    x, y = numbers(8, 2), numbers(8, 2, seed=1) + 0.5
    plan = transport_plan(x, y, 0.01, turns=5000, tolerance=1e-2)
    assert float((plan * costs(x, y, 2.0)).sum()) ** 0.5 == pytest.approx(float(matching_distance(x, y, 2.0)), rel=1e-2)
