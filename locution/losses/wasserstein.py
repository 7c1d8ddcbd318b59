"""The Wasserstein distance: how far, and how much, one heap of sand must be carried to become another."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.engine.device import finest
from locution.errors import require


def in_order(values: Tensor) -> Tensor:
    """Sort along the last axis; the gradient finds back to where each value stood.

    On a processor NumPy sorts, several times faster than torch does there.

    >>> in_order(torch.tensor([3.0, 1.0]))
    tensor([1., 3.])
    """
    import numpy as np

    if values.device.type != "cpu":
        return values.sort(-1).values
    if values.requires_grad:
        return values.gather(-1, ranks(values))
    return torch.from_numpy(np.sort(values.numpy(), -1))


def ranks(values: Tensor) -> Tensor:
    """Say where the smallest value stands, the next, and so on, along the last axis.

    >>> ranks(torch.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    import numpy as np

    found = values.detach()
    return torch.from_numpy(np.argsort(found.numpy(), -1)) if found.device.type == "cpu" else found.argsort(-1)


def root(total: Tensor, p: float) -> Tensor:
    """Take the p-th root, whose slope at 0 is taken to be 0 and not infinite.

    >>> root(torch.tensor([0.0, 4.0]), 2.0)
    tensor([0., 2.])
    """
    if p == 1:
        return total
    above = total > 0
    found: Tensor = torch.where(above, torch.where(above, total, 1.0) ** (1 / p), 0.0)
    return found


def worst(weights: Tensor, side: str) -> tuple[str, float]:
    """Name the weight that is to be refused: one that is no number, or else the least.

    >>> worst(torch.tensor([2.0, -1.0]), "x"), worst(torch.tensor([2.0, float("inf")]), "y")
    (('the least weight of x', -1.0), ('a weight of y', inf))
    """
    odd = weights[~weights.isfinite()]
    if len(odd):
        return f"a weight of {side}", odd[0].item()
    return f"the least weight of {side}", weights.min().item()


def _heights(weights: Tensor | None, order: Tensor, side: str) -> Tensor:
    """Add weights up, each after its value in order, to 1 at the end: (..., N), as finely as can be."""
    if weights is None:
        count = order.shape[-1]
        return torch.arange(1, count + 1, device=order.device).to(finest(order.device)).div(count).expand(order.shape)
    fits = weights.shape in (order.shape, order.shape[-1:])
    require(fits, f"shape of the weights of {side}", tuple(weights.shape), f"that of its values, {tuple(order.shape)}")
    heavy = weights.detach()
    fine = bool((heavy >= 0).all() and heavy.isfinite().all() and (heavy.sum(-1) > 0).all())
    require(fine, *worst(heavy, side), "numbers from 0, not all 0")
    heights = weights.expand(order.shape).gather(-1, order).to(finest(order.device)).cumsum(-1)
    return heights / heights[..., -1:]


def wasserstein_distance(
    x: Tensor, y: Tensor, p: float = 1.0, x_weights: Tensor | None = None, y_weights: Tensor | None = None
) -> Tensor:
    """The Wasserstein distance between two sets of numbers is how far, on average, the numbers of one must be moved at
    the least to become those of the other.

    On a line nobody overtakes: the smallest goes to the smallest, so sorting is all that is needed, and the result is
    exact. x (..., N), y (..., M), N and M may differ; gives (...). p: the power to which ways are taken before their
    mean, whose p-th root is given; 1 is the earth mover's distance. x_weights (N,) or (..., N), y_weights alike: how
    much lies where; each side is taken to weigh 1 in all. The gradient goes to the values and to the weights.

    >>> wasserstein_distance(torch.tensor([0.0, 1.0]), torch.tensor([5.0, 2.0]))  # 0 to 2, 1 to 5: (2 + 4) / 2
    tensor(3.)
    >>> wasserstein_distance(torch.tensor([0.0]), torch.tensor([3.0, 4.0]), p=2, y_weights=torch.tensor([1.0, 3.0]))
    tensor(3.7749)

    Reference: C. Villani, 2003, "Topics in optimal transportation", theorem 2.18 and remark 2.19; G. Peyre, M. Cuturi,
    2019, "Computational optimal transport", section 2.6.
    """
    require(1 <= p < float("inf"), "p", p, "a number from 1, usually 1 or 2")
    for side, values in (("x", x), ("y", y)):
        empty = values.dim() == 0 or values.shape[-1] == 0
        require(not empty, f"shape of {side}", tuple(values.shape), "one number or more along the last axis")
    alike = x.shape[:-1] == y.shape[:-1]
    require(alike, "shapes of x and y", (tuple(x.shape), tuple(y.shape)), "the same but for the last axis")
    kind = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    x, y = x.to(kind), y.to(kind)
    if x_weights is None and y_weights is None and x.shape == y.shape:
        ways = in_order(x).sub_(in_order(y))  # in place, for of many numbers new memory costs as much as the rest
        distance: Tensor = torch.linalg.vector_norm(ways, p, dim=-1) / x.shape[-1] ** (1 / p)
        return distance
    orders = ranks(x), ranks(y)
    heights = torch.cat([_heights(x_weights, orders[0], "x"), _heights(y_weights, orders[1], "y")], dim=-1)
    merged = ranks(heights)  # (..., N + M): the heights at which either side goes on to its next value
    steps = heights.gather(-1, merged)
    widths = steps.diff(dim=-1, prepend=torch.zeros_like(steps[..., :1]))
    first = merged < x.shape[-1]
    passed = first.cumsum(-1) - first.long()  # values of x that are used up below each height
    rest = torch.arange(merged.shape[-1], device=x.device) - passed
    ends = []
    for values, order, at in ((x, orders[0], passed), (y, orders[1], rest)):
        place = order.gather(-1, at.clamp(max=values.shape[-1] - 1))
        ends.append(values.gather(-1, place))  # (..., N + M): the value at each height
    return root((widths * _power(ends[0] - ends[1], p)).sum(-1), p).to(kind)


def _power(ways: Tensor, p: float) -> Tensor:
    if p == 1:
        return ways.abs()
    return ways.square() if p == 2 else ways.abs() ** p


def matching_distance(x: Tensor, y: Tensor, p: float = 1.0) -> Tensor:
    """The Wasserstein distance of two sets of equally many points, in any dimension, is the mean way of the cheapest
    matching of the one with the other.

    x and y (N, d); gives one number, exact, found in time of about N cubed, without a gradient. p as in
    `wasserstein_distance`.

    >>> x, y = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 2.0], [0.0, 4.0]])
    >>> matching_distance(x, y)  # straight up: (4 + 2) / 2
    tensor(3.)

    Reference: G. Peyre, M. Cuturi, 2019, "Computational optimal transport", proposition 2.1; D. F. Crouse, 2016, "On
    implementing 2D rectangular assignment algorithms" (what SciPy finds it by).
    """
    from scipy.optimize import linear_sum_assignment

    require(1 <= p < float("inf"), "p", p, "a number from 1, usually 1 or 2")
    fits = x.dim() == 2 and x.shape == y.shape and len(x) > 0
    require(fits, "shapes of x and y", (tuple(x.shape), tuple(y.shape)), "(N, d) both, one point or more")
    ways = torch.cdist(x.detach().cpu().double(), y.detach().cpu().double()) ** p
    rows, columns = linear_sum_assignment(ways.numpy())
    return root(ways[rows, columns].mean(), p).to(torch.promote_types(x.dtype, torch.float32))


def gaussian_wasserstein(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """The Wasserstein distance of two Gaussians has a closed form: how far apart their means lie, and how differently
    they spread.

    means (..., d), covariances (..., d, d), symmetric without negative eigenvalues; gives (...), for p = 2. Between the
    features of pictures it is the Frechet inception distance, squared.

    >>> gaussian_wasserstein(torch.zeros(1), torch.tensor([[1.0]]), torch.tensor([3.0]), torch.tensor([[25.0]]))
    tensor(5.)

    The means are 3 apart, the standard deviations 4: sqrt(9 + 16).

    Reference: C. Givens, R. Shortt, 1984, "A class of Wasserstein metrics for probability distributions", proposition
    7; G. Peyre, M. Cuturi, 2019, "Computational optimal transport", remark 2.31.
    """
    for name, one in (("mean", covariance), ("other_mean", other_covariance)):
        width = (mean if name == "mean" else other_mean).shape[-1]
        require(
            one.shape[-2:] == (width, width), f"covariance beside {name}", tuple(one.shape), f"(..., {width}, {width})"
        )
    values, vectors = torch.linalg.eigh(covariance)
    half = vectors * values.clamp(min=0).sqrt().unsqueeze(-2) @ vectors.mT  # the root of the first covariance
    crossed = torch.linalg.eigvalsh(half @ other_covariance @ half).clamp(min=0)
    spread = (covariance.diagonal(dim1=-2, dim2=-1) + other_covariance.diagonal(dim1=-2, dim2=-1)).sum(-1)
    square = (mean - other_mean).square().sum(-1) + spread - 2 * crossed.sqrt().sum(-1)
    return root(square, 2.0)
