"""Cutout: a square of each picture is hidden."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from locution.data.augmentation.image.pictures import between, pictures_of
from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require


def cut_out(pictures: Tensor, rows: Tensor, columns: Tensor, side: int, fill: float = 0.0) -> Tensor:
    """Set a square of each picture to one value; it may hang over the border.

    pictures: (N, C, H, W). rows, columns: (N,), the square's middle. side: in pixels; of an even number the middle
    is the pixel below and right of it.

    >>> cut_out(torch.ones(1, 1, 3, 3), torch.tensor([0]), torch.tensor([1]), side=2)[0, 0]
    tensor([[0., 0., 1.], [1., 1., 1.], [1., 1., 1.]])
    """
    hidden = None
    for size, middle, shape in zip(pictures.shape[-2:], (rows, columns), ((1, -1, 1), (1, 1, -1)), strict=True):
        offset = torch.arange(size, device=pictures.device).view(shape) - middle.view(-1, 1, 1) + side // 2
        inside = (offset >= 0) & (offset < side)
        hidden = inside if hidden is None else hidden & inside  # (N, H, W)
    assert hidden is not None
    return pictures.masked_fill(hidden[:, None], fill)


@dataclass
class CutoutMethod(Method):
    """Cutout hides a square of each picture, so that a model cannot rely on one part of it alone.

    The square's middle is drawn once a step for each picture, every pixel alike, so that part of the square may lie
    outside.

    Settings
    --------
    side: the square's side as a share of the picture's shorter one; 0.5 is 16 pixels of 32. chance: that a picture
    gets one. fill: what the hidden pixels become, from 0 to 1.

    >>> cut_out(torch.ones(1, 1, 4, 4), torch.tensor([2]), torch.tensor([2]), side=2).sum()  # 16 - 4
    tensor(12.)

    Reference: T. DeVries, G. Taylor, 2017, "Improved regularization of convolutional neural networks with cutout",
    section 3.2.
    """

    name: ClassVar[str] = "cutout"
    after: ClassVar[tuple[str, ...]] = ("flip", "rotation", "shift", "brightness")

    side: float = 0.5
    chance: float = 1.0
    fill: float = 0.0

    def __post_init__(self) -> None:
        require(0 < self.side <= 1, "cutout.side", self.side, "a share of the side above 0, at most 1, usually 0.5")
        require(0 < self.chance <= 1, "cutout.chance", self.chance, "a share above 0, at most 1")
        require(0 <= self.fill <= 1, "cutout.fill", self.fill, "a number from 0 to 1, usually 0")

    def batch(self, batch: Batch, step: Step) -> Batch:
        pictures, draw = pictures_of(batch, self.name), step.generator(self.name)
        count, device = len(pictures), pictures.device
        chosen = between(0, 1, count, draw, device) < self.chance  # (N,)
        height, width = pictures.shape[-2:]
        rows, columns = (torch.randint(size, (count,), generator=draw).to(device) for size in (height, width))
        cut = cut_out(pictures, rows, columns, max(1, round(self.side * min(height, width))), self.fill)
        return replace(batch, inputs=torch.where(chosen.view(-1, 1, 1, 1), cut, pictures))
