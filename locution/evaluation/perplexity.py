"""How well a language model expects a text: perplexity, and bits for each byte."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.data.passages import windows
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap, ratio

Figure = dict[str, float]  # value, low, high


@torch.no_grad()
def token_surprise(model: nn.Module, stream: Tensor, context: int, step: int = 0) -> Tensor:
    """Measure in nats how unexpected a causal model finds each token of a text but the first, after those before it.

    The model reads windows of `context` tokens, each `step` further on, half a context if it is 0, so that most tokens
    are asked for with much before them. stream (S,); returns (S - 1,).

    >>> class Even(nn.Module):
    ...     def forward(self, tokens):
    ...         return torch.zeros(*tokens.shape, 8)  # it expects each of 8 tokens alike
    >>> token_surprise(Even(), torch.tensor([1, 2, 3, 4]), context=2) / math.log(2)
    tensor([3., 3., 3.], ...)

    Reference: F. Jelinek, R. Mercer, L. Bahl, J. Baker, 1977, "Perplexity - a measure of the difficulty of speech
    recognition tasks".
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    found = []
    for window, asked in windows(stream, context, step or max(1, context // 2)):
        scores = model(window[None, :-1].to(device))[0, -asked:]  # (asked, V)
        surprise = functional.cross_entropy(scores.float(), window[-asked:].to(device), reduction="none")
        found.append(surprise.cpu().double())
    if not found:
        raise UserError(f"a text of {len(stream)} tokens came to be judged by; allowed: from 2.")
    return torch.cat(found)


def in_passages(values: Tensor, length: int) -> Tensor:
    """Add up what was measured on each token of a text, (S, ...), by passages of so many tokens: (P, ...).

    What is left over at the end, less than half a passage, counts with the last one.

    >>> in_passages(torch.ones(7), 3)
    tensor([3., 4.])
    """
    cuts = list(range(length, len(values) - (length - 1) // 2, length))
    return torch.stack([part.sum(0) for part in torch.tensor_split(values, cuts)])


def perplexity(surprise: Tensor, tokens: Tensor | None = None) -> Figure:
    """Perplexity says among how many equally likely tokens a language model is torn, on average, at each place.

    exp(mean surprise): nats of each passage (P,), and how many tokens it has (P,), one if it is not given. Perplexities
    can be compared only between models of the same tokens; see bits per byte.

    >>> perplexity(torch.full((5,), math.log(8.0)))["value"]
    8.0

    Reference: F. Jelinek, R. Mercer, L. Bahl, J. Baker, 1977, "Perplexity - a measure of the difficulty of speech
    recognition tasks".
    """
    counts = torch.ones_like(surprise) if tokens is None else tokens.to(surprise)
    return bootstrap(torch.stack([surprise, counts], 1), lambda means: ratio(means).exp())


def bits_per_byte(surprise: Tensor, sizes: Tensor) -> Figure:
    """Bits per byte say how short a language model could write a text: its surprise, over the bytes that the text has.

    Models of other tokens can be compared by it. surprise (P,), nats of each passage; sizes (P,), its bytes.

    >>> bits_per_byte(torch.full((4,), 6 * math.log(2.0)), torch.full((4,), 3.0))["value"]  # 6 bits for 3 bytes
    2.0

    Reference: C. Shannon, 1951, "Prediction and entropy of printed English"; L. Gao et al., 2020, "The Pile: an 800GB
    dataset of diverse text for language modeling", section 3.1.
    """
    return bootstrap(torch.stack([surprise / math.log(2), sizes.to(surprise)], 1), ratio)


def token_bytes(stream: Tensor, sizes: Sequence[int]) -> Tensor:
    """Say how many bytes each token of a text (S,) but the first has: (S - 1,), by how many each kind of token has.

    >>> token_bytes(torch.tensor([0, 1, 2]), [0, 1, 5])
    tensor([1., 5.], ...)
    """
    return torch.tensor(sizes, dtype=torch.float64)[stream[1:]]
