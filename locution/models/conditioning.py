"""What a noise-prediction network is told beside its input: how much noise there is, and what it should become."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from locution.errors import UserError

FREQUENCIES = 32  # sines, and as many cosines
NOTHING = -1  # the class of an example of which no class is told


def time_embedding(time: Tensor, frequencies: int = FREQUENCIES) -> Tensor:
    """A sinusoidal embedding writes a number as sines and cosines of it, from slow to fast, which a network can tell.

    time: (N,), from 0 to 1. Returns (N, 2 x frequencies).

    >>> time_embedding(torch.tensor([0.0]), 2)  # sin 0, sin 0, cos 0, cos 0
    tensor([[0., 0., 1., 1.]])

    Reference: A. Vaswani et al., 2017, "Attention is all you need", section 3.5, with times of a thousand steps.
    """
    rates = torch.exp(-math.log(10_000) * torch.arange(frequencies, device=time.device) / frequencies)  # (F,)
    angles = 1000 * time.float()[:, None] * rates  # (N, F)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Conditioning(nn.Module):
    """Conditioning makes one vector of the time, and of the class where one is told, for all layers to read.

    Parameters
    ----------
    width: of the vector. classes: how many there are; 0 for a network that is told none.

    Shapes: time (N,) from 0 to 1; label None, (N,) whole numbers of which -1 tells nothing, or shares (N, classes) that
    sum to at most 1; the vector (N, width).

    >>> _ = torch.manual_seed(0)
    >>> told = Conditioning(8, classes=3)
    >>> time = torch.tensor([0.5])
    >>> torch.equal(told(time, torch.tensor([2])), told(time, torch.tensor([[0.0, 0.0, 1.0]])))
    True
    >>> torch.equal(told(time, torch.tensor([-1])), told(time, None))
    True

    Reference: J. Ho, T. Salimans, 2022, "Classifier-free diffusion guidance", section 3.2 (one network for both).
    """

    def __init__(self, width: int, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None  # the last row: nothing is told

    def forward(self, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Make the vector."""
        vector: Tensor = self.time(time_embedding(time).to(next(self.parameters()).dtype))
        if self.label is None:
            if label is not None:
                raise UserError("a class is told to a network without classes; allowed: none, or model.conditional.")
            return vector
        return vector + self.told(len(time), label)

    def told(self, count: int, label: Tensor | None) -> Tensor:
        """Look up the vector of each example's class."""
        assert self.label is not None
        table = self.label.weight  # (C + 1, width)
        if label is None:
            return table[-1].expand(count, -1)
        if label.is_floating_point():
            rest = 1 - label.sum(1, keepdim=True)
            return torch.cat([label, rest], 1).to(table.dtype) @ table
        found: Tensor = self.label(torch.where(label == NOTHING, self.classes, label))
        return found
