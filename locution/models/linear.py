"""The smallest model: a straight line, one weight and one bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Line(nn.Module):
    """A linear model says y = w x + b: it multiplies what comes in by a weight and adds a bias, both from 0.

    Shapes: inputs (N, 1) or (N,), outputs the same.

    >>> line = Line()
    >>> _ = line.w.data.fill_(2.0), line.b.data.fill_(1.0)
    >>> line(torch.tensor([[10.0]])).item()
    21.0

    Reference: A.-M. Legendre, 1805, "Nouvelles methodes pour la determination des orbites des cometes",
    appendix.
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
    """A model is a function with numbers inside it, its parameters, that training moves; this one is y = w x
    + b.

    `build` takes the shape of one example and the number of outputs, as every model part does.

    >>> model = LineModel().build((1,), 1)
    >>> model(torch.tensor([[3.0]])).item()  # 0 x 3 + 0
    0.0

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", section
    2.3.
    """

    def build(self, inputs: tuple[int, ...], outputs: int) -> Line:
        """Make the line; it reads single numbers and answers with single numbers, whatever the shape around
        them.
        """
        return Line()
