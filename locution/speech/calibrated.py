"""Whether a recogniser knows when it is wrong: its confidence beside what was right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from locution.speech.generate import Written
from locution.speech.wer import Table

SHARES = (1.0, 0.9, 0.75, 0.5, 0.25)


def transcript_probability(written: Written) -> float:
    """The probability of a transcript is that of all its tokens together: how likely the model holds it to be right.

    `Written.confidence` is the mean of its tokens' probabilities (the geometric one, the end mark included); this is
    their product.

    >>> transcript_probability(Written("a b", "end", 2, 0.5))  # two tokens and the end mark
    0.125

    Reference: A. Graves, 2012, "Sequence Transduction with Recurrent Neural Networks", equation 1.
    """
    return float(written.confidence ** (written.tokens + (written.stopped == "end")))


def surest(table: Table, confidence: Sequence[float], shares: Sequence[float] = SHARES) -> list[tuple[float, float]]:
    """Selective recognition keeps only what the model is surest of: the word error rate of the surest share.

    table: (N, 4), see `error_table`; confidence: (N,). Returns (share, rate) for each of `shares`; where confidence
    says something of correctness, the rate falls as the share does.

    >>> from locution.speech.wer import error_table
    >>> table = error_table(["one two", "three four"], ["one two", "tree for"])
    >>> surest(table, [0.9, 0.4], shares=[1.0, 0.5])
    [(1.0, 0.5), (0.5, 0.0)]

    Reference: Y. Geifman and R. El-Yaniv, 2017, "Selective Classification for Deep Neural Networks", section 2.
    """
    order = np.argsort(-np.asarray(confidence, dtype=np.float64), kind="stable")
    sorted_rows = table[order]
    found = []
    for share in shares:
        kept = sorted_rows[: max(1, round(share * len(table)))]
        found.append((share, float(kept[:, 1:].sum() / max(1, kept[:, 0].sum()))))
    return found
