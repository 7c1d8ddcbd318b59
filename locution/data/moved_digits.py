"""Digits somewhere on a sheet, aslant and paler or darker: what augmentation is made for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.augmentation.image.pictures import between
from locution.data.augmentation.image.rotation import rotate
from locution.data.augmentation.image.shift import shift
from locution.data.dataset import Dataset, check_shares, held_out, stratified_split
from locution.data.digits import read_digits
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def moved(pictures: Tensor, side: int, degrees: float, paler: float, seed: int) -> Tensor:
    """Put each picture (N, 1, H, W) at a random place of a sheet, turned and paler at random: (N, 1, side, side).

    degrees: the largest turn either way. paler: how much of the ink may be missing, from 0 to 1.

    >>> sheet = moved(torch.ones(1, 1, 2, 2), side=5, degrees=0.0, paler=0.0, seed=0)
    >>> tuple(sheet.shape), sheet.sum().item()  # nothing of it is lost
    ((1, 1, 5, 5), 4.0)
    """
    draw, count, (height, width) = generator(seed, "moved"), len(pictures), pictures.shape[-2:]
    top, left = (side - height) // 2, (side - width) // 2
    sheet = torch.nn.functional.pad(pictures, (left, side - width - left, top, side - height - top))
    here = sheet.device
    sheet = rotate(sheet, between(-degrees, degrees, count, draw, here))
    down = torch.randint(-top, side - height - top + 1, (count,), generator=draw)
    right = torch.randint(-left, side - width - left + 1, (count,), generator=draw)
    ink = between(1 - paler, 1, count, draw, here).view(-1, 1, 1, 1)
    return shift(sheet, down, right) * ink


@dataclass(frozen=True)
class MovedDigitsData:
    """Handwritten digits that stand anywhere on a larger sheet, a little aslant, in more or less ink, in few examples.

    The pictures are scikit-learn's, of 8 x 8 pixels; where on the sheet each stands, how far it is turned and how pale
    it is are drawn once, for those to learn from and those to be judged by alike. What a model must learn to overlook
    is known, so that it shows what augmentation by the same changes is worth.

    Inputs are (N, 1, side, side), targets classes (N,). `limit` examples are learnt from (0 for all that are left
    over), `development` and `test` are shares of the 1797 pictures. `degrees` and `paler` are those of `moved`;
    `split` is the seed of it all.

    >>> MovedDigitsData().load(seed=0).describe()
    'moved digits: 300 to learn from, 270 to tune on, 898 to be judged by; each (1, 12, 12) -> 10 classes'

    Reference: E. Alpaydin, C. Kaynak, 1998, "Optical recognition of handwritten digits", UCI repository (test part).
    """

    batch_size: int = 32
    limit: int = 300
    side: int = 12
    degrees: float = 20.0
    paler: float = 0.5
    development: float = 0.15
    test: float = 0.5
    split: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        require(self.limit >= 0, "data.limit", self.limit, "a whole number from 1, or 0 for all")
        require(8 <= self.side <= 64, "data.side", self.side, "pixels from 8 to 64")
        require(0 <= self.degrees <= 180, "data.degrees", self.degrees, "degrees from 0 to 180")
        require(0 <= self.paler <= 1, "data.paler", self.paler, "a share from 0 to 1")
        check_shares(self.development, self.test)

    def load(self, seed: int) -> Dataset:
        """Read the pictures, move and split them; the run's seed has no part in it."""
        pictures, targets = read_digits()
        pictures = moved(pictures, self.side, self.degrees, self.paler, self.split)
        train, development, test = stratified_split(targets, (self.development, self.test), self.split)
        if 0 < self.limit < len(train):
            train = train[stratified_split(targets[train], (self.limit / len(train),), self.split)[1]]
        return Dataset(
            TensorBatches(pictures[train], targets[train], batch_size=self.batch_size),
            held_out(pictures[development], targets[development]),
            held_out(pictures[test], targets[test]),
            inputs=(1, self.side, self.side),
            outputs=10,
            labels=tuple("0123456789"),
            source="moved digits",
        )
