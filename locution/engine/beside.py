"""What comes beside a batch: other examples, dealt out by a stream of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from locution.engine.batch import Batch, Tree, examples, map_tensors
from locution.engine.random import generator


@lru_cache(maxsize=8)  # a round lasts for many steps
def order(count: int, seed: int, name: str, epoch: int, turn: int) -> Tensor:
    """Shuffle one round of what comes beside."""
    return torch.randperm(count, generator=generator(seed, f"beside {name}", epoch, turn))


def rows_of(count: int, start: int, size: int, key: tuple[int, str, int]) -> Tensor:
    """List which of `count` examples come at the places from `start`, going round, each round in an order of its own.

    key: seed, name and epoch, which decide the orders. Every example comes once before any comes twice.

    >>> sorted(rows_of(4, 0, 4, (0, "unlabelled", 0)).tolist())
    [0, 1, 2, 3]
    >>> len(set(rows_of(4, 2, 6, (0, "unlabelled", 0)).tolist()[2:]))  # the second round begins behind two
    4
    """
    seed, name, epoch = key
    places = torch.arange(start, start + size)
    rounds = range(start // count, (start + size - 1) // count + 1)
    return torch.cat([order(count, seed, name, epoch, turn) for turn in rounds])[places - rounds[0] * count]


def dealt(
    batches: Iterator[Batch], beside: dict[str, Tree], size: int, number: int, seed: int, skip: int
) -> Iterator[Batch]:
    """Put so many of the other examples beside each batch of an epoch.

    >>> one, other = dealt(iter([Batch(torch.zeros(2)), Batch(torch.zeros(2))]), {"a": torch.arange(2)}, 1, 0, 0, 0)
    >>> sorted(one.beside["a"].tolist() + other.beside["a"].tolist())
    [0, 1]
    """
    for place, batch in enumerate(batches, start=skip):
        along = {}
        for name, tree in beside.items():
            rows = rows_of(examples(tree), place * size, size, (seed, name, number))

            def pick(tensor: Tensor, rows: Tensor = rows) -> Tensor:
                return tensor.index_select(0, rows.to(tensor.device))

            along[name] = map_tensors(pick, tree)
        yield replace(batch, beside=along)
