"""Handwritten digits, the real ones that come with scikit-learn: nothing to download."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, check_shares, held_out, stratified_split
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def read_digits() -> tuple[Tensor, Tensor]:
    """Read scikit-learn's handwritten digits: pictures (1797, 1, 8, 8) from 0 (white) to 1 (ink), classes (1797,).

    >>> pictures, digits = read_digits()
    >>> tuple(pictures.shape), digits[:4].tolist()
    ((1797, 1, 8, 8), [0, 1, 2, 3])
    """
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    inputs = torch.as_tensor(pixels, dtype=torch.float32).div(16).view(-1, 1, 8, 8)  # (N, 64) -> (N, 1, 8, 8)
    return inputs, torch.as_tensor(digits, dtype=torch.int64)


@dataclass(frozen=True)
class DigitsData:
    """Handwritten digits: 1797 grey pictures of 8 x 8 pixels of the digits 0 to 9, written by 13 people.

    Inputs are (N, 1, 8, 8) from 0 (white) to 1 (ink), targets are classes (N,). `development` and `test` are
    the shares held out, each class by the same share; `split` is the seed that chooses them, apart from the
    run's own, so that runs of any seed are judged by the same pictures. `limit` keeps only so many examples
    to learn from (0 keeps all), again each class by the same share; `per_class` keeps so many of each class
    instead. `classes` leaves only some of the digits, in training and in what a run is judged by.

    >>> data = DigitsData(batch_size=64).load(seed=0)
    >>> data.describe()
    'digits: 1257 to learn from, 270 to tune on, 270 to be judged by; each (1, 8, 8) -> 10 classes'

    >>> DigitsData(classes=(5, 6, 7, 8, 9), per_class=10).load(seed=0).describe()
    'digits: 50 to learn from, 134 to tune on, 134 to be judged by; each (1, 8, 8) -> 5 classes'

    Reference: E. Alpaydin, C. Kaynak, 1998, "Optical recognition of handwritten digits", UCI repository (test
    part).
    """

    batch_size: int = 32
    development: float = 0.15
    test: float = 0.15
    limit: int = 0
    split: int = 0
    classes: tuple[int, ...] = ()
    per_class: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        check_shares(self.development, self.test)
        require(self.limit >= 0, "data.limit", self.limit, "a whole number from 1, or 0 for all")
        require(self.per_class >= 0, "data.per_class", self.per_class, "a whole number from 1, or 0 for all")
        both = f"{self.limit} and data.per_class {self.per_class}"
        require(not (self.limit and self.per_class), "data.limit", both, "one of the two")
        chosen = set(self.classes)
        fine = not self.classes or (chosen <= set(range(10)) and 2 <= len(chosen) == len(self.classes))
        require(fine, "data.classes", self.classes, "two or more different digits from 0 to 9, or none for all")

    def load(self, seed: int) -> Dataset:
        """Read the pictures and split them; the run's seed has no part in it."""
        inputs, targets = read_digits()
        classes = self.classes or tuple(range(10))
        names = torch.full((10,), -1).index_put((torch.tensor(classes),), torch.arange(len(classes)))
        parts = stratified_split(targets, (self.development, self.test), self.split)
        train, development, test = (part[names[targets[part]] >= 0] for part in parts)
        if 0 < self.limit < len(train):
            share = self.limit / len(train)
            train = train[stratified_split(targets[train], (share,), self.split)[1]]
        if self.per_class:
            train = few_of_each(train, targets, self.per_class, self.split)
        targets = names[targets]
        return Dataset(
            TensorBatches(inputs[train], targets[train], batch_size=self.batch_size),
            held_out(inputs[development], targets[development]),
            held_out(inputs[test], targets[test]),
            inputs=(1, 8, 8),
            outputs=len(classes),
            labels=tuple(str(digit) for digit in classes),
            source="digits",
        )


def few_of_each(rows: Tensor, classes: Tensor, count: int, seed: int) -> Tensor:
    """Keep so many rows of each class at random, in rising order; refuse a class that has fewer.

    >>> classes = torch.tensor([3, 3, 3, 7, 7])
    >>> classes[few_of_each(torch.arange(5), classes, 2, seed=0)]
    tensor([3, 3, 7, 7])
    """
    kept = []
    for name in sorted(set(classes[rows].tolist())):
        members = rows[classes[rows] == name]
        require(count <= len(members), "data.per_class", count, f"up to {len(members)}, the examples of class {name}")
        kept.append(members[torch.randperm(len(members), generator=generator(seed, "few", name))[:count]])
    return torch.cat(kept).sort().values
