"""Brightness: pictures are made lighter or darker, of more or less contrast, and of more or less colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from locution.data.augmentation.image.pictures import between, pictures_of
from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require

GREY = (0.299, 0.587, 0.114)  # how light red, green and blue are to the eye (ITU-R BT.601)


def grey_of(pictures: Tensor) -> Tensor:
    """Say how light each pixel is: (N, C, H, W) to (N, 1, H, W); three channels are red, green and blue.

    >>> import torch
    >>> grey_of(torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)).flatten()  # 0.299 + 0.587 / 2
    tensor([0.5925])
    """
    if pictures.shape[1] != 3:
        return pictures.mean(1, keepdim=True)
    return (pictures * pictures.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)


def adjust(pictures: Tensor, light: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Multiply the light of each picture, then its contrast about its mean grey, then its colour about its grey.

    pictures: (N, C, H, W). The others: factors (N,), 1 for no change. What leaves 0..1 is not cut off.

    >>> import torch
    >>> picture = torch.tensor([[[[0.2, 0.6]]]])
    >>> one, two = torch.ones(1), torch.full((1,), 2.0)
    >>> adjust(picture, two, one, one), adjust(picture, one, two, one)  # the mean grey is 0.4
    (tensor([[[[0.4000, 1.2000]]]]), tensor([[[[0.0000, 0.8000]]]]))
    """
    light, contrast, saturation = (factor.to(pictures).view(-1, 1, 1, 1) for factor in (light, contrast, saturation))
    pictures = pictures * light
    middle = grey_of(pictures).mean((2, 3), keepdim=True)  # (N, 1, 1, 1)
    pictures = middle + (pictures - middle) * contrast
    if pictures.shape[1] != 3:
        return pictures  # without colours there is no colour to change
    grey = grey_of(pictures)
    return grey + (pictures - grey) * saturation


@dataclass
class BrightnessMethod(Method):
    """Brightness augmentation makes each picture lighter or darker, of more or less contrast and colour, at random.

    A model then relies less on the light in which a picture was taken. The factors are drawn once a step for each
    picture, uniform between 1 - setting and 1 + setting.

    Settings
    --------
    light: how far brightness varies. contrast: how far the distance from the mean grey does. saturation: how far
    colours do, in pictures of three channels.

    >>> import torch
    >>> adjust(torch.full((1, 1, 1, 2), 0.5), torch.tensor([1.2]), torch.ones(1), torch.ones(1))
    tensor([[[[0.6000, 0.6000]]]])

    Reference: A. Howard, 2013, "Some improvements on deep convolutional neural network based image classification",
    section 2.2.
    """

    name: ClassVar[str] = "brightness"
    after: ClassVar[tuple[str, ...]] = ("flip", "rotation", "shift")

    light: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        for setting in ("light", "contrast", "saturation"):
            value = getattr(self, setting)
            require(0 <= value <= 1, f"brightness.{setting}", value, "a number from 0 to 1, usually 0.2")

    def batch(self, batch: Batch, step: Step) -> Batch:
        pictures, draw = pictures_of(batch, self.name), step.generator(self.name)
        spreads = (self.light, self.contrast, self.saturation)
        factors = [between(1 - spread, 1 + spread, len(pictures), draw, pictures.device) for spread in spreads]
        return replace(batch, inputs=adjust(pictures, *factors))
