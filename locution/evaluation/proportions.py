"""A share of a number of trials, with the interval that is right even where it is none or all of them."""

from __future__ import annotations

from statistics import NormalDist

from locution.errors import require


def proportion(count: int, total: int, level: float = 0.95) -> dict[str, float]:
    """A proportion is how many of a number of trials went one way, with the range of shares that would explain it.

    The interval is Wilson's: it stays between 0 and 1, and says something even where the count is 0 or the total. With
    no trial at all the share is 0 and anything between 0 and 1.

    >>> proportion(0, 40)  # none of 40: still up to 1 in 11
    {'value': 0.0, 'low': 0.0, 'high': 0.088}
    >>> proportion(10, 20)
    {'value': 0.5, 'low': 0.299, 'high': 0.701}

    Reference: E. B. Wilson, 1927, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22.
    """
    require(0 <= count <= total, "count", count, f"a whole number from 0 to {total}, the trials")
    if not total:
        return {"value": 0.0, "low": 0.0, "high": 1.0}
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, weight = count / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * (share * (1 - share) / total + weight / (4 * total)) ** 0.5
    low = 0.0 if count == 0 else max(0.0, middle - reach)
    high = 1.0 if count == total else min(1.0, middle + reach)
    return {"value": share, "low": low, "high": high}
