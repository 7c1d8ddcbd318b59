"""A transformer for sequences of numbers: it reads them whole and answers once, or at each place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from locution.errors import require
from locution.models.accepted import accept
from locution.models.mlp import fully_connected
from locution.models.transformer import POSITIONS, Positions, Transformer, begin

Reads = Literal["mean", "last", "all"]
READS = ("mean", "last", "all")


class SequenceTransformer(nn.Module):
    """A transformer for sequences of numbers has a layer before its blocks, and one behind that answers.

    Parameters
    ----------
    features: numbers a place. outputs: numbers of an answer. blocks: what reads. reads: "mean" answers once, from the
    mean over all places: (N, outputs); "last" from the last place; "all" at each place: (N, T, outputs).

    Shapes: inputs (N, T, features), or (N, 1, T, features): the rows of pictures.

    >>> import torch
    >>> SequenceTransformer(3, 2, Transformer(8, layers=1, heads=2))(torch.zeros(5, 30, 3)).shape
    torch.Size([5, 2])

    Reference: A. Vaswani et al., 2017, "Attention is all you need", section 3.
    """

    def __init__(self, features: int, outputs: int, blocks: Transformer, reads: Reads = "mean") -> None:
        super().__init__()
        self.entry, self.blocks, self.reads = nn.Linear(features, blocks.width), blocks, reads
        self.head = fully_connected(blocks.width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Read (N, T, F) whole, and answer."""
        x = self.blocks(self.entry(x.squeeze(1) if x.dim() == 4 else x))  # (N, T, width)
        answer: Tensor = self.head(x if self.reads == "all" else x.mean(1) if self.reads == "mean" else x[:, -1])
        return answer


@dataclass(frozen=True)
class TransformerModel:
    """A transformer reads a whole sequence at once: in block after block each place looks at the others.

    The data say how many places (T, F) an example has, or rows and columns (1, T, F), and how many numbers an answer.
    `width`, `layers`, `heads`, `positions` and `dropout` are those of `Transformer`; with learned positions it reads no
    more than T places. `reads` is that of `SequenceTransformer`; with `causal` no place sees a later one.

    >>> import torch
    >>> model = TransformerModel(width=8, heads=2).build(inputs=(30, 3), outputs=1)
    >>> model(torch.zeros(5, 30, 3)).shape
    torch.Size([5, 1])

    Reference: A. Vaswani et al., 2017, "Attention is all you need", section 3.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    positions: Positions = "learned"
    causal: bool = False
    reads: Reads = "mean"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self.width, self.layers, self.heads, self.positions, self.dropout)
        require(self.reads in READS, "model.reads", self.reads, ", ".join(READS))

    def build(self, inputs: tuple[int, ...], outputs: int) -> SequenceTransformer:
        """Make the network; its first weights are drawn from torch's own generator."""
        shape = inputs[1:] if len(inputs) == 3 and inputs[0] == 1 else inputs
        taken = [len(inputs)] if len(shape) == 2 else []
        accept("transformer", inputs, "(T, F), places and numbers a place, or pictures (1, T, F)", taken)
        blocks = Transformer(
            self.width,
            self.layers,
            self.heads,
            causal=self.causal,
            positions=self.positions,
            context=shape[0],
            dropout=self.dropout,
        )
        begin(blocks)
        return SequenceTransformer(shape[1], outputs, blocks, self.reads)


def check_sizes(width: int, layers: int, heads: int, positions: str, dropout: float) -> None:
    """Refuse settings of which no transformer can be made.

    >>> check_sizes(10, 2, 4, "none", 0.0)
    Traceback (most recent call last):
    locution.errors.UserError: model.width is 10; allowed: a multiple of model.heads, 4.
    """
    require(layers >= 1, "model.layers", layers, "a whole number from 1")
    require(heads >= 1, "model.heads", heads, "a whole number from 1")
    require(width >= 1 and width % heads == 0, "model.width", width, f"a multiple of model.heads, {heads}")
    require(positions in POSITIONS, "model.positions", positions, ", ".join(POSITIONS))
    even = positions != "rotary" or width // heads % 2 == 0
    require(even, "model.width", width, f"an even multiple of model.heads, {heads}, with rotary positions")
    require(0.0 <= dropout < 1.0, "model.dropout", dropout, "a share from 0 up to, not with, 1")
