"""A batch: the examples that one update learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

Tree = Any  # a tensor, or a dict or tuple of tensors whose first axis counts the examples


def map_tensors(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """Apply a function to every tensor of a tree, whatever its shape.

    >>> map_tensors(lambda t: t + 1, {"a": torch.tensor([1, 2])})
    {'a': tensor([2, 3])}
    """
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_tensors(function, value) for value in tree)
    return tree


def examples(tree: Tree) -> int:
    """Count the examples of a tree of tensors: the length of their first axis."""
    if isinstance(tree, Tensor):
        return len(tree)
    values = tree.values() if isinstance(tree, dict) else tree
    return examples(next(iter(values)))


@dataclass(slots=True)
class Batch:
    """A batch is the handful of examples that the model sees before its weights move once.

    Parameters
    ----------
    inputs: tensor (N, ...), or a dict or tuple of such tensors.
    targets: tensor (N, ...) of classes or values, or None. Methods may turn classes (N,) into
        distributions (N, C); losses take both.
    weights: tensor (N,), or None: how much each example counts in the loss's mean, for instance its
        number of tokens; None counts every example once.
    beside: other examples that come along with these, by name, such as {"unlabelled": (M, ...)}; M need not be N.
    start, starts: the row at which a micro-batch began in the batch it was cut from, and in each of what is beside.

    >>> batch = Batch(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    >>> len(batch), batch.weight()
    (3, 3.0)
    >>> [(len(part), share) for part, share in batch.split(2)]
    [(2, 0.66), (1, 0.33)]

    Reference: L. Bottou, F. Curtis, J. Nocedal, 2018, "Optimization methods for large-scale machine
    learning", section 3.3.
    """

    inputs: Tree
    targets: Tree = None
    weights: Tensor | None = None
    beside: dict[str, Tree] = field(default_factory=dict)
    start: int = 0
    starts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """The batch size is how many examples the model sees before its weights move once.

        >>> len(Batch(torch.zeros(32, 8, 8)))
        32

        Reference: D. Masters, C. Luschi, 2018, "Revisiting small batch training for deep neural networks",
        section 2.
        """
        return examples(self.inputs)

    def weight(self) -> float:
        """Say what the loss of this batch is a mean over: its examples, or their summed weights."""
        return float(len(self)) if self.weights is None else float(self.weights.sum())

    def to(self, device: torch.device) -> Batch:
        """Move every tensor of the batch to a device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=device.type == "cuda")  # elsewhere a copy may come too late

        return replace(
            self,
            inputs=map_tensors(move, self.inputs),
            targets=map_tensors(move, self.targets),
            weights=map_tensors(move, self.weights),
            beside=map_tensors(move, self.beside),
        )

    def rows(self, start: int, stop: int) -> Batch:
        """Take some of the examples, from start up to stop; what is beside comes along whole."""

        def cut(tensor: Tensor) -> Tensor:
            return tensor[start:stop]

        inputs, targets = map_tensors(cut, self.inputs), map_tensors(cut, self.targets)
        weights = map_tensors(cut, self.weights)
        return Batch(inputs, targets, weights, self.beside, self.start + start, self.starts)

    def split(self, parts: int) -> list[tuple[Batch, float]]:
        """Gradient accumulation learns from a batch in parts that fit into memory, then moves the weights once.

        This cuts the batch into micro-batches, each with its share of the loss; the last may be ragged. The
        shares sum to one, so that shares times losses, and so gradients, add up to those of the whole batch.

        >>> batch = Batch(torch.tensor([1.0, 2.0, 6.0]))
        >>> parts = batch.split(2)
        >>> [(part.inputs.tolist(), share) for part, share in parts]
        [([1.0, 2.0], 0.66), ([6.0], 0.33)]
        >>> sum(share * part.inputs.mean() for part, share in parts)  # of all three, no mean of means
        tensor(3.)

        Reference: Y. Huang et al., 2019, "GPipe: efficient training of giant neural networks", section 2.2.
        """
        if parts == 1:
            return [(self, 1.0)]
        count = len(self)
        size = -(-count // parts)
        pieces = [self.rows(start, min(start + size, count)) for start in range(0, count, size)]
        if self.beside:
            pieces = [replace(piece, **along(self, at, len(pieces))) for at, piece in enumerate(pieces)]
        total = self.weight()
        return [(piece, piece.weight() / total) for piece in pieces]

    def with_targets(self, targets: Tree) -> Batch:
        """Return the same examples with other targets."""
        return replace(self, targets=targets)


def along(batch: Batch, at: int, pieces: int) -> dict[str, Any]:
    """Cut out what comes beside one of several pieces of a batch, as even as can be; it may be no row at all.

    >>> batch = Batch(torch.zeros(4), beside={"unlabelled": torch.tensor([1, 2, 3])})
    >>> [piece.beside["unlabelled"].tolist() for piece, _ in batch.split(2)]
    [[1, 2], [3]]
    """
    beside, starts = {}, {}
    for name, tree in batch.beside.items():
        size = -(-examples(tree) // pieces)

        def cut(tensor: Tensor, first: int = at * size, last: int = (at + 1) * size) -> Tensor:
            return tensor[first:last]

        beside[name] = map_tensors(cut, tree)
        starts[name] = batch.starts.get(name, 0) + min(at * size, examples(tree))
    return {"beside": beside, "starts": starts}


def as_batch(item: Any) -> Batch:
    """Take a batch as anyone's own loader hands it over: a Batch, a pair (inputs, targets), or inputs alone."""
    if isinstance(item, Batch):
        return item
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return Batch(item[0], item[1])
    return Batch(item)
