"""Shift: pictures are moved by a few pixels, as if cropped at random from a larger one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from locution.data.augmentation.image.pictures import FILLED, FILLS, Fill, pictures_of, take_pixels
from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require


def shift(pictures: Tensor, down: Tensor, right: Tensor, fill: str = "zero") -> Tensor:
    """Move each picture by whole pixels; what comes in from outside is zero, or the nearest pixel of the border.

    pictures: (N, C, H, W). down, right: whole numbers (N,), below zero for up and left.

    >>> picture = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> shift(picture, torch.tensor([0]), torch.tensor([1]))
    tensor([[[[0., 1.], [0., 3.]]]])
    >>> shift(picture, torch.tensor([-1]), torch.tensor([0]), fill="edge")
    tensor([[[[3., 4.], [3., 4.]]]])
    """
    count, _, height, width = pictures.shape
    rows = torch.arange(height, device=pictures.device).view(1, -1, 1) - down.view(-1, 1, 1)  # (N, H, 1)
    columns = torch.arange(width, device=pictures.device).view(1, 1, -1) - right.view(-1, 1, 1)  # (N, 1, W)
    return take_pixels(pictures, rows.expand(count, height, width), columns.expand(count, height, width), fill)


@dataclass
class ShiftMethod(Method):
    """Random shifting moves each picture by a few pixels, so that a model learns that the place does not matter.

    It is the same as to pad a picture on all sides and to crop it at random to its size. How far each goes is drawn
    once a step, every whole number of pixels alike.

    Settings
    --------
    most: how far it may go, each way, as a share of the side; 0.125 is 4 pixels of 32 and 1 of 8, and at least one.
    fill: zero, or edge for the nearest pixel of the border.

    >>> shift(torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.tensor([0]), torch.tensor([-1]))  # to the left
    tensor([[[[2., 3., 0.]]]])

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Deep residual learning for image recognition", section 4.2
    (padded by 4 pixels and cropped at random).
    """

    name: ClassVar[str] = "shift"
    after: ClassVar[tuple[str, ...]] = ("flip", "rotation")

    most: float = 0.125
    fill: Fill = "zero"

    def __post_init__(self) -> None:
        require(
            0 < self.most <= 0.5, "shift.most", self.most, "a share of the side above 0, at most 0.5, usually 0.125"
        )
        require(self.fill in FILLS, "shift.fill", self.fill, FILLED)

    def batch(self, batch: Batch, step: Step) -> Batch:
        pictures, draw = pictures_of(batch, self.name), step.generator(self.name)
        # a picture of one row of pixels stays in it
        height, width = (min(side - 1, max(1, round(self.most * side))) for side in pictures.shape[-2:])
        down = torch.randint(-height, height + 1, (len(pictures),), generator=draw).to(pictures.device)
        right = torch.randint(-width, width + 1, (len(pictures),), generator=draw).to(pictures.device)
        return replace(batch, inputs=shift(pictures, down, right, self.fill))
