"""Calibration: whether a model that says it is 80 % sure is right in 80 of 100 such cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from locution.errors import UserError, require
from locution.evaluation.proportions import proportion


@dataclass(frozen=True)
class Bin:
    """The answers given with about the same confidence: how sure the model was on average, and how often right."""

    confidence: float
    right: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """What came of comparing confidence with correctness: the expected error, and the bins that hold an answer."""

    error: float
    bins: tuple[Bin, ...]
    confidence: float
    right: float

    @property
    def overconfident(self) -> bool:
        """Say whether the model is on the whole surer than it is right."""
        return self.confidence > self.right


def expected_calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int = 10) -> Calibration:
    """The expected calibration error (ECE) is how far, on average, a model's confidence is from how often it is right.

    Answers are sorted into `bins` of equal width by confidence (N,), each from 0 to 1; in each the mean confidence is
    compared with the share that is right, and the distances are averaged, weighted by the number of answers. 0 is
    perfect. Raises UserError for lists of unequal length, for none, and for a confidence that is no probability.

    >>> found = expected_calibration_error([0.9, 0.9, 0.9, 0.9, 0.2], [True, True, True, False, False])
    >>> found.error  # 4/5 x |0.9 - 0.75| + 1/5 x |0.2 - 0|
    0.16
    >>> [(one.confidence, one.right, one.count) for one in found.bins]
    [(0.2, 0.0, 1), (0.9, 0.75, 4)]

    Reference: C. Guo et al., 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    require(bins >= 1, "bins", bins, "a whole number from 1, usually 10")
    if len(confidence) != len(right):
        raise UserError(f"{len(right)} answers came with {len(confidence)} confidences; allowed: one each.")
    sure, true = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if not len(sure):
        raise UserError("there is no answer to compare confidence with; allowed: at least one.")
    if not bool(np.all((sure >= 0) & (sure <= 1))):
        raise UserError("a confidence is outside 0 to 1, or no number; allowed: probabilities.")
    place = np.minimum((sure * bins).astype(int), bins - 1)  # (N,), the last bin holds 1 itself
    found, error = [], 0.0
    for number in np.unique(place):
        inside = place == number
        count, hits = int(inside.sum()), int(true[inside].sum())
        share = proportion(hits, count)
        found.append(Bin(float(sure[inside].mean()), share["value"], share["low"], share["high"], count))
        error += count / len(sure) * abs(found[-1].confidence - found[-1].right)
    return Calibration(error, tuple(found), float(sure.mean()), float(true.mean()))
