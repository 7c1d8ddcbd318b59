"""Few labels: handwritten digits of which only some are labelled, and the others lie beside."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out, stratified_split
from locution.data.digits import read_digits
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def choose_labelled(classes: Tensor, labels: int, seed: int) -> Tensor:
    """Choose which examples keep their labels: of each class as many, as far as that goes.

    classes: (N,). labels: how many in all. Returns rising indices (labels,).

    >>> classes = torch.tensor([0] * 10 + [1] * 20)
    >>> chosen = choose_labelled(classes, 5, seed=0)
    >>> classes[chosen].tolist()
    [0, 0, 0, 1, 1]
    """
    order = torch.randperm(len(classes), generator=generator(seed, "labels"))
    shuffled = classes[order]
    turn = torch.zeros_like(shuffled)  # an example is the how-manyth of its class
    for name in sorted(set(classes.tolist())):
        members = shuffled == name
        turn[members] = torch.arange(int(members.sum()))
    rank = turn * (int(classes.max()) + 1) + shuffled  # the first of every class, then the second of every class, ...
    return order[rank.argsort()[:labels]].sort().values


@dataclass(frozen=True)
class FewLabelsData:
    """Semi-supervised learning learns from a few labelled examples and many that nobody has labelled.

    These are the handwritten digits with `labels` labels, of each digit as many; the pictures of the others come beside
    each batch under "unlabelled", `beside_size` at a time. `development` and `test` are the shares held out. `split`
    is the seed that chooses them and the labelled ones; with `by_seed` the run's seed chooses the labelled ones
    instead, so that runs of other seeds see other labels.

    >>> data = FewLabelsData(labels=100).load(seed=0)
    >>> data.describe()
    'digits with few labels: 100 to learn from, 270 to tune on, 270 to be judged by; each (1, 8, 8) -> 10 classes'
    >>> batch = next(data.train.epoch(0, seed=0))
    >>> len(batch), len(batch.beside["unlabelled"])
    (32, 128)

    Reference: O. Chapelle, B. Schölkopf, A. Zien, 2006, "Semi-supervised learning", section 1.1.
    """

    labels: int = 100
    batch_size: int = 32
    beside_size: int = 128
    development: float = 0.15
    test: float = 0.15
    split: int = 0
    by_seed: bool = True

    def __post_init__(self) -> None:
        require(10 <= self.labels <= 1200, "data.labels", self.labels, "a whole number from 10 to 1200")
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        require(self.beside_size >= 1, "data.beside_size", self.beside_size, "a whole number from 1")
        for name, share in (("development", self.development), ("test", self.test)):
            require(0.0 <= share < 0.5, f"data.{name}", share, "a share from 0 to below 0.5")

    def load(self, seed: int) -> Dataset:
        """Read the pictures, split them, and forget most labels."""
        inputs, targets = read_digits()
        train, development, test = stratified_split(targets, (self.development, self.test), self.split)
        require(self.labels < len(train), "data.labels", self.labels, f"fewer than the {len(train)} to learn from")
        chosen = choose_labelled(targets[train], self.labels, seed if self.by_seed else self.split)
        known = torch.zeros(len(train), dtype=torch.bool).index_fill(0, chosen, True)
        return Dataset(
            TensorBatches(
                inputs[train[known]],
                targets[train[known]],
                batch_size=self.batch_size,
                beside={"unlabelled": inputs[train[~known]]},
                beside_size=self.beside_size,
            ),
            held_out(inputs[development], targets[development]),
            held_out(inputs[test], targets[test]),
            inputs=(1, 8, 8),
            outputs=10,
            labels=tuple("0123456789"),
            source="digits with few labels",
        )
