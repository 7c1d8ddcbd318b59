"""Sinusoids: each task is a wave of its own height and shift, of which a few points are shown."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.data.tasks import TaskBatches, fixed_tasks
from locution.engine.batch import Batch
from locution.errors import require

HEIGHTS, SHIFTS, PLACES = (0.1, 5.0), (0.0, math.pi), (-5.0, 5.0)


def sinusoid(x: Tensor, height: Tensor, shift: Tensor) -> Tensor:
    """Follow a wave of a height and a shift: height * sin(x - shift).

    >>> sinusoid(torch.tensor([math.pi]), torch.tensor([2.0]), torch.tensor([math.pi / 2]))
    tensor([2.])
    """
    return height * torch.sin(x - shift)


def draw_sinusoids(tasks: int, support: int, query: int, stream: torch.Generator) -> Batch:
    """Draw waves, and points of each: inputs "support", "answers" (T, K, 1) and "query" (T, Q, 1), targets (T, Q, 1).

    >>> batch = draw_sinusoids(3, 10, 5, torch.Generator().manual_seed(0))
    >>> {name: tuple(part.shape) for name, part in batch.inputs.items()}, tuple(batch.targets.shape)
    ({'support': (3, 10, 1), 'answers': (3, 10, 1), 'query': (3, 5, 1)}, (3, 5, 1))
    """

    def uniform(between: tuple[float, float], *shape: int) -> Tensor:
        low, high = between
        return low + (high - low) * torch.rand(shape, generator=stream)

    height, shift = uniform(HEIGHTS, tasks, 1, 1), uniform(SHIFTS, tasks, 1, 1)
    x = uniform(PLACES, tasks, support + query, 1)  # (T, K + Q, 1)
    y = sinusoid(x, height, shift)
    parts = {"support": x[:, :support], "answers": y[:, :support], "query": x[:, support:]}
    return Batch(parts, y[:, support:])


@dataclass(frozen=True)
class SinusoidsData:
    """Sinusoids are small regression tasks: each a wave between -5 and 5 of its own height (0.1 to 5) and shift (0 to
    pi).

    `tasks` a batch, drawn without end; of each, `support` points are shown with their values, and the values of
    `query` others are asked for. `length` batches count as an epoch. `development` and `test` count the tasks held
    out, which are the same in every run.

    >>> SinusoidsData(development=10, test=20).load(seed=0).describe()
    'waves without end: 10 to tune on, 20 to be judged by; each (1,) -> 1 number'

    Reference: C. Finn, P. Abbeel, S. Levine, 2017, "Model-agnostic meta-learning for fast adaptation of deep
    networks", section 5.1.
    """

    tasks: int = 25
    support: int = 10
    query: int = 10
    length: int = 100
    development: int = 200
    test: int = 600

    def __post_init__(self) -> None:
        for name in ("tasks", "support", "query", "length", "development", "test"):
            require(getattr(self, name) >= 1, f"data.{name}", getattr(self, name), "a whole number from 1")

    def draw(self, tasks: int, stream: torch.Generator) -> Batch:
        """Draw so many tasks."""
        return draw_sinusoids(tasks, self.support, self.query, stream)

    def load(self, seed: int) -> Dataset:
        """Draw the tasks held out; the run's seed has no part in them. A held-out task asks for 100 values."""

        def held(tasks: int, stream: torch.Generator) -> Batch:
            return draw_sinusoids(tasks, self.support, 100, stream)

        return Dataset(
            TaskBatches(self.draw, self.tasks, self.length),
            fixed_tasks(held, self.development, 0, "development tasks"),
            fixed_tasks(held, self.test, 0, "test tasks"),
            inputs=(1,),
            outputs=1,
            source="waves without end",
        )
