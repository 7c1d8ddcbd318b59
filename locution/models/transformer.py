"""The transformer: blocks of self-attention and a small network for each place, one behind another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import UserError, require
from locution.models.self_attention import KeyValueCache, SelfAttention

Positions = Literal["rotary", "learned", "none"]
POSITIONS = ("rotary", "learned", "none")
Form = Literal["gpt", "llama"]
FORMS = ("gpt", "llama")
MakesFeedForward = Callable[[], nn.Module]


def position_wise(width: int, hidden: int) -> nn.Sequential:
    """Make the small network that works on each place of a sequence by itself: wider, bent, and back.

    >>> position_wise(2, 8)
    Sequential( (0): Linear(...2, ...8, ...) (1): GELU(...) (2): Linear(...8, ...2, ...) )
    """
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class GatedFeedForward(nn.Module):
    """The gated feed-forward network (SwiGLU) multiplies what one layer finds by a bent gate that another computes.

    W_down(SiLU(W_gate x) * W_up x), nothing added. Of as many parameters, it does more than a plain one.

    Shapes: (..., width) in and out.

    >>> net = GatedFeedForward(2, 8)
    >>> sum(weight.numel() for weight in net.parameters()), net(torch.zeros(1, 2)).tolist()
    (48, [[0.0, 0.0]])

    Reference: N. Shazeer, 2020, "GLU variants improve transformer", eq. 6.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * hidden, bias=False)  # the gate's layer and the other's as one
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Work on each place by itself."""
        gate, value = self.up(x).chunk(2, -1)
        found: Tensor = self.down(functional.silu(gate) * value)
        return found


def normalisation(form: Form, width: int) -> nn.Module:
    """Make what normalises a place: layer normalisation, or by its size alone (RMSNorm) in blocks of Llama's form."""
    return nn.RMSNorm(width, eps=1e-5) if form == "llama" else nn.LayerNorm(width)


