"""Flip: some pictures are seen in a mirror."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from locution.data.augmentation.image.pictures import between, pictures_of
from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require

AXES = {"horizontal": (-1,), "vertical": (-2,), "both": (-1, -2)}


def flip(pictures: Tensor, chosen: Tensor, axis: int = -1) -> Tensor:
    """Mirror the chosen pictures along an axis: -1 swaps left and right, -2 top and bottom.

    pictures: (N, C, H, W). chosen: (N,), true for those that are mirrored.

    >>> flip(torch.tensor([[[[1.0, 2.0]]], [[[1.0, 2.0]]]]), torch.tensor([True, False])).flatten(1)
    tensor([[2., 1.], [1., 2.]])
    """
    return torch.where(chosen.view(-1, 1, 1, 1), pictures.flip(axis), pictures)


@dataclass
class FlipMethod(Method):
    """Flipping shows some of the pictures in a mirror, so that a model learns that the side does not matter.

    It helps where a mirrored picture means the same: animals, leaves, cells; it hurts where it does not: letters and
    digits. Which pictures are mirrored is drawn once a step.

    Settings
    --------
    chance: that a picture is mirrored. axis: horizontal swaps left and right, vertical top and bottom, both each by
    a draw of its own.

    >>> from locution.engine.method import Plan
    >>> batch = Batch(torch.tensor([[[[1.0, 2.0]]]]))
    >>> FlipMethod(chance=1.0).batch(batch, Step(0, 0, Plan(seed=0), torch.nn.Identity())).inputs
    tensor([[[[2., 1.]]]])

    Reference: A. Krizhevsky, I. Sutskever, G. Hinton, 2012, "ImageNet classification with deep convolutional neural
    networks", section 4.1.
    """

    name: ClassVar[str] = "flip"

    chance: float = 0.5
    axis: Literal["horizontal", "vertical", "both"] = "horizontal"

    def __post_init__(self) -> None:
        require(0 < self.chance <= 1, "flip.chance", self.chance, "a share above 0, at most 1, usually 0.5")
        require(self.axis in AXES, "flip.axis", self.axis, ", ".join(AXES))

    def batch(self, batch: Batch, step: Step) -> Batch:
        pictures, draw = pictures_of(batch, self.name), step.generator(self.name)
        for axis in AXES[self.axis]:
            chosen = between(0, 1, len(pictures), draw, pictures.device) < self.chance  # (N,)
            pictures = flip(pictures, chosen, axis)
        return replace(batch, inputs=pictures)
