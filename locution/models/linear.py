"""The smallest model: a straight line, one weight and one bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Line(nn.Module):
    """A model is a function with numbers inside it, its parameters, that training moves.

    This is the smallest: y = w x + b, one weight and one bias, both from 0. Shapes: inputs (N, 1) or (N,),
    outputs the same.

    >>> line = Line()
    >>> _ = line.w.data.fill_(2.0), line.b.data.fill_(1.0)
    >>> line(torch.tensor([[10.0]])).item()
    21.0

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", section
    2.6.
    """

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))
        self.b = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute w x + b for each number that comes in."""
        return self.w * inputs + self.b


@dataclass(frozen=True)
class LineModel:
    """A linear model multiplies what comes in by weights and adds a bias; of one number it makes a line, w x
    + b.

    `build` takes the shape of one example and the number of outputs, as every model part does. Both start at
    0.

    >>> model = LineModel().build((1,), 1)
    >>> model(torch.tensor([[3.0]])).item()  # 0 x 3 + 0
    0.0

    Reference: A.-M. Legendre, 1805, "Nouvelles methodes pour la determination des orbites des cometes",
    appendix.
    """

    def build(self, inputs: tuple[int, ...], outputs: int) -> Line:
        """Make the line; it reads single numbers and answers with single numbers, whatever the shape around
        them.
        """
        return Line()
