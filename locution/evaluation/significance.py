"""Whether differences could be chance: the sign-flip test, and Holm's correction where many are asked about."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch

from locution.engine.random import generator
from locution.errors import require

EXACT = 14  # pairs up to which every one of the 2^n flips is tried
DRAWS = 20_000


def sign_flip(differences: Sequence[float], *, seed: int = 0) -> float:
    """The sign-flip test asks how often chance alone would give a mean difference as large as the one that was seen.

    Where nothing differs, each paired difference could as well have had the other sign: the p-value is the share of
    all 2^n ways to choose the signs whose mean is at least as far from zero (up to 14 pairs; beyond, of 20,000 drawn
    ways and the one that was seen). With n pairs it cannot fall below 2 / 2^n.

    >>> sign_flip([1.0, 2.0, 3.0]), sign_flip([1.0, -1.0])
    (0.25, 1.0)

    Reference: R. A. Fisher, 1935, "The Design of Experiments", section 21; E. J. G. Pitman, 1937, "Significance tests
    which may be applied to samples from any populations", section 2.
    """
    require(len(differences) >= 1, "differences", len(differences), "at least one pair")
    values = torch.tensor(differences, dtype=torch.float64)  # (n,)
    if len(values) <= EXACT:
        signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=len(values))), dtype=torch.float64)  # (2^n, n)
    else:
        drawn = torch.randint(2, (DRAWS, len(values)), generator=generator(seed, "sign flip"))
        signs = torch.cat([torch.ones(1, len(values)), 2.0 * drawn - 1.0]).double()
    means = (signs @ values).abs()
    seen = values.sum().abs()
    return float((means >= seen * (1 - 1e-12)).double().mean())


def sign_test(one: int, other: int) -> float:
    """The sign test asks how often chance alone would put pairs as unevenly on two sides as was seen.

    one, other: pairs that fell on either side; those that fell on none are left out. Where nothing differs each side is
    as likely, so the p-value is twice the chance of so many heads, or more, in as many throws of a coin; 1 at most.

    >>> sign_test(6, 0), sign_test(1, 7), sign_test(2, 2)  # 2 / 2^6, 2 (1 + 8) / 2^8
    (0.03125, 0.0703125, 1.0)

    Reference: W. J. Dixon, A. M. Mood, 1946, "The statistical sign test", section 2; Q. McNemar, 1947, "Note on the
    sampling error of the difference between correlated proportions or percentages".
    """
    require(min(one, other) >= 0, "pairs", (one, other), "whole numbers from 0")
    count = one + other
    ways = sum(math.comb(count, heads) for heads in range(max(one, other), count + 1))
    return min(1.0, float(2 * ways / 2**count))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction raises p-values so that among many questions not even one is likely answered wrongly.

    The smallest is multiplied by their number m, the next by m - 1, and so on; none falls below the one before it.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Reference: S. Holm, 1979, "A simple sequentially rejective multiple test procedure", section 2.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
