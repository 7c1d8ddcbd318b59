"""Entropic optimal transport: how far sand must be carried in any dimension, found by turns, and smooth."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from locution.engine.device import finest
from locution.errors import require
from locution.losses.wasserstein import worst

LEAST_STEP = 0.5  # from one blur to the next, from coarse to fine


def costs(x: Tensor, y: Tensor, p: float) -> Tensor:
    """Take the power p of the distance of each x (N, d) to each y (M, d): (N, M).

    >>> costs(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]), p=2.0)
    tensor([[25.,  1.]])
    """
    square = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(-1)
    if p == 2:
        return square
    near = square == 0  # the slope of a distance of 0 is taken to be 0
    found: Tensor = torch.where(near, 0.0, torch.where(near, 1.0, square) ** (p / 2))
    return found


def potentials(
    cost: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float = 1e-5, most: int = 1000
) -> tuple[Tensor, Tensor]:
    """Find what it costs to give a unit away at each place (N,), and to take one at each (M,), by Sinkhorn's turns.

    All in logarithms, so that nothing underflows, and from a coarse epsilon to the fine one, so that few turns do.
    cost (N, M), a (N,), b (M,), each adding up to 1. Warns if what is carried away still misses a by more than
    `tolerance` in all after so many turns.

    >>> given, taken = potentials(torch.tensor([[1.0]]), torch.ones(1), torch.ones(1), epsilon=0.1)
    >>> given + taken
    tensor([1.])

    Reference: G. Peyre, M. Cuturi, 2019, "Computational optimal transport", section 4.4; B. Schmitzer, 2019,
    "Stabilized sparse scaling algorithms for entropy regularized transport problems", section 3.2 (coarse to fine).
    """
    log_a, log_b = a.log(), b.log()
    given, taken = torch.zeros_like(a), torch.zeros_like(b)
    blur = max(float(cost.max()), epsilon)
    for turn in range(most):
        blur = max(blur * LEAST_STEP, epsilon)
        given = -blur * ((taken - cost) / blur + log_b).logsumexp(1)
        taken = -blur * ((given.unsqueeze(1) - cost) / blur + log_a.unsqueeze(1)).logsumexp(0)
        if blur == epsilon and turn % 5 == 4:
            carried = (((given.unsqueeze(1) + taken - cost) / epsilon + log_b).logsumexp(1) + log_a).exp()
            if float((carried - a).abs().sum()) <= tolerance:
                return given, taken
    _tell(most)
    return given, taken


def own_potential(cost: Tensor, a: Tensor, epsilon: float, tolerance: float = 1e-5, most: int = 1000) -> Tensor:
    """Find what a unit costs at each place when points are carried onto themselves: both sides then have one price.

    Each turn goes half the way to what Sinkhorn's would be, which meets in a few turns where his own go to and fro.
    cost (N, N), a (N,); gives (N,).

    >>> own_potential(torch.tensor([[0.0, 99.0], [99.0, 0.0]]), torch.full((2,), 0.5), 1.0)  # each stays: log(2) / 2
    tensor([0.3466, 0.3466])

    Reference: J. Feydy et al., 2019, "Interpolating between optimal transport and MMD using Sinkhorn divergences",
    section 3.1 (the symmetric update).
    """
    log_a, price = a.log(), torch.zeros_like(a)
    for _ in range(most):
        other = -epsilon * ((price - cost) / epsilon + log_a).logsumexp(1)
        missed = (a * ((price - other) / epsilon).expm1().abs()).sum()
        if float(missed) <= tolerance:
            return price
        price = (price + other) / 2
    _tell(most)
    return price


def _tell(turns: int) -> None:
    said = f"Sinkhorn's turns have not met after {turns}; allowed: a larger epsilon or more turns."
    warnings.warn(said, stacklevel=4)


def _value(cost: Tensor, a: Tensor, b: Tensor, given: Tensor, taken: Tensor, epsilon: float) -> Tensor:
    """Take the dual's value, whose slope along the cost is the plan."""
    plan = ((given.unsqueeze(1) + taken - cost) / epsilon).exp() * a.unsqueeze(1) * b
    found: Tensor = (a * given).sum() + (b * taken).sum() - epsilon * (plan.sum() - 1)
    return found


