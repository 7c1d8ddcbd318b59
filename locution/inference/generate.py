"""Generation: a language model goes on with a text, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from locution.data.byte_pairs import END, MASK
from locution.models.language_model import LanguageTransformer
from locution.models.self_attention import KeyValueCache

HOT = 1e30  # beyond it, and below one over it, single precision knows no numbers to divide by


def sharpened(scores: Tensor, temperature: float) -> Tensor:
    """Temperature makes what a model expects flatter (above 1) or sharper (below 1) before a token is drawn.

    scores (V,), before softmax; returns chances (V,): softmax(scores / temperature), and at 0 the likeliest alone.

    >>> sharpened(torch.tensor([0.0, 1.0]), 1.0), sharpened(torch.tensor([0.0, 1.0]), 0.0)
    (tensor([0.2689, 0.7311]), tensor([0., 1.]))

    Reference: D. Ackley, G. Hinton, T. Sejnowski, 1985, "A learning algorithm for Boltzmann machines", eq. 2.
    """
    if temperature == 0:
        return torch.zeros_like(scores).index_fill_(0, scores.argmax(), 1.0)
    return (scores / min(max(temperature, 1 / HOT), HOT)).softmax(-1)


def top_k(chances: Tensor, count: int) -> Tensor:
    """Top-k sampling draws from the k likeliest tokens alone.

    chances (V,), 1 in sum; returns the same with all but the k largest 0, 1 in sum again. 0 leaves all.

    >>> top_k(torch.tensor([0.5, 0.3, 0.2]), 2)
    tensor([0.6250, 0.3750, 0.0000])

    Reference: A. Fan, M. Lewis, Y. Dauphin, 2018, "Hierarchical neural story generation", section 5.4.
    """
    if not 0 < count < len(chances):
        return chances
    best = chances.topk(count)
    left = torch.zeros_like(chances).index_copy_(0, best.indices, best.values)
    return left / left.sum()


def top_p(chances: Tensor, share: float) -> Tensor:
    """Nucleus sampling (top-p) draws from the fewest likeliest tokens that hold a share p of the chances together.

    chances (V,), 1 in sum; returns the same with all others 0, 1 in sum again. 1 leaves all.

    >>> top_p(torch.tensor([0.5, 0.3, 0.2]), 0.6)
    tensor([0.6250, 0.3750, 0.0000])

    Reference: A. Holtzman et al., 2020, "The curious case of neural text degeneration", section 3.1.
    """
    if share >= 1:
        return chances
    ranked, order = chances.sort(descending=True, stable=True)
    ranked = ranked.masked_fill(ranked.cumsum(0) - ranked >= share, 0.0)  # what is before holds the share already
    left = torch.zeros_like(chances).index_copy_(0, order, ranked)
    return left / left.sum()


def window_start(count: int, context: int) -> int:
    """Say from where of so many tokens a model reads on: all, or as many as fill its context from half to whole.

    It moves by half a context at a time, so that a cache is filled anew only then.

    >>> [window_start(count, 4) for count in (1, 4, 5, 6, 7)]
    [0, 0, 2, 2, 4]
    """
    half = max(1, context // 2)
    return max(0, -(-(count - context) // half)) * half


@torch.no_grad()
def expected(model: LanguageTransformer, tokens: Sequence[int], cache: KeyValueCache | None = None) -> Tensor:
    """Ask a causal language model which token comes next: scores (V,); with a cache, tokens are those not yet read."""
    device = model.embedding.weight.device
    scores: Tensor = model(torch.tensor([list(tokens)], device=device), cache=cache)[0, -1]
    return scores.float().cpu()


def going_on(
    model: LanguageTransformer,
    tokens: Sequence[int],
    length: int,
    draw: torch.Generator,
    *,
    temperature: float = 1.0,
    leave: int = 0,
    share: float = 1.0,
    cached: bool = True,
) -> Iterator[int]:
    """Hand out one token after the other of what `go_on` returns, each as soon as it is drawn.

    >>> _ = torch.manual_seed(0)
    >>> model = LanguageTransformer(10, context=8, width=16, layers=1, heads=2).eval()
    >>> first = next(going_on(model, [2, 3], 20, torch.Generator().manual_seed(11)))
    >>> first == go_on(model, [2, 3], 20, torch.Generator().manual_seed(11))[0]
    True
    """
    text = list(tokens)
    cache, begun = None, -1
    for _ in range(length):
        start = window_start(len(text), model.context)
        if not cached:
            scores = expected(model, text[start:])
        else:
            if cache is None or start != begun:
                cache, begun = model.cache(), start
            scores = expected(model, text[start + cache.length :], cache)
        scores[MASK] = -torch.inf  # it stands for what is hidden, and never in a text
        chances = top_p(top_k(sharpened(scores, temperature), leave), share)
        token = int(torch.multinomial(chances, 1, generator=draw))
        if token == END:
            return
        text.append(token)
        yield token


def go_on(
    model: LanguageTransformer,
    tokens: Sequence[int],
    length: int,
    draw: torch.Generator,
    *,
    temperature: float = 1.0,
    leave: int = 0,
    share: float = 1.0,
    cached: bool = True,
) -> list[int]:
    """Generation lets a language model go on with a text: it draws a token from what it expects, reads it, and again.

    Parameters
    ----------
    tokens: the text so far, at least one. length: how many more at most; an end mark ends it and is not handed out.
    draw: what draws them. temperature, leave, share: of `sharpened`, `top_k` and `top_p`, in this order. cached: keep
    keys and values of what was read. A text longer than the model's context is read from where `window_start` says.

    Returns the new tokens.

    >>> _ = torch.manual_seed(0)
    >>> model = LanguageTransformer(10, context=8, width=16, layers=1, heads=2).eval()
    >>> with_cache, without = (go_on(model, [2, 3], 20, torch.Generator().manual_seed(11), cached=c) for c in (1, 0))
    >>> len(with_cache) > 8, with_cache == without
    (True, True)

    Reference: A. Radford et al., 2019, "Language models are unsupervised multitask learners", section 2.
    """
    drawn = going_on(model, tokens, length, draw, temperature=temperature, leave=leave, share=share, cached=cached)
    return list(drawn)
