"""Pictures on their way through a batch: what is one, and what lies behind its border."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.errors import UserError

Fill = Literal["zero", "edge"]
FILLS = ("zero", "edge")
FILLED = "zero, for black or for white paper, or edge, for the nearest pixel of the border"


def pictures_of(batch: Batch, name: str) -> Tensor:
    """Take a batch's inputs where they are pictures (N, C, H, W), and refuse any other in one line.

    >>> pictures_of(Batch(torch.zeros(2, 3)), "flip")
    Traceback (most recent call last):
    locution.errors.UserError: 'flip' came upon inputs that are no pictures; allowed: (N, C, H, W), as of digits, ...
    """
    inputs = batch.inputs
    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        allowed = "(N, C, H, W), as of digits, images and others"
        raise UserError(f"'{name}' came upon inputs that are no pictures; allowed: {allowed}.")
    if not inputs.is_floating_point():
        kind = str(inputs.dtype).removeprefix("torch.")
        raise UserError(f"'{name}' came upon pictures of {kind}; allowed: floating-point numbers, such as 0 to 1.")
    return inputs


def between(low: float, high: float, count: int, draw: torch.Generator, device: torch.device) -> Tensor:
    """Draw a number for each of `count` pictures, uniform between two bounds: (count,), the same on any device.

    >>> between(2.0, 2.0, 2, torch.Generator(), torch.device("cpu"))
    tensor([2., 2.])
    """
    return (low + (high - low) * torch.rand(count, generator=draw)).to(device)


def take_pixels(pictures: Tensor, rows: Tensor, columns: Tensor, fill: str) -> Tensor:
    """Look up one pixel of a picture for each place of the new one; places outside get zero, or the border's pixel.

    pictures: (N, C, H, W). rows, columns: whole numbers (N, H, W), the place in the picture to look at.

    >>> strip = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> right = torch.tensor([[[1, 2, 3]]])  # one place further to the right
    >>> take_pixels(strip, torch.zeros_like(right), right, "zero"), take_pixels(strip, 0 * right, right, "edge")
    (tensor([[[[2., 3., 0.]]]]), tensor([[[[2., 3., 3.]]]]))
    """
    height, width = pictures.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (N, H, W)
    place = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    flat = pictures.flatten(2)  # (N, C, H * W)
    found = flat.gather(2, place.flatten(1)[:, None].expand_as(flat)).view_as(pictures)
    return found if fill == "edge" else found * inside[:, None]
