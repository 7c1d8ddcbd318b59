"""Handwritten digits, the real ones that come with scikit-learn: nothing to download."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out, stratified_split
from locution.engine.batches import TensorBatches
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
    to learn from (0 keeps all), again each class by the same share.

    >>> data = DigitsData(batch_size=64).load(seed=0)
    >>> data.describe()
    'digits: 1257 to learn from, 270 to tune on, 270 to be judged by; each (1, 8, 8) -> 10 classes'

    Reference: E. Alpaydin, C. Kaynak, 1998, "Optical recognition of handwritten digits", UCI repository (test
    part).
    """

    batch_size: int = 32
    development: float = 0.15
    test: float = 0.15
    limit: int = 0
    split: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        for name, share in (("development", self.development), ("test", self.test)):
            require(0.0 <= share < 1.0, f"data.{name}", share, "a share from 0 up to, not with, 1")
        held = self.development + self.test
        require(
            held < 1.0,
            "data.development + data.test",
            held,
            "less than 1, so that something is left to learn from",
        )
        require(self.limit >= 0, "data.limit", self.limit, "a whole number from 1, or 0 for all")

    def load(self, seed: int) -> Dataset:
        """Read the pictures and split them; the run's seed has no part in it."""
        inputs, targets = read_digits()
        train, development, test = stratified_split(targets, (self.development, self.test), self.split)
        if 0 < self.limit < len(train):
            share = self.limit / len(train)
            train = train[stratified_split(targets[train], (share,), self.split)[1]]
        return Dataset(
            TensorBatches(inputs[train], targets[train], batch_size=self.batch_size),
            held_out(inputs[development], targets[development]),
            held_out(inputs[test], targets[test]),
            inputs=(1, 8, 8),
            outputs=10,
            labels=tuple("0123456789"),
            source="digits",
        )
