"""What a data part hands over: examples to learn from, to tune on and to be judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from locution.engine.batch import Batch, examples
from locution.engine.batches import Batches, TensorBatches
from locution.engine.random import generator
from locution.errors import require


@dataclass(frozen=True)
class Dataset:
    """A dataset is the examples of a task, in three parts that share none: to learn from, to tune on, to be
    judged by.

    Parameters
    ----------
    train: what training goes through. development, test: held out, in order, or None where there are none.
    inputs: the shape of one example's input. outputs: how many numbers the model should put out. labels: the
    names of the classes, in order; empty where targets are values. source: where the examples come from. others: more
    held-out examples by name, of another domain or kind, on which a model is judged besides. notes, warnings: what was
    decided while the data were read, and what a reader of the figures must know, a line each. reader: makes an input of
    what a user hands over, where the data have a way of their own. sizes: settings of the model that only data know.
    tasks: where the examples are of several tasks, each of these alone, by name and in the order in which they come.
    factors: where targets (N, K) number the known causes of each example, the names of these.

    >>> x = torch.zeros(4, 2)
    >>> data = Dataset(TensorBatches(x, torch.zeros(4, 1)), inputs=(2,), outputs=1, source="zeros")
    >>> data.describe()
    'zeros: 4 to learn from; each (2,) -> 1 number'

    Reference: B. Ripley, 1996, "Pattern recognition and neural networks", glossary (training, validation,
    test set).
    """

    train: Batches
    development: TensorBatches | None = None
    test: TensorBatches | None = None
    inputs: tuple[int, ...] = (1,)
    outputs: int = 1
    labels: tuple[str, ...] = ()
    source: str = ""
    others: dict[str, TensorBatches] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reader: Any = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Dataset] = field(default_factory=dict)
    factors: tuple[str, ...] = ()

    @property
    def classes(self) -> int | None:
        """Count the classes, or None where targets are values."""
        return len(self.labels) or None

    def describe(self) -> str:
        """Say in one line what there is."""
        parts = []
        if isinstance(self.train, Sized):
            parts.append(f"{len(self.train)} to learn from")
        if self.development is not None:
            parts.append(f"{len(self.development)} to tune on")
        if self.test is not None:
            parts.append(f"{len(self.test)} to be judged by")
        kind = "class" if self.labels else "number"
        plural = "" if self.outputs == 1 else "es" if self.labels else "s"
        head = f"{self.source}: " if self.source else ""
        return f"{head}{', '.join(parts)}; each {self.inputs} -> {self.outputs} {kind}{plural}"


def held_out(inputs: Any, targets: Any, batch_size: int = 1024) -> TensorBatches | None:
    """Keep held-out examples in their order, in large batches; None where there are none."""
    return TensorBatches(inputs, targets, batch_size=batch_size, shuffle=False) if examples(inputs) else None


def steps_per_epoch(count: int, batch_size: int) -> int:
    """An epoch is one pass through all the training examples, each seen once; this counts the steps it takes.

    The last batch may be smaller: it is learnt from too.

    >>> steps_per_epoch(1000, batch_size=32)  # 31 batches of 32, and one of 8
    32

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", section 8.1.3.
    """
    require(batch_size >= 1, "batch_size", batch_size, "a whole number from 1")
    return -(-count // batch_size)


def check_shares(development: float, test: float) -> None:
    """Refuse shares to hold out that are none, or that leave nothing to learn from.

    >>> check_shares(0.6, 0.5)
    Traceback (most recent call last):
    locution.errors.UserError: data.development + data.test is 1.1; allowed: less than 1, so that ...
    """
    for name, share in (("development", development), ("test", test)):
        require(0.0 <= share < 1.0, f"data.{name}", share, "a share from 0 up to, not with, 1")
    held = development + test
    require(held < 1.0, "data.development + data.test", held, "less than 1, so that something is left to learn from")


def stratified_split(classes: Tensor, shares: tuple[float, ...], seed: int) -> list[Tensor]:
    """A stratified split cuts examples into parts at random, with each class in each part by the same share.

    Parameters
    ----------
    classes: (N,), the class of each example. shares: of the parts after the first, which takes the rest.

    Returns the indices of each part, in rising order. The same seed gives the same parts.

    >>> classes = torch.tensor([0] * 10 + [1] * 20)
    >>> rest, test = stratified_split(classes, (0.2,), seed=0)
    >>> len(rest), len(test), classes[test].tolist()
    (24, 6, [0, 0, 1, 1, 1, 1])

    Reference: R. Kohavi, 1995, "A study of cross-validation and bootstrap for accuracy estimation and model
    selection".
    """
    fine = all(0.0 <= share < 1.0 for share in shares) and sum(shares) < 1.0
    require(fine, "shares", shares, "shares from 0 that leave something over for training")
    names = sorted(set(classes.tolist()))
    left = []
    for name in names:
        members = (classes == name).nonzero().flatten()
        left.append(members[torch.randperm(len(members), generator=generator(seed, "split", name))])
    sizes = [len(members) for members in left]
    parts = []
    for share in shares:
        counts = apportion(sizes, share)
        parts.append(torch.cat([members[:count] for members, count in zip(left, counts, strict=True)]))
        left = [members[count:] for members, count in zip(left, counts, strict=True)]
    return [part.sort().values for part in (torch.cat(left), *parts)]


def apportion(sizes: Sequence[int], share: float) -> list[int]:
    """Take a share of each group so that the whole is the share of all, rounded: the largest remainders round
    up.

    >>> apportion([3, 3, 4], 0.5)  # 1.5, 1.5, 2: five in all
    [2, 1, 2]
    """
    exact = [share * size for size in sizes]
    counts = [int(part + 1e-9) for part in exact]
    missing = round(share * sum(sizes)) - sum(counts)
    order = sorted(range(len(sizes)), key=lambda group: counts[group] - exact[group])
    for group in order[: max(0, missing)]:
        counts[group] += 1
    return counts


def first_batch(data: Dataset, seed: int = 0) -> Batch:
    """Take the first batch that training would see, to look at or to trace a model with."""
    return next(data.train.epoch(0, seed))
