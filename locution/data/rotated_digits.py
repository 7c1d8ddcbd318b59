"""Rotated digits: learn from upright pictures with labels and turned ones without, and be judged by the turned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from locution.data.dataset import Dataset, held_out, stratified_split
from locution.data.digits import read_digits
from locution.engine.batches import TensorBatches
from locution.errors import require


def rotate(pictures: Tensor, degrees: float) -> Tensor:
    """Rotating a picture turns it about its middle, anticlockwise; each pixel blends the four it falls between.

    pictures (N, C, H, W); what comes in from outside is 0. Gives pictures of the same size.

    >>> picture = torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]])
    >>> rotate(picture, 90.0).round().squeeze()
    tensor([[0., 1., 0.], [0., 0., 0.], [0., 0., 0.]])

    Reference: M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, 2015, "Spatial transformer networks", eq. 1 and
    5.
    """
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = functional.affine_grid(turn.expand(len(pictures), 2, 3).to(pictures), list(pictures.shape), False)
    return functional.grid_sample(pictures, grid, align_corners=False)


@dataclass(frozen=True)
class RotatedDigitsData:
    """Rotated digits are handwritten digits in two domains: upright with labels, and turned by an angle without.

    One half of the pictures to learn from is the source, upright; the other half comes beside each batch as "target",
    turned by `angle` degrees (anticlockwise), its labels withheld. What a run is judged by is turned; it is judged on
    upright pictures besides ("source"). What it is tuned on is upright, for of the target there are no labels to tune
    by. The other settings are those of `digits`.

    >>> data = RotatedDigitsData(angle=45).load(seed=0)
    >>> data.describe()
    'rotated digits: 628 to learn from, 270 to tune on, 270 to be judged by; each (1, 8, 8) -> 10 classes'
    >>> len(data.train.beside["target"])
    629

    Reference: Y. Ganin et al., 2016, "Domain-adversarial training of neural networks", section 5.2 (domains of digits).
    """

    angle: float = 45.0
    batch_size: int = 32
    development: float = 0.15
    test: float = 0.15
    split: int = 0

    def __post_init__(self) -> None:
        require(-360 <= self.angle <= 360, "data.angle", self.angle, "degrees from -360 to 360")
        require(self.batch_size >= 2, "data.batch_size", self.batch_size, "a whole number from 2")
        for name, share in (("development", self.development), ("test", self.test)):
            require(0.0 < share < 1.0, f"data.{name}", share, "a share above 0 and below 1")
        held = self.development + self.test
        require(held < 1.0, "data.development + data.test", held, "less than 1, so that something is left")

    def load(self, seed: int) -> Dataset:
        """Read the pictures, split them and turn those of the target; the run's seed has no part in it."""
        inputs, targets = read_digits()
        train, development, test = stratified_split(targets, (self.development, self.test), self.split)
        target, source = (train[part] for part in stratified_split(targets[train], (0.5,), self.split))
        beside = {"target": rotate(inputs[target], self.angle)}
        return Dataset(
            TensorBatches(inputs[source], targets[source], batch_size=self.batch_size, beside=beside),
            held_out(inputs[development], targets[development]),
            held_out(rotate(inputs[test], self.angle), targets[test]),
            inputs=(1, 8, 8),
            outputs=10,
            labels=tuple("0123456789"),
            source="rotated digits",
            others={"source": TensorBatches(inputs[test], targets[test], batch_size=1024, shuffle=False)},
        )
