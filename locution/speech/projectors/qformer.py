"""The querying transformer: a few learned questions to each window of frames, the answers are the embeddings."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.errors import require
from locution.speech.projectors.norm import output_norm, within, without_padding


class QFormerProjector(nn.Module):
    """The QFormer projector asks each short window of frames the same few learned questions; the answers are the
    embeddings.

    The questions (queries) of a window attend to each other, then to the window's frames, then pass a feed-forward
    layer, each step with a residual and a LayerNorm, in each of the layers; a linear layer takes them to H. Frames
    (B, T, D) with lengths (B,) become (B, ceil(T / window) queries, H) and lengths. The padding of a clip's last
    window is hidden from the queries, windows of mere padding are not computed.

    Parameters
    ----------
    inputs: D, width of the encoder. outputs: H, width of the language model. gain: the scale (root mean square) of
    the model's token embeddings. window: frames to a window. queries: embeddings to a window. layers: how often they
    ask. width: of the queries, or None for D. heads: of the attention, or None for 16, fewer where a head would have
    less than 16 numbers. positions: add to each frame a learned vector for its place in the window, which the queries
    cannot see otherwise; the sources know no such thing.

    >>> _ = torch.manual_seed(0)
    >>> projector = QFormerProjector(6, 8, gain=0.02)
    >>> embeddings, lengths = projector(torch.randn(2, 31, 6), torch.tensor([31, 15]))
    >>> tuple(embeddings.shape), lengths.tolist()
    ((2, 9, 8), [9, 3])

    Reference: J. Li et al., 2023, "BLIP-2", section 3.1; G. Saon et al., 2025, "Granite-speech", section 2 (windows
    of 15 frames, 3 queries).
    """

    kind: ClassVar[str] = "qformer"

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        gain: float = 1.0,
        window: int = 15,
        queries: int = 3,
        layers: int = 2,
        width: int | None = None,
        heads: int | None = None,
        positions: bool = False,
    ) -> None:
        super().__init__()
        require(window >= 1, "projector.window", window, "a whole number above 0, usually 15")
        require(queries >= 1, "projector.queries", queries, "a whole number above 0, usually 3")
        require(layers >= 1, "projector.layers", layers, "a whole number above 0, usually 2")
        require(width is None or width >= 1, "projector.width", width, "a whole number above 0, or none")
        width = inputs if width is None else width
        heads = heads_for(width) if heads is None else heads
        require(heads >= 1 and width % heads == 0, "projector.heads", heads, f"a number that divides {width}")
        self.settings = {"window": window, "queries": queries, "layers": layers, "width": width, "heads": heads}
        self.settings["positions"] = positions
        self.window = window
        self.queries = nn.Parameter(torch.randn(queries, width))  # (Q, W)
        self.entry = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(QueryLayer(width, inputs, heads) for _ in range(layers))
        self.places = nn.Parameter(0.02 * torch.randn(window, inputs)) if positions else None  # (w, D)
        self.leave = nn.Linear(width, outputs)
        self.norm = output_norm(outputs, gain)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn frames (B, T, D) and lengths (B,) into embeddings (B, T', H) and lengths (B,)."""
        frames, lengths = without_padding(frames, lengths), lengths.clamp(min=1)
        batch, room, _ = frames.shape
        windows = -(-room // self.window)
        frames = nn.functional.pad(frames, (0, 0, 0, windows * self.window - room))
        source = frames.view(batch, windows, self.window, -1)  # (B, N, w, D)
        seen = within(windows * self.window, lengths).view(batch, windows, self.window)  # (B, N, w)
        there = seen[..., 0]  # (B, N): the windows that hold anything
        source, seen = source[there], seen[there][:, None, None]  # (M, w, D), (M, 1, 1, w)
        source = source if self.places is None else source + self.places
        x = self.entry(self.queries).expand(len(source), -1, -1)  # (M, Q, W)
        for layer in self.layers:
            x = layer(x, source, seen)
        y = self.norm(self.leave(x))  # (M, Q, H)
        embeddings = y.new_zeros(batch, windows, *y.shape[1:]).index_put((there,), y)  # (B, N, Q, H)
        return embeddings.flatten(1, 2), -(-lengths // self.window) * len(self.queries)


def heads_for(width: int, most: int = 16) -> int:
    """Choose how many heads attend: 16, halved until they divide the width and each has 16 numbers or more.

    >>> heads_for(1280), heads_for(256), heads_for(192), heads_for(24)
    (16, 16, 8, 1)
    """
    while most > 1 and (width % most or width // most < 16):
        most //= 2
    return most


class QueryLayer(nn.Module):
    """A layer of questions: among themselves, to the frames, and a thought of its own."""

    def __init__(self, width: int, inputs: int, heads: int) -> None:
        super().__init__()
        self.among = Attention(width, width, heads)
        self.across = Attention(width, inputs, heads)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, source: Tensor, seen: Tensor) -> Tensor:
        """Ask once: queries x (M, Q, W), frames (M, w, D), which of them are real (M, 1, 1, w); gives (M, Q, W)."""
        x = self.across(self.among(x, x), source, seen)
        thought: Tensor = self.norm(x + self.think(x))
        return thought


class Attention(nn.Module):
    """Attention with its residual and its norm: norm(x + W softmax(q k' / sqrt(d)) v)."""

    def __init__(self, width: int, inputs: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(inputs, width)
        self.value = nn.Linear(inputs, width)
        self.leave = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, source: Tensor, seen: Tensor | None = None) -> Tensor:
        """Let x (M, Q, W) attend to source (M, S, D) where `seen` (M, 1, 1, S) allows."""
        asked = self.query(x), self.key(source), self.value(source)
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in asked)  # (M, heads, ., d)
        found = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2)
        attended: Tensor = self.norm(x + self.leave(found))
        return attended
