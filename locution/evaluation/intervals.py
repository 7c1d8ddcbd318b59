"""Bootstrap intervals: how far a figure would move with other examples of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import require

Statistic = Callable[[Tensor], Tensor]  # means (..., K) -> figures (...)
CHUNK = 4_000_000  # numbers held at once while examples are drawn


def first(means: Tensor) -> Tensor:
    """Take the mean itself as the figure: (..., 1) -> (...)."""
    return means[..., 0]


def ratio(means: Tensor) -> Tensor:
    """Take the first mean over the second as the figure, such as errors over words: (..., 2) -> (...).

    >>> ratio(torch.tensor([3.0, 12.0]))
    tensor(0.2500)
    """
    return means[..., 0] / means[..., 1]


def bootstrap(
    values: Tensor,
    statistic: Statistic = first,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """A bootstrap interval says how far a figure would move if the same number of other examples had been
    drawn.

    Examples are drawn again from those there are, with replacement, `resamples` times; the interval holds the
    middle `level` of the figures, corrected for bias and skew (BCa; the plain percentiles where that is not
    defined).

    Parameters
    ----------
    values: (N,) or (N, K), what was measured on each example. statistic: makes the figure from the means
    (..., K) of those: the mean itself, `ratio`, or anything of that form. seed: the same seed gives the same
    interval.

    Returns value, low and high. Where all examples gave the same, low and high are the value: a bootstrap
    knows nothing of examples that it never saw.

    >>> right = torch.tensor([1.0] * 90 + [0.0] * 10)
    >>> bootstrap(right)
    {'value': 0.9, 'low': 0.83, 'high': 0.95}

    Reference: B. Efron, 1987, "Better bootstrap confidence intervals", JASA 82, section 3.
    """
    table = values.detach().cpu().double()
    table = table[:, None] if table.dim() == 1 else table  # (N, K)
    require(len(table) >= 1, "values", len(table), "at least one example")
    require(0.0 < level < 1.0, "level", level, "a share between 0 and 1, usually 0.95")
    require(resamples >= 100, "resamples", resamples, "a whole number from 100, usually 2000")
    value = float(statistic(table.mean(0)))
    figures = resampled(table, statistic, resamples, seed).sort().values  # (R,)
    low, high = _levels(table, statistic, value, figures, level)
    ends = torch.quantile(figures, torch.tensor([low, high], dtype=torch.float64))
    return {"value": value, "low": min(value, float(ends[0])), "high": max(value, float(ends[1]))}


def resampled(table: Tensor, statistic: Statistic, resamples: int, seed: int) -> Tensor:
    """Draw N of N examples with replacement, again and again, and take the figure of each draw: (N, K) ->
    (R,).

    >>> draws = resampled(torch.tensor([[0.0], [1.0]]).double(), first, 1000, seed=0)
    >>> draws.unique().tolist()  # of two coins: none, one or both
    [0.0, 0.5, 1.0]
    """
    count, found = len(table), []
    size = max(1, CHUNK // (count * table.shape[1]))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = torch.randint(count, (rows, count), generator=generator(seed, "bootstrap", start))  # (R, N)
        found.append(statistic(table[drawn].mean(1)))  # (R, N, K) -> (R, K) -> (R,)
    return torch.cat(found)


def _levels(
    table: Tensor, statistic: Statistic, value: float, figures: Tensor, level: float
) -> tuple[float, float]:
    """Shift the two percentiles by the bias and by the acceleration, which comes from leaving each example
    out.
    """
    tail, normal = (1 - level) / 2, NormalDist()
    count = len(table)
    below = float((figures < value).double().mean() + (figures == value).double().mean() / 2)
    if count < 3 or not 0.0 < below < 1.0:
        return tail, 1 - tail
    without = statistic((table.sum(0) - table) / (count - 1))  # (N, K) -> (N,)
    away = without.mean() - without
    spread = float((away**2).sum() ** 1.5)
    if spread == 0.0:
        return tail, 1 - tail
    acceleration = float((away**3).sum()) / (6 * spread)
    bias = normal.inv_cdf(below)

    def shifted(share: float) -> float:
        z = bias + normal.inv_cdf(share)
        return normal.cdf(bias + z / (1 - acceleration * z))

    return shifted(tail), shifted(1 - tail)
