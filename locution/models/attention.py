"""Attention: each place of a sequence looks at the others, and takes from each as much as concerns it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from locution.errors import UserError, unknown

PLAIN = "plain"
KERNELS = {0: PLAIN, 1: "flash", 2: "memory-efficient", 3: "cuDNN's flash"}  # torch's own numbers of its kernels
BACKENDS = {
    PLAIN: SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN's flash": SDPBackend.CUDNN_ATTENTION,
}
REFUSALS = ("No available kernel", "No viable backend")  # as torch says it on a GPU and on a processor


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention weights say how much each place takes from each other place: shares from 0, 1 in sum.

    softmax(Q K^T / sqrt(d)). query (..., T, d), key (..., S, d), mask (T, S) or (..., T, S), True where a place may
    look; returns (..., T, S). A place that may look nowhere gets zeros.

    >>> query, key = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> attention_weights(query, key)  # exp(1 / sqrt 2) = 2.028 to 1
    tensor([[0.6698, 0.3302]])
    >>> attention_weights(query, key, torch.tensor([[False, True]]))
    tensor([[0., 1.]])

    Reference: A. Vaswani et al., 2017, "Attention is all you need", eq. 1.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., T, S)
    if mask is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
    return weights.masked_fill(~mask, 0.0)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention answers a question with a mean of values, each counted by how well its key fits the question.

    softmax(Q K^T / sqrt(d)) V, by the letter: `attend` computes the same by faster kernels. Questions (queries) and
    keys of one sequence make self-attention, those of two cross-attention. query (..., T, d), key (..., S, d), value
    (..., S, e), mask as in `attention_weights`; returns (..., T, e).

    >>> key = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    >>> attention(9 * torch.tensor([[1.0, 0.0]]), key, torch.tensor([[5.0], [7.0]]))  # the first key fits
    tensor([[5.]])

    Reference: A. Vaswani et al., 2017, "Attention is all you need", eq. 1.
    """
    return attention_weights(query, key, mask) @ value


def causal_mask(length: int, seen: int | None = None, device: torch.device | None = None) -> Tensor:
    """A causal mask lets each place look at itself and at what came before it, never at what comes.

    Returns (length, seen), True where a place may look; the last `length` of `seen` places ask, all if it is not given.

    >>> causal_mask(2, 3)
    tensor([[ True,  True, False],
            [ True,  True,  True]])

    Reference: A. Vaswani et al., 2017, "Attention is all you need", section 3.2.3.
    """
    seen = length if seen is None else seen
    return torch.ones(length, seen, dtype=torch.bool, device=device).tril(seen - length)


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False, kernel: str = ""
) -> Tensor:
    """Flash attention computes attention block by block, and never holds the weights of all places for all others.

    The same numbers as `attention`, up to rounding, by one of torch's kernels: the one that `choose_kernel` names, or
    the one that is asked for. causal: each place looks at itself and before; of more keys than queries, the queries are
    the last. query (B, heads, T, d), key and value (B, heads, S, d); returns (B, heads, T, d).

    >>> draw = torch.Generator().manual_seed(0)
    >>> q, k, v = torch.randn(3, 1, 2, 8, 4, generator=draw).unbind()
    >>> same = attention(q, k, v, causal_mask(8))
    >>> bool((attend(q, k, v, causal=True, kernel="flash") - same).abs().max() < 1e-5)
    True

    Reference: T. Dao et al., 2022, "FlashAttention: fast and memory-efficient exact attention with IO-awareness",
    section 3.1.
    """
    length, seen = query.shape[-2], key.shape[-2]
    if causal and length == 1:
        causal = False  # the last place may look everywhere
    if causal and (mask is not None or length != seen):  # torch would take the queries for the first places
        before = causal_mask(length, seen, query.device)
        mask, causal = before if mask is None else before & mask, False
    with only(kernel):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)


@contextmanager
def only(kernel: str = "") -> Iterator[None]:
    """Let attention be computed by one kernel alone while this is open, by any where none is named."""
    if not kernel:
        yield
        return
    if kernel not in BACKENDS:
        raise unknown("attention kernel", kernel, BACKENDS)
    try:
        with sdpa_kernel(BACKENDS[kernel]):
            yield
    except RuntimeError as error:
        if not any(words in str(error) for words in REFUSALS):
            raise
        raise UserError(f"attention kernel '{kernel}' does not take these; allowed: {PLAIN}, or no name.") from error


def choose_kernel(query: Tensor, key: Tensor, mask: Tensor | None = None) -> str:
    """An attention kernel is the program that computes attention: plain, or without ever storing all the weights.

    query, key (B, heads, T, d), mask (B, 1, T, T) or None: says which one torch takes for them, on their device and
    in their precision: flash, memory-efficient or plain. Flash computes in blocks and stores nothing in between; on
    CUDA it takes no mask.

    >>> q = torch.zeros(1, 2, 8, 4)
    >>> choose_kernel(q, q)
    'flash'

    Reference: T. Dao et al., 2022, "FlashAttention: fast and memory-efficient exact attention with IO-awareness",
    section 3.1.
    """
    number = torch._fused_sdp_choice(query, key, key, attn_mask=mask, is_causal=mask is None)
    return KERNELS.get(number, f"torch's number {number}")