def usual_hidden(form: Form, width: int) -> int:
    """Say how wide the network for each place usually is: four times the width, or about as many parameters if gated.

    >>> usual_hidden("gpt", 128), usual_hidden("llama", 128)  # 8 / 3 of it, as the next multiple of 32
    (512, 352)
    """
    return 4 * width if form == "gpt" else -(-8 * width // 96) * 32


def check_form(heads: int, form: str, groups: int) -> None:
    """Refuse a form that no block has, and groups that the heads cannot be dealt out to.

    >>> check_form(4, "gpt", 3)
    Traceback (most recent call last):
    locution.errors.UserError: model.groups is 3; allowed: a divisor of model.heads, 4, or 0 for as many.
    """
    require(form in FORMS, "model.form", form, ", ".join(FORMS))
    fine = groups == 0 or (groups >= 1 and heads % groups == 0)
    require(fine, "model.groups", groups, f"a divisor of model.heads, {heads}, or 0 for as many")


class TransformerBlock(nn.Module):
    """A transformer block lets the places of a sequence look at each other, then works on each place by itself.

    Each of the two is added to what came in, and sees it normalised (pre-norm).

    Parameters
    ----------
    width: numbers a place. heads: of the attention. hidden: of the network for each place. causal: no place sees a
    later one. rotary: places are told apart in the attention. dropout: the share of what is added that is left out.
    feed_forward: makes another network for the places, (N, T, width) in and out, such as a mixture of experts. form:
    "gpt" has layer normalisation and a plain network; "llama" RMSNorm and a gated one, and layers without a bias.
    groups: of `SelfAttention`.

    Shapes: (N, T, width) in and out. mask: (N, T), True for the places that may be looked at.

    >>> _ = torch.manual_seed(0)
    >>> block = TransformerBlock(8, heads=2, hidden=16)
    >>> for way_out in (block.attention.outwards, block.feed_forward[-1]):
    ...     _ = [nn.init.zeros_(weight) for weight in way_out.parameters()]
    >>> x = torch.rand(1, 3, 8)
    >>> torch.equal(block(x), x)  # where nothing is added, what came in goes out
    True

    Reference: A. Vaswani et al., 2017, "Attention is all you need", section 3.1; R. Xiong et al., 2020, "On layer
    normalization in the transformer architecture", figure 1 (b); H. Touvron et al., 2023, "LLaMA", section 2.2.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        causal: bool = False,
        rotary: bool = False,
        dropout: float = 0.0,
        feed_forward: MakesFeedForward | None = None,
        form: Form = "gpt",
        groups: int = 0,
    ) -> None:
        super().__init__()
        llama = form == "llama"
        self.before_attention, self.before_feed_forward = normalisation(form, width), normalisation(form, width)
        self.attention = SelfAttention(width, heads, causal=causal, rotary=rotary, groups=groups, bias=not llama)
        usual = GatedFeedForward if llama else position_wise
        self.feed_forward = feed_forward() if feed_forward else usual(width, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None, layer: int = 0
    ) -> Tensor:
        """Look around, then think: (N, T, width) to the same."""
        x = x + self.dropout(self.attention(self.before_attention(x), mask, cache, layer))
        added: Tensor = x + self.dropout(self.feed_forward(self.before_feed_forward(x)))
        return added


class Transformer(nn.Module):
    """A transformer reads a whole sequence at once: in block after block each place looks at the others.

    Parameters
    ----------
    width: numbers a place. layers: blocks. heads, hidden, causal, dropout, feed_forward, form, groups: of
    `TransformerBlock`; hidden is that of `usual_hidden` if it is 0. positions: "rotary" turns questions and keys by
    their place, "learned" adds a vector for each of `context` places, "none" tells places apart only by what causal
    attention lets them see.

    Shapes: (N, T, width) in and out. mask: (N, T), True for the places that may be looked at.

    >>> _ = torch.manual_seed(0)
    >>> blocks = Transformer(8, layers=2, heads=2, positions="none").eval()
    >>> x = torch.rand(1, 3, 8)
    >>> bool((blocks(x).flip(1) - blocks(x.flip(1))).abs().max() < 1e-5)  # without positions, order is nothing to it
    True

    Reference: A. Vaswani et al., 2017, "Attention is all you need", section 3.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        hidden: int = 0,
        *,
        causal: bool = False,
        positions: Positions = "rotary",
        context: int = 0,
        dropout: float = 0.0,
        feed_forward: MakesFeedForward | None = None,
        form: Form = "gpt",
        groups: int = 0,
    ) -> None:
        super().__init__()
        fine = positions != "learned" or context >= 1
        require(fine, "context", context, "a whole number from 1, with learned positions")
        self.positions = nn.Parameter(0.02 * torch.randn(context, width)) if positions == "learned" else None
        self.form: Form = form
        self.width = width
        self.blocks = nn.ModuleList(
            TransformerBlock(
                width,
                heads,
                hidden or usual_hidden(form, width),
                causal=causal,
                rotary=positions == "rotary",
                dropout=dropout,
                feed_forward=feed_forward,
                form=form,
                groups=groups,
            )
            for _ in range(layers)
        )
        self.dropout, self.norm = nn.Dropout(dropout), normalisation(form, width)

    def placed(self, x: Tensor, start: int = 0) -> Tensor:
        """Add to each place the vector of its position, where those are learnt."""
        if self.positions is None:
            return x
        length, allowed = start + x.shape[1], len(self.positions)
        if length > allowed:
            raise UserError(f"a sequence of {length} places came; allowed: up to {allowed}, the model's context.")
        return x + self.positions[start:length]

    def forward(self, x: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Carry (N, T, width) through the blocks; with a cache, x are the places behind those that lie in it."""
        x = self.dropout(self.placed(x, cache.length if cache is not None else 0))
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, cache, layer)
        normed: Tensor = self.norm(x)
        return normed

    def attention_maps(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Say in every block and head how much each place takes from each other: (N, layers, heads, T, T)."""
        x, maps = self.placed(x), []
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            maps.append(block.attention.weights(block.before_attention(x), mask))
            x = block(x, mask)
        return torch.stack(maps, 1)


def begin(blocks: Transformer) -> None:
    """Draw the first weights small, and smaller where many layers add to one sum, as GPT-2 has it.

    Reference: A. Radford et al., 2019, "Language models are unsupervised multitask learners", section 2.3.
    """
    for name, module in blocks.named_modules():
        if isinstance(module, nn.Linear):
            adds = name.endswith(("attention.outwards", "feed_forward.2", "feed_forward.down"))
            nn.init.normal_(module.weight, std=0.02 / (math.sqrt(2 * len(blocks.blocks)) if adds else 1.0))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
