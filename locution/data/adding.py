"""The adding problem: two marked numbers of a long sequence must be remembered and added."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def adding_problem(count: int, length: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences of the adding problem: inputs (count, length, 2), and the sums (count, 1).

    At each moment a number from 0 to 1 comes with a mark, 0 or 1; one number of the first half and one of the second
    are marked.

    >>> inputs, sums = adding_problem(1, 4, torch.Generator().manual_seed(0))
    >>> inputs[0]
    tensor([[0.4963, 0.0000],
            [0.7682, 1.0000],
            [0.0885, 0.0000],
            [0.1320, 1.0000]])
    >>> sums
    tensor([[0.9003]])
    """
    numbers = torch.rand(count, length, generator=stream)
    half = length // 2
    first = torch.randint(0, half, (count, 1), generator=stream)
    second = torch.randint(half, length, (count, 1), generator=stream)
    marks = torch.zeros(count, length).scatter_(1, first, 1.0).scatter_(1, second, 1.0)
    return torch.stack([numbers, marks], -1), (numbers * marks).sum(1, keepdim=True)  # (N, T, 2), (N, 1)


@dataclass(frozen=True)
class AddingData:
    """The adding problem asks for the sum of the two numbers of a sequence that are marked, far apart from each other.

    Inputs are (N, length, 2): a number from 0 to 1 and its mark; targets (N, 1). Who always says 1, the mean, has a
    mean squared error of 1/6 = 0.167; to do better a network must carry the first number to the end. Half of the
    sequence holds one mark, the other half the other. `train`, `development` and `test` are numbers of sequences;
    `split` is the seed that they are drawn from, apart from the run's own.

    >>> AddingData(length=30, train=100, development=10, test=10).load(seed=0).describe()
    'adding problem: 100 to learn from, 10 to tune on, 10 to be judged by; each (30, 2) -> 1 number'

    Reference: S. Hochreiter, J. Schmidhuber, 1997, "Long short-term memory", section 5.4; in this form, of a fixed
    length: Q. Le, N. Jaitly, G. Hinton, 2015, "A simple way to initialize recurrent networks of rectified linear
    units", section 4.1.
    """

    length: int = 50
    train: int = 5000
    development: int = 500
    test: int = 1000
    batch_size: int = 50
    split: int = 0

    def __post_init__(self) -> None:
        require(self.length >= 2, "data.length", self.length, "a whole number from 2")
        require(self.train >= 1, "data.train", self.train, "a whole number from 1")
        for name in ("development", "test"):
            require(getattr(self, name) >= 0, f"data.{name}", getattr(self, name), "a whole number from 0")
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")

    def load(self, seed: int) -> Dataset:
        """Draw the sequences; the run's seed has no part in it."""
        parts = [
            adding_problem(count, self.length, generator(self.split, f"adding {name}"))
            for name, count in (("train", self.train), ("development", self.development), ("test", self.test))
        ]
        return Dataset(
            TensorBatches(*parts[0], batch_size=self.batch_size),
            held_out(*parts[1]),
            held_out(*parts[2]),
            inputs=(self.length, 2),
            outputs=1,
            source="adding problem",
        )