def sinkhorn(
    x: Tensor,
    y: Tensor,
    epsilon: float,
    p: float = 2.0,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
    turns: int = 1000,
    tolerance: float = 1e-5,
) -> Tensor:
    """Entropic optimal transport carries points onto others at the least cost plus a fine for plans that are too sharp,
    which makes it smooth and quick to find.

    x (N, d), y (M, d); gives one number: the mean power p of the ways plus epsilon times the divergence of the plan
    from mixing all with all. As epsilon goes to 0 it becomes the p-th power of the Wasserstein distance. epsilon is a
    cost, so of the size of a distance to the power p. The gradient goes to the points (exact once the turns have met,
    for at the optimum the plan's own change has no part in it) and to the weights.

    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    >>> sinkhorn(x, y, epsilon=0.01)  # 0 stays, 1 goes to 3: (0 + 4) / 2, and the fine is 0.01 log 2
    tensor(2.0069)

    Reference: M. Cuturi, 2013, "Sinkhorn distances: lightspeed computation of optimal transport", section 3; G. Peyre,
    M. Cuturi, 2019, "Computational optimal transport", proposition 4.4 (the dual).
    """
    check(x, y, epsilon, p, turns)
    a, b = _shares(x_weights, x, "x"), _shares(y_weights, y, "y")
    kind = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    # a cost over a small epsilon asks for more digits than single precision has
    cost = costs(x.to(finest(x.device)), y.to(finest(y.device)), p)
    with torch.no_grad():
        given, taken = potentials(cost, a, b, epsilon, tolerance, turns)
    return _value(cost, a, b, given, taken, epsilon).to(kind)


def check(x: Tensor, y: Tensor, epsilon: float, p: float, turns: int) -> None:
    """Refuse points and settings between which nothing can be carried."""
    require(0 < epsilon < math.inf, "epsilon", epsilon, "a number above 0, usually 0.01 to 0.1 of the mean cost")
    require(1 <= p < math.inf, "p", p, "a number from 1, usually 1 or 2")
    require(turns >= 1, "turns", turns, "a whole number from 1")
    fits = x.dim() == y.dim() == 2 and x.shape[1] == y.shape[1] and len(x) > 0 and len(y) > 0
    require(fits, "shapes of x and y", (tuple(x.shape), tuple(y.shape)), "(N, d) and (M, d), one point or more")


def transport_plan(
    x: Tensor, y: Tensor, epsilon: float, p: float = 2.0, turns: int = 1000, tolerance: float = 1e-5
) -> Tensor:
    """A transport plan says how much is carried from each point of one set to each of another.

    x (N, d), y (M, d); gives (N, M), of which each row adds up to 1 / N and each column to 1 / M: the plan of entropic
    optimal transport, which is the sharper the smaller epsilon is.

    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [0.0]])
    >>> transport_plan(x, y, epsilon=0.01)  # 0 stays, 1 goes to 3
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000]])

    Reference: G. Peyre, M. Cuturi, 2019, "Computational optimal transport", definition 2.3 (couplings) and eq. 4.12.
    """
    check(x, y, epsilon, p, turns)
    a, b, cost = _shares(None, x, "x"), _shares(None, y, "y"), costs(x.to(finest(x.device)), y.to(finest(y.device)), p)
    with torch.no_grad():
        given, taken = potentials(cost, a, b, epsilon, tolerance, turns)
        plan = ((given.unsqueeze(1) + taken - cost) / epsilon).exp() * a.unsqueeze(1) * b
    return plan.to(torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32))


def _shares(weights: Tensor | None, points: Tensor, side: str) -> Tensor:
    if weights is None:
        return torch.full((len(points),), 1 / len(points), dtype=finest(points.device), device=points.device)
    fits = weights.shape == points.shape[:1]
    require(fits, f"shape of the weights of {side}", tuple(weights.shape), f"({len(points)},)")
    fine = bool((weights > 0).all() and weights.isfinite().all())
    require(fine, *worst(weights.detach(), side), "numbers above 0")
    fine_weights = weights.to(finest(weights.device))
    return fine_weights / fine_weights.sum()


def sinkhorn_divergence(
    x: Tensor, y: Tensor, epsilon: float, p: float = 2.0, turns: int = 1000, tolerance: float = 1e-5
) -> Tensor:
    """The Sinkhorn divergence is the entropic transport cost less what each side costs to itself, so that it is 0 where
    both are the same, and a loss one may follow down.

    x (N, d), y (M, d); gives one number, between the p-th power of the Wasserstein distance (epsilon 0) and half a
    distance of kernels (epsilon without end).

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> [abs(round(sinkhorn_divergence(x, x + shift, epsilon=1.0).item(), 3)) for shift in (0, 2)]  # each way squared
    [0.0, 4.0]

    Reference: J. Feydy et al., 2019, "Interpolating between optimal transport and MMD using Sinkhorn divergences",
    eq. 3 and theorem 1.
    """
    found = sinkhorn(x, y, epsilon, p, turns=turns, tolerance=tolerance)
    for points in (x, y):
        a, cost = (
            _shares(None, points, "x"),
            costs(points.to(finest(points.device)), points.to(finest(points.device)), p),
        )
        with torch.no_grad():
            price = own_potential(cost, a, epsilon, tolerance, turns)
        found = found - _value(cost, a, a, price, price, epsilon) / 2
    return found.to(torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32))
