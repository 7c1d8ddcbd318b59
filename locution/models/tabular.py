"""A small network for a table, as large as its rows and columns can bear."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from locution.errors import require
from locution.models.accepted import accept
from locution.models.mlp import MLP


def fitting_widths(rows: int, features: int) -> tuple[int, ...]:
    """Choose the hidden layers for so many rows to learn from, of so many numbers each: none for few rows.

    >>> fitting_widths(105, 4), fitting_widths(1000, 12), fitting_widths(20_000, 50)
    ((), (32,), (128, 64))

    """
    if rows < max(300, 5 * features):
        return ()
    if rows < 5000:
        return (32,)
    return (128, 64) if rows < 100_000 else (256, 128)


@dataclass(frozen=True)
class TabularModel:
    """A tabular model answers from the columns of a table: a linear one for few rows, a small perceptron for more.

    `widths` are those of the hidden layers; null chooses them by the number of rows and of numbers a row:
    none below 300 rows, or five for each number; 32 below 5,000; else (128, 64), from 100,000 on (256, 128).
    `dropout` is the share of hidden units left out at random. `rows` is set by the task.

    >>> model = TabularModel(rows=100).build(inputs=(4,), outputs=3)
    >>> [tuple(p.shape) for p in model.parameters()]  # four numbers to three classes, no hidden layer
    [(3, 4), (3,)]

    Reference: Y. Gorishniy, I. Rubachev, V. Khrulkov, A. Babenko, 2021, "Revisiting deep learning models for tabular
    data", section 3.1.
    """

    widths: tuple[int, ...] | None = None
    dropout: float = 0.1
    rows: int = 0

    def __post_init__(self) -> None:
        require(min(self.widths or (1,)) >= 1, "model.widths", self.widths, "whole numbers from 1, or null")
        require(0.0 <= self.dropout < 1.0, "model.dropout", self.dropout, "a share from 0 up to, not with, 1")
        require(self.rows >= 0, "model.rows", self.rows, "a whole number from 0")

    def sized(self, rows: int) -> TabularModel:
        """Tell it how many rows there are to learn from."""
        return replace(self, rows=rows)

    def chosen(self, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """The hidden widths, given or chosen."""
        return fitting_widths(self.rows, math.prod(inputs)) if self.widths is None else self.widths

    def build(self, inputs: tuple[int, ...], outputs: int) -> MLP:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("tabular", inputs, "numbers of any shape, at least one")
        return MLP((math.prod(inputs), *self.chosen(inputs), outputs), dropout=self.dropout)
