"""Self-attention: the places of one sequence look at each other; their keys and values can be kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.attention import attend, attention_weights, causal_mask

BASE = 10_000.0  # of rotary positions: the last pair turns by about one over it


def turned(x: Tensor, start: int = 0, base: float = BASE) -> Tensor:
    """Rotary positions turn each pair of a vector's numbers by an angle that grows with its place in the sequence.

    Attention by itself knows no order: a positional encoding tells it, here by the angle. The product of two turned
    vectors then depends on how far apart their places are, not on where they are. x (..., T, d), d even, the places
    counted from `start`; the first pair turns by 1 radian a place, the last by about 1 / base.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> turned(x)  # the second by one radian: cos 1, sin 1
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])

    Reference: J. Su et al., 2021, "RoFormer: enhanced transformer with rotary position embedding", eqs. 14 and 34.
    """
    length, half = x.shape[-2], x.shape[-1] // 2
    exact = torch.promote_types(x.dtype, torch.float32)  # in bf16 places beyond 256 would fall together
    places = torch.arange(start, start + length, device=x.device, dtype=exact)
    angles = places[:, None] * base ** -(torch.arange(half, device=x.device, dtype=exact) / half)  # (T, d / 2)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    one, other = x[..., :half], x[..., half:]
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], -1)


class KeyValueCache:
    """A key-value cache keeps the keys and values of a text's places, so that each is computed only once.

    A language model that goes on with a text token by token then reads only what is new. `length` counts the places
    that lie in it; of a text of more than `limit` nothing is taken.

    >>> cache = KeyValueCache(layers=1, limit=4)
    >>> both = torch.ones(1, 2, 3, 8)  # (B, heads, T, d)
    >>> keys, _ = cache.extend(0, both, both)
    >>> keys, _ = cache.extend(0, both[:, :, :1], both[:, :, :1])
    >>> keys.shape, cache.length
    (torch.Size([1, 2, 4, 8]), 4)

    Reference: R. Pope et al., 2022, "Efficiently scaling transformer inference", section 2.
    """

    def __init__(self, layers: int, limit: int) -> None:
        require(limit >= 1, "limit", limit, "a whole number from 1")
        self.limit, self.filled = limit, [0] * layers
        self.kept: list[tuple[Tensor, Tensor] | None] = [None] * layers

    @property
    def length(self) -> int:
        """How many places were read; every layer has seen them when a pass is over."""
        return self.filled[-1]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values (B, heads, T, d) of new places to a layer's, and return all of them."""
        begun, new = self.filled[layer], key.shape[-2]
        if begun + new > self.limit:
            raise UserError(f"{begun + new} places came into the cache; allowed: {self.limit}, the model's context.")
        if (kept := self.kept[layer]) is None:
            room = (*key.shape[:-2], self.limit, key.shape[-1])
            kept = self.kept[layer] = (key.new_zeros(room), value.new_zeros(room))
        for whole, some in zip(kept, (key, value), strict=True):
            whole[..., begun : begun + new, :] = some
        self.filled[layer] = begun + new
        return kept[0][..., : begun + new, :], kept[1][..., : begun + new, :]


class SelfAttention(nn.Module):
    """Self-attention lets each place of a sequence look at all places of the same sequence, with several heads at once.

    One layer makes a question, a key and a value of each place; each head compares questions and keys in a space of its
    own; another layer puts together what the heads found.

    Parameters
    ----------
    width: numbers a place, a multiple of heads. causal: each place looks at itself and before. rotary: places are told
    apart by turning questions and keys. groups: how many heads have keys and values of their own, a divisor of heads;
    as many questions as there are heads share them (grouped-query attention; multi-query, if 1); 0: each its own. bias:
    whether something is added in the layers.

    Shapes: (N, T, width) in and out. mask: (N, T), True for the places that may be looked at.

    >>> _ = torch.manual_seed(0)
    >>> layer = SelfAttention(8, heads=2, causal=True)
    >>> x = torch.rand(1, 5, 8)
    >>> again = layer(torch.cat([x[:, :4], torch.rand(1, 1, 8)], 1))
    >>> layer(x).shape, bool((layer(x) - again)[:, :4].abs().max() < 1e-6)  # the past does not see the future
    (torch.Size([1, 5, 8]), True)

    Reference: A. Vaswani et al., 2017, "Attention is all you need", section 3.2.2; J. Ainslie et al., 2023, "GQA:
    training generalized multi-query transformer models from multi-head checkpoints", section 2.2.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        causal: bool = False,
        rotary: bool = False,
        groups: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        fits = heads >= 1 and width >= heads and width % heads == 0
        require(fits, "width", width, f"a multiple of the {heads} heads")
        require(not rotary or width // heads % 2 == 0, "width", width, f"an even multiple of the {heads} heads")
        groups = groups or heads
        require(groups >= 1 and heads % groups == 0, "groups", groups, f"a divisor of the {heads} heads")
        self.heads, self.groups, self.causal, self.rotary = heads, groups, causal, rotary
        self.inwards = nn.Linear(width, width + 2 * groups * (width // heads), bias=bias)  # questions, keys, values
        self.outwards = nn.Linear(width, width, bias=bias)

    def split(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Make questions of (N, T, width), (N, heads, T, d), and keys and values, (N, groups, T, d) each."""
        several = self.inwards(x).unflatten(-1, (self.heads + 2 * self.groups, -1)).transpose(1, 2)
        query, key, value = several.split([self.heads, self.groups, self.groups], 1)
        return (turned(query, start), turned(key, start), value) if self.rotary else (query, key, value)

    def shared(self, x: Tensor) -> Tensor:
        """Hand each group's keys or values to all its heads: (N, groups, T, d) to (N, heads, T, d)."""
        return x if self.groups == self.heads else x.repeat_interleave(self.heads // self.groups, 1)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None, layer: int = 0
    ) -> Tensor:
        """Look around from each place; with a cache, x are the places behind those that lie in it."""
        start = 0 if cache is None else cache.filled[layer]
        query, key, value = self.split(x, start)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        there = None if mask is None else mask[:, None, None, :]  # (N, 1, 1, S)
        found = attend(query, self.shared(key), self.shared(value), there, causal=self.causal)  # (N, heads, T, d)
        answer: Tensor = self.outwards(found.transpose(1, 2).flatten(2))
        return answer

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Say how much each place takes from each other: (N, T, width) -> (N, heads, T, T)."""
        query, key, _ = self.split(x)
        length = x.shape[1]
        may = causal_mask(length, device=x.device) if self.causal else None
        if mask is not None:
            there = mask[:, None, None, :].expand(-1, 1, length, -1)
            may = there if may is None else may & there
        return attention_weights(query, self.shared(key), may)
