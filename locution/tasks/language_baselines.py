"""What a language model is to beat: n-gram models, over its own tokens and over single bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from locution.data.byte_pairs import Tokenizer
from locution.data.prose import Prose, stream_of
from locution.evaluation.ngram import NGram, best_order
from locution.evaluation.perplexity import token_bytes

LEAST = 2  # tokens of a text that can be judged by
OF_TOKENS, OF_BYTES = (2, 3, 4, 5, 6), (6, 8, 10, 12)  # in a row; the development text chooses
UNCHOSEN = {OF_TOKENS: 4, OF_BYTES: 10}  # where there is none


@dataclass(frozen=True)
class Baseline:
    """An n-gram model as a bar: its order, and its surprise at each token of the test text in nats, (S - 1,)."""

    order: int
    surprise: Tensor


def of_tokens(prose: Prose) -> Baseline:
    """Judge the n-gram model over a language model's own tokens, its order chosen on the development text."""
    return judged(prose.streams, len(prose.tokenizer), OF_TOKENS)


def of_bytes(prose: Prose) -> Baseline:
    """Judge the n-gram model over single bytes; what it finds is added up by the tokens that the bytes make."""
    found = bytes_judged(*(tuple(prose.texts[name]) for name in ("train", "development", "test")))
    sizes = token_bytes(prose.streams["test"], prose.tokenizer.sizes())
    return Baseline(found.order, of_pieces(found.surprise, sizes.clamp(min=1)))  # a mark is one


@cache
def bytes_judged(train: Sequence[str], development: Sequence[str], test: Sequence[str]) -> Baseline:
    """Judge the n-gram model over single bytes, once for each text: whatever the tokens are, it is the same."""
    plain = Tokenizer([])
    parts = {"train": train, "development": development, "test": test}
    return judged({name: stream_of(plain, texts) for name, texts in parts.items()}, len(plain), OF_BYTES)


def judged(streams: Mapping[str, Tensor], vocabulary: int, orders: tuple[int, ...]) -> Baseline:
    """Fit the n-gram models and judge the one that expects the development text best."""
    train, held = streams["train"], streams["development"]
    enough = len(held) > LEAST
    model = best_order(train, held, vocabulary, orders) if enough else NGram(UNCHOSEN[orders], vocabulary).fit(train)
    return Baseline(model.order, model.surprise(streams["test"]))


def of_pieces(values: Tensor, lengths: Tensor) -> Tensor:
    """Add up neighbours, so many at a time: (S,) and how many each sum takes (P,) to (P,).

    >>> of_pieces(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 1]))
    tensor([3., 3.])
    """
    whose = torch.repeat_interleave(torch.arange(len(lengths)), lengths.long())
    return torch.zeros(len(lengths), dtype=values.dtype).index_add_(0, whose, values)
