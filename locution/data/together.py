"""Several tasks as one dataset: all of them together, and each alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches


def together(tasks: Mapping[str, Dataset], source: str) -> Dataset:
    """Put the datasets of several tasks into one, which holds the examples of all, and each task alone in `tasks`.

    Trained on all at once it shows what could be learnt if nothing came one after another.

    >>> one, other = (Dataset(TensorBatches(torch.full((n, 1), n))) for n in (2, 3))
    >>> both = together({"a": one, "b": other}, "two tasks")
    >>> both.describe(), list(both.tasks)
    ('two tasks: 5 to learn from; each (1,) -> 1 number', ['a', 'b'])
    """
    every = list(tasks.values())
    train = joined([task.train for task in every])
    assert train is not None
    held = [joined([getattr(task, part) for task in every]) for part in ("development", "test")]
    parts = [None if one is None else held_out(one.inputs, one.targets) for one in held]
    return replace(every[0], train=train, development=parts[0], test=parts[1], source=source, tasks=dict(tasks))


def joined(parts: Sequence[object]) -> TensorBatches | None:
    """Join batches into one source; None where a part is missing."""
    if not all(isinstance(part, TensorBatches) for part in parts):
        return None
    every = [part for part in parts if isinstance(part, TensorBatches)]
    inputs = torch.cat([part.inputs for part in every])
    targets = None if every[0].targets is None else torch.cat([part.targets for part in every])
    return TensorBatches(inputs, targets, batch_size=every[0].batch_size)
