"""Waves: many small tasks of one family, known by their number, with a few noisy points of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.data.sinusoids import sinusoid
from locution.engine import TensorBatches
from locution.engine.random import generator
from locution.errors import require

HEIGHTS, SHIFTS, PLACES = (0.5, 2.0), (0.0, 2 * math.pi), (-3.0, 3.0)


def between(low: float, high: float, shape: tuple[int, ...], stream: torch.Generator) -> Tensor:
    """Draw numbers evenly from low to high."""
    return low + (high - low) * torch.rand(shape, generator=stream)


@dataclass(frozen=True)
class WavesData:
    """Multi-task learning learns many tasks at once, so that what they have in common is learnt from all of them.

    Here each of `tasks` is a wave of its own height (0.5 to 2) and shift, of which `points` are known, with noise of
    spread `noise`; it is judged at 50 others, without noise. An example says of which task it is. `draw` says which
    waves; the run's seed does not change them.

    >>> data = WavesData(tasks=3, points=5).load(seed=0)
    >>> {name: tuple(part.shape) for name, part in data.train.inputs.items()}
    {'task': (15,), 'x': (15, 1)}

    Reference: R. Caruana, 1997, "Multitask learning", section 1.
    """

    tasks: int = 100
    points: int = 8
    noise: float = 0.1
    batch_size: int = 64
    draw: int = 0

    def __post_init__(self) -> None:
        require(self.tasks >= 1, "data.tasks", self.tasks, "a whole number from 1")
        require(self.points >= 1, "data.points", self.points, "a whole number from 1")
        require(self.noise >= 0, "data.noise", self.noise, "a number from 0")
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")

    def load(self, seed: int) -> Dataset:
        """Draw the waves, and points of each."""
        stream = generator(self.draw, "waves")
        height, shift = (between(*ends, (self.tasks, 1), stream) for ends in (HEIGHTS, SHIFTS))
        parts = []
        for count, noise in ((50, 0.0), (self.points, self.noise)):
            x = between(*PLACES, (self.tasks, count), stream)
            y = sinusoid(x, height, shift) + noise * torch.randn(x.shape, generator=stream)
            task = torch.arange(self.tasks).repeat_interleave(count)
            parts.append(({"task": task, "x": x.reshape(-1, 1)}, y.reshape(-1, 1)))
        test, train = parts
        return Dataset(
            TensorBatches(*train, batch_size=self.batch_size),
            test=held_out(*test),
            source=f"{self.tasks} waves, {self.points} points of each",
            sizes={"tasks": self.tasks},
        )
