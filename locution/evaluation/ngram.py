"""The n-gram model: how likely a token is, from how often it followed the few before it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from locution.errors import LocutionError, require

Gram = tuple[int, ...]
Discounts = tuple[float, float, float]  # of what was seen once, twice, three times or more


def discounts(counts: Iterable[int]) -> Discounts:
    """Say how much to take off counts, by how many there are of one to four: what was seen once is seen less again.

    Y = n1 / (n1 + 2 n2); D1 = 1 - 2 Y n2 / n1, D2 = 2 - 3 Y n3 / n2, D3 = 3 - 4 Y n4 / n3. Where there are none of a
    count, half of one is taken off.

    >>> discounts([1, 1, 1, 1, 2, 2, 3, 4])  # Y = 4 / 8
    (0.5, 1.25, 1.0)

    Reference: S. Chen, J. Goodman, 1998, "An empirical study of smoothing techniques for language modeling", eq. 26.
    """
    number = Counter(counts)
    if not number[1] or not number[2]:
        return 0.5, 0.5, 0.5
    base = number[1] / (number[1] + 2 * number[2])
    found = [
        seen - (seen + 1) * base * number[seen + 1] / number[seen] if number[seen] and number[seen + 1] else 0.5
        for seen in (1, 2, 3)
    ]
    one, two, three = (min(max(value, 0.0), float(seen)) for seen, value in enumerate(found, 1))
    return one, two, three


class NGram:
    """An n-gram model says how likely a token is by how often it followed the n - 1 tokens before it.

    With modified Kneser-Ney smoothing: something is taken off each count, and what was taken is dealt out by the model
    of one token less, which counts in how many contexts a token was seen, not how often. The shortest deals out evenly.

    Parameters
    ----------
    order: n. vocabulary: how many tokens there are.

    p(w | h) = (c(h w) - D) / c(h) + (what was taken off) / c(h) x p(w | h without its first token).

    >>> model = NGram(order=2, vocabulary=3).fit(torch.tensor([0, 1, 0, 1, 0, 2]))
    >>> round(sum(model.chance((0,), token) for token in range(3)), 6)
    1.0
    >>> round(model.chance((1,), 0), 4)  # (2 - 0.5) / 2 + 0.5 / 2 x ((1 - 0.5) / 3 + 1.5 / 3 x 1 / 3)
    0.8333

    Reference: S. Chen, J. Goodman, 1998, "An empirical study of smoothing techniques for language modeling", section 3,
    eq. 24; R. Kneser, H. Ney, 1995, "Improved backing-off for m-gram language modeling".
    """

    def __init__(self, order: int, vocabulary: int) -> None:
        require(order >= 1, "order", order, "a whole number from 1, usually 3 to 5")
        require(vocabulary >= 1, "vocabulary", vocabulary, "a whole number from 1")
        self.order, self.vocabulary = order, vocabulary

    def fit(self, stream: Tensor) -> Self:
        """Count what follows what in a text (S,)."""
        tokens = stream.tolist()
        counts = Counter(grams(tokens, self.order))
        self.counts_: list[Mapping[Gram, int]] = [counts]
        for _ in range(self.order - 1):
            counts = Counter(gram[1:] for gram in counts)  # in how many contexts, not how often
            self.counts_.insert(0, counts)
        self.discounts_ = [discounts(found.values()) for found in self.counts_]
        self.totals_: list[dict[Gram, tuple[int, float]]] = []
        for found, taken in zip(self.counts_, self.discounts_, strict=True):
            totals: dict[Gram, tuple[int, float]] = {}
            for gram, count in found.items():
                whole, off = totals.get(gram[:-1], (0, 0.0))
                totals[gram[:-1]] = (whole + count, off + taken[min(count, 3) - 1])
            self.totals_.append(totals)
        return self

    def chance(self, context: Sequence[int], token: int) -> float:
        """Say how likely a token is behind those of the context, of which the last n - 1 are looked at."""
        if not hasattr(self, "counts_"):
            raise LocutionError("the n-gram model has not been fitted; call fit first.")
        before = tuple(context)[max(0, len(context) - self.order + 1) :]
        found = 1 / self.vocabulary
        for length in range(len(before) + 1):
            history = before[len(before) - length :]
            whole, off = self.totals_[length].get(history, (0, 0.0))
            if not whole:
                break  # nor is there a longer one
            count = self.counts_[length].get((*history, token), 0)
            left = count - self.discounts_[length][min(count, 3) - 1] if count else 0.0
            found = left / whole + off / whole * found
        return found

    def surprise(self, stream: Tensor) -> Tensor:
        """Measure in nats how unexpected each token of a text (S,) but the first is, after all before it: (S - 1,)."""
        tokens = stream.tolist()
        size = self.order - 1
        chances = [self.chance(tokens[max(0, at - size) : at], tokens[at]) for at in range(1, len(tokens))]
        return torch.tensor([-math.log(chance) for chance in chances], dtype=torch.float64)


def grams(tokens: Sequence[int], size: int) -> Iterable[Gram]:
    """List all runs of so many tokens.

    >>> list(grams([1, 2, 3], 2))
    [(1, 2), (2, 3)]
    """
    return zip(*(tokens[at:] for at in range(size)), strict=False)


def best_order(stream: Tensor, held_out: Tensor, vocabulary: int, orders: Sequence[int] = (2, 3, 4, 5, 6)) -> NGram:
    """Fit n-gram models of several orders, and take the one least surprised by a held-out text.

    >>> text = torch.tensor([0, 1, 2, 1] * 20)
    >>> best_order(text, text, 3, orders=(1, 3)).order  # what follows 1 hangs on what was before it
    3

    Reference: S. Chen, J. Goodman, 1998, "An empirical study of smoothing techniques for language modeling", section 4.
    """
    models = [NGram(order, vocabulary).fit(stream) for order in orders]
    return min(models, key=lambda model: float(model.surprise(held_out).mean()))
