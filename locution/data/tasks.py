"""Batches of tasks: each example of a batch is a small problem of its own, drawn anew in every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from locution.engine.batch import Batch
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require

Draw = Callable[[int, torch.Generator], Batch]  # how many tasks, a random stream -> a batch of tasks


class TaskBatches:
    """Tasks without end: each step draws new ones from a stream that seed, epoch and step alone decide.

    Parameters
    ----------
    draw: makes so many tasks from a random stream. tasks: how many a batch. length: batches that count as an epoch.

    >>> def draw(tasks, stream): return Batch({"query": torch.rand(tasks, 1, generator=stream)})
    >>> source = TaskBatches(draw, tasks=2, length=3)
    >>> whole, later = list(source.epoch(0, seed=0)), list(source.epoch(0, seed=0, skip=2))
    >>> len(whole), len(whole[0]), torch.equal(whole[2].inputs["query"], later[0].inputs["query"])
    (3, 2, True)
    """

    def __init__(self, draw: Draw, tasks: int, length: int) -> None:
        require(length >= 1, "data.length", length, "a whole number from 1")
        self.draw, self.tasks, self.length = draw, tasks, length

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return self.length

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Draw the batches of one epoch, leaving out the first `skip`."""
        for step in range(skip, self.length):
            yield self.draw(self.tasks, generator(seed, "data", number, step))


def fixed_tasks(draw: Draw, count: int, seed: int, part: str) -> TensorBatches:
    """Draw tasks that stay: the same for every run, so that all are judged by the same."""
    batch = draw(count, generator(seed, part))
    return TensorBatches(batch.inputs, batch.targets, batch_size=count, shuffle=False)
