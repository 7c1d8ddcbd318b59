"""Rotation: pictures are turned by a few degrees about their middle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from locution.data.augmentation.image.pictures import FILLED, FILLS, Fill, between, pictures_of, take_pixels
from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require


def rotate(pictures: Tensor, degrees: Tensor, fill: str = "zero") -> Tensor:
    """Turn each picture counter-clockwise about its middle by an angle of its own; its size stays.

    pictures: (N, C, H, W). degrees: (N,). A pixel between four others is their mean, weighed by how near each is
    (bilinear). What turns in from outside is zero, or the nearest pixel of the border where `fill` is "edge".

    >>> rotate(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([90.0])).round(decimals=4)
    tensor([[[[2., 4.], [1., 3.]]]])
    """
    height, width = pictures.shape[-2:]
    angle = degrees.to(pictures).deg2rad().view(-1, 1, 1)
    down = torch.arange(height, device=pictures.device, dtype=pictures.dtype).view(1, -1, 1) - (height - 1) / 2
    right = torch.arange(width, device=pictures.device, dtype=pictures.dtype).view(1, 1, -1) - (width - 1) / 2
    # where each new pixel was before the turn; rows count downward
    row = angle.cos() * down + angle.sin() * right + (height - 1) / 2  # (N, H, W)
    column = angle.cos() * right - angle.sin() * down + (width - 1) / 2
    top, left = row.floor(), column.floor()
    turned = torch.zeros_like(pictures)
    for below in (0, 1):
        for beside in (0, 1):
            near = (1 - (row - top - below).abs()) * (1 - (column - left - beside).abs())  # (N, H, W)
            found = take_pixels(pictures, top.long() + below, left.long() + beside, fill)
            turned = turned + near[:, None] * found
    return turned


@dataclass
class RotationMethod(Method):
    """Random rotation turns each picture by a few degrees, so that a model learns to read what stands aslant.

    Each picture's angle is drawn once a step, uniform between -degrees and +degrees; the picture keeps its size, and
    corners that turn in from outside are filled.

    Settings
    --------
    degrees: the largest angle, either way. fill: zero, or edge for the nearest pixel of the border.

    A quarter turn counter-clockwise brings what was on the right to the top:

    >>> rotate(torch.tensor([[[[0.0, 0, 0], [0, 0, 7], [0, 0, 0]]]]), torch.tensor([90.0])).round(decimals=4)[0, 0, 0]
    tensor([0., 7., 0.])

    Reference: P. Simard, D. Steinkraus, J. Platt, 2003, "Best practices for convolutional neural networks applied to
    visual document analysis", section 2.
    """

    name: ClassVar[str] = "rotation"
    after: ClassVar[tuple[str, ...]] = ("flip",)

    degrees: float = 15.0
    fill: Fill = "zero"

    def __post_init__(self) -> None:
        require(0 < self.degrees <= 180, "rotation.degrees", self.degrees, "above 0, at most 180, usually 15")
        require(self.fill in FILLS, "rotation.fill", self.fill, FILLED)

    def batch(self, batch: Batch, step: Step) -> Batch:
        pictures, draw = pictures_of(batch, self.name), step.generator(self.name)
        degrees = between(-self.degrees, self.degrees, len(pictures), draw, pictures.device)
        return replace(batch, inputs=rotate(pictures, degrees, self.fill))
