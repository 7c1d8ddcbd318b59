"""Two recognisers on the same utterances: which one is better, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from locution.errors import UserError
from locution.evaluation.intervals import resampled
from locution.speech.wer import Table, by_speaker, interval


@dataclass(frozen=True)
class Difference:
    """How much higher one word error rate is than another on the same utterances, below 0 where it is lower.

    low, high: the interval by drawing utterances again; by_speaker: by drawing whole speakers, where two or more are
    known. lower: in which share of the draws the first rate was the lower one. fewer, more, equal: in how many
    utterances the first made fewer, more, or as many errors.
    """

    value: float
    low: float
    high: float
    lower: float
    fewer: int
    more: int
    equal: int
    one: float
    other: float
    by_speaker: tuple[float, float] | None = None

    @property
    def clear(self) -> bool:
        """Say whether every interval leaves 0 out, so that the better one is known."""
        ends = [(self.low, self.high), self.by_speaker or (self.low, self.high)]
        return all(low > 0 for low, _ in ends) or all(high < 0 for _, high in ends)


def paired_difference(
    one: Table,
    other: Table,
    *,
    speakers: Sequence[str] | None = None,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """A paired difference compares two models on the same examples, so that what is hard for both cancels out.

    one, other: the errors (N, 4) of the same N utterances, see `error_table`. Both rates are taken of the same draws
    of utterances, and it is their difference that the interval is of: it is much narrower than two rates' own
    intervals suggest. Raises UserError where the two are not of the same references.

    >>> from locution.speech.wer import error_table
    >>> said = ["turn the light on", "stop now", "go"] * 20
    >>> first, second = error_table(said, said), error_table(said, ["turn light on", "stop now", "go"] * 20)
    >>> found = paired_difference(first, second)
    >>> found.value, found.clear, found.fewer, found.equal  # 20 of 140 words lost by the second alone
    (-0.143, True, 20, 40)

    Reference: M. Bisani and H. Ney, 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
    Evaluation", section 4 (the bootstrap of a difference, and the probability of improvement).
    """
    if one.shape != other.shape or not np.array_equal(one[:, 0], other[:, 0]):
        raise UserError("the two results are of different utterances; allowed: results of the same test set.")
    if not one[:, 0].sum():
        raise UserError("the references hold no word; a word error rate needs at least one.")
    errors, against = one[:, 1:].sum(1), other[:, 1:].sum(1)  # (N,)
    columns = np.stack([errors - against, one[:, 0]], axis=1).astype(np.float64)  # (N, 2)
    low, high = interval(columns, samples, confidence, seed)
    spread = None
    if speakers is not None and all(speakers) and len(set(speakers)) >= 2:
        spread = interval(by_speaker(columns, speakers), samples, confidence, seed)
    draws = resampled(torch.from_numpy(columns[:, :1]), lambda means: means[..., 0], samples, seed)  # (R,)
    words = one[:, 0].sum()
    return Difference(
        float(columns[:, 0].sum() / words),
        low,
        high,
        float((draws < 0).double().mean() + (draws == 0).double().mean() / 2),
        int((errors < against).sum()),
        int((errors > against).sum()),
        int((errors == against).sum()),
        float(errors.sum() / words),
        float(against.sum() / words),
        spread,
    )
