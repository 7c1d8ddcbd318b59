"""Permuted digits: the same digits again and again, each time with the pixels in another order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.data.digits import DigitsData
from locution.data.together import together
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def permuted(pictures: Tensor, order: Tensor) -> Tensor:
    """Put the pixels of pictures (N, ...) into another order (P,), the same for all.

    >>> permuted(torch.tensor([[[1, 2], [3, 4]]]), torch.tensor([3, 0, 1, 2]))
    tensor([[[4, 1], [2, 3]]])
    """
    return pictures.flatten(1)[:, order].view(pictures.shape)


@dataclass(frozen=True)
class PermutedDigitsData:
    """Permuted digits are tasks one after another that are all to read digits, each with the pixels in an order of its
    own.

    The classes stay the same and what they look like changes (domain-incremental learning): one model with one set of
    outputs, which is never told the task. The first task has the pixels as they are. `tasks` counts the tasks; the
    other settings are those of `digits`, and `split` decides the orders too.

    >>> data = PermutedDigitsData(tasks=3).load(seed=0)
    >>> data.describe()
    'permuted digits: 3771 to learn from, 810 to tune on, 810 to be judged by; each (1, 8, 8) -> 10 classes'
    >>> data.tasks["2"].describe()
    'order 2: 1257 to learn from, 270 to tune on, 270 to be judged by; each (1, 8, 8) -> 10 classes'

    Reference: I. Goodfellow et al., 2013, "An empirical investigation of catastrophic forgetting in gradient-based
    neural networks", section 5.1; J. Kirkpatrick et al., 2017, "Overcoming catastrophic forgetting in neural networks".
    """

    tasks: int = 5
    batch_size: int = 32
    development: float = 0.15
    test: float = 0.15
    limit: int = 0
    split: int = 0

    def __post_init__(self) -> None:
        require(self.tasks >= 1, "data.tasks", self.tasks, "a whole number from 1, usually 5")
        self.digits()

    def digits(self) -> DigitsData:
        """The digits as they are."""
        return DigitsData(self.batch_size, self.development, self.test, self.limit, self.split)

    def load(self, seed: int) -> Dataset:
        """Read the digits and permute them; the run's seed has no part in it."""
        data = self.digits().load(seed)
        return together({str(task + 1): self.reordered(data, task) for task in range(self.tasks)}, "permuted digits")

    def reordered(self, data: Dataset, task: int) -> Dataset:
        """Make one task of the digits."""
        draw = generator(self.split, "permuted digits", task)
        order = torch.arange(64) if task == 0 else torch.randperm(64, generator=draw)
        train = data.train
        assert isinstance(train, TensorBatches)
        held = [
            None if part is None else held_out(permuted(part.inputs, order), part.targets)
            for part in (data.development, data.test)
        ]
        batches = TensorBatches(permuted(train.inputs, order), train.targets, batch_size=self.batch_size)
        return replace(data, train=batches, development=held[0], test=held[1], source=f"order {task + 1}")
