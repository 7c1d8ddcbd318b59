"""Where batches come from: tensors in memory, or anyone's own loader."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from locution.engine.batch import Batch, Tree, as_batch, examples, map_tensors
from locution.engine.beside import dealt
from locution.engine.random import generator, reseed, stream_key
from locution.errors import UserError, require


@runtime_checkable
class Batches(Protocol):
    """A source of batches that can start any epoch afresh: the same number and seed give the same batches."""

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through one epoch, leaving out the first `skip` batches."""
        ...

    def steps(self) -> int | None:
        """Count the batches of an epoch, or say None where nobody can know."""
        ...


@runtime_checkable
class Placeable(Batches, Protocol):
    """A source whose data lie in memory and can be moved to the device once."""

    def to(self, device: torch.device) -> Batches:
        """Move the data to the device."""
        ...


class TensorBatches:
    """Tensors in memory, permuted once an epoch and split, never collated one by one.

    Parameters
    ----------
    inputs, targets: tensors (N, ...), or dicts or tuples of them. batch_size: examples a batch; the last batch of an
    epoch may be smaller. shuffle: permute each epoch, by the seed and the epoch's number alone. beside: other examples
    by name, such as {"unlabelled": (M, ...)}; each batch gets `beside_size` of them (batch_size, if it is not said),
    shuffled by a stream of their own, going round. difficulty: (N,), how hard each example is, for a curriculum.

    >>> data = TensorBatches(torch.arange(5), torch.arange(5), batch_size=2)
    >>> [len(batch) for batch in data.epoch(0, seed=0)]
    [2, 2, 1]
    >>> torch.equal(next(data.epoch(1, seed=0)).inputs, next(data.epoch(1, seed=0)).inputs)
    True
    """

    def __init__(
        self,
        inputs: Tree,
        targets: Tree = None,
        *,
        weights: Tensor | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        beside: dict[str, Tree] | None = None,
        beside_size: int | None = None,
        difficulty: Tensor | None = None,
    ) -> None:
        require(batch_size >= 1, "data.batch_size", batch_size, "a whole number from 1")
        size = batch_size if beside_size is None else beside_size
        require(size >= 1, "data.beside_size", size, "a whole number from 1")
        empty = [name for name, tree in (beside or {}).items() if not examples(tree)]
        if empty:
            raise UserError(f"beside['{empty[0]}'] holds no example; allowed: at least one.")
        self.inputs, self.targets, self.weights = inputs, targets, weights
        self.batch_size, self.shuffle, self.difficulty = batch_size, shuffle, difficulty
        self.beside, self.beside_size = beside or {}, size

    def __len__(self) -> int:
        return examples(self.inputs)

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return -(-len(self) // self.batch_size)

    def to(self, device: torch.device) -> TensorBatches:
        """Move the data to the device once, where it fits, so that no step waits for a copy."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device)

        return TensorBatches(
            map_tensors(move, self.inputs),
            map_tensors(move, self.targets),
            weights=map_tensors(move, self.weights),
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            beside=map_tensors(move, self.beside),
            beside_size=self.beside_size,
            difficulty=self.difficulty,
        )

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Permute everything once, then hand out slices, and beside each what is dealt out with it."""
        batches = self.slices(number, seed, skip)
        if not self.beside:
            return batches
        return dealt(batches, self.beside, self.beside_size, number, seed, skip)

    def slices(self, number: int, seed: int, skip: int) -> Iterator[Batch]:
        """Permute everything once, then hand out slices."""
        trees = (self.inputs, self.targets, self.weights)
        if self.shuffle:
            order = torch.randperm(len(self), generator=generator(seed, "data", number))

            def permute(tensor: Tensor) -> Tensor:
                return tensor.index_select(0, order.to(tensor.device))

            trees = tuple(map_tensors(permute, tree) for tree in trees)
        if all(tree is None or isinstance(tree, Tensor) for tree in trees):
            size = self.batch_size
            columns = (itertools.repeat(None) if tree is None else tree.split(size) for tree in trees)
            rows = itertools.islice(zip(*columns, strict=False), skip, None)
            return itertools.starmap(Batch, rows)
        whole = Batch(*trees)
        starts = range(skip * self.batch_size, len(self), self.batch_size)
        pieces = (whole.rows(start, min(start + self.batch_size, len(self))) for start in starts)
        return (replace(piece, start=0) for piece in pieces)  # each is a whole batch, and no part of one


class LoaderBatches:
    """Anyone's own loader: a DataLoader, a list of pairs, any iterable that can be gone through again.

    torch's own generator is set from the data stream before each item is drawn, so that a loader that shuffles or
    augments with it repeats its epochs exactly. `skip` draws and drops what was already learnt from.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader

    def steps(self) -> int | None:
        """Count the batches of an epoch if the loader can."""
        try:
            return len(self.loader)  # type: ignore[arg-type]
        except TypeError:
            return None

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through the loader once."""
        host = torch.device("cpu")
        reseed(stream_key(seed, "data", number), host)
        items = iter(self.loader)
        for index in itertools.count():
            reseed(stream_key(seed, "data", number, index), host)
            try:
                item = next(items)
            except StopIteration:
                return
            if index >= skip:
                yield as_batch(item)


def placed(source: Batches, device: torch.device) -> Batches:
    """Put data that lie in memory onto the device once, if it has room for them."""
    if device.type == "cpu" or not isinstance(source, Placeable):
        return source
    try:
        return source.to(device)
    except torch.OutOfMemoryError:
        return source


def as_batches(source: Any) -> Batches:
    """Take a source that can start epochs as it is, and put a face on any other iterable."""
    return source if isinstance(source, Batches) else LoaderBatches(source)
