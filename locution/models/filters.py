"""Filters: small grids of weights that slide over a picture, and what they find there."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import UserError

SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
"""Brighter on the right than on the left, smoothed from the top down; turned, brighter at the bottom."""


def filtered(pictures: Tensor, weights: Tensor) -> Tensor:
    """A filter (kernel) is a small grid of weights that slides over a picture and says where its pattern is found.

    At each place the pixels beneath are multiplied by the weights and added up: large where the pixels look like the
    filter; what it found where is its feature map. Nothing is added at the rim, so that the picture becomes smaller by
    the filter's size less one.

    Parameters
    ----------
    pictures: (..., H, W). weights: (h, w).

    Returns (..., H - h + 1, W - w + 1). Raises UserError where the filter is larger than the pictures.

    >>> picture = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    >>> filtered(picture, torch.tensor([[-1.0, 1.0]]))  # it gets brighter between the second and the third pixel
    tensor([[0., 1., 0.]])

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", eq. 9.6 (cross-correlation).
    """
    if weights.dim() != 2 or pictures.dim() < 2:
        came = f"pictures {tuple(pictures.shape)} and a filter {tuple(weights.shape)}"
        raise UserError(f"filtered came upon {came}; allowed: (..., height, width) and (height, width).")
    (height, width), (rows, columns) = weights.shape, pictures.shape[-2:]
    if height > rows or width > columns:
        allowed = f"up to {rows} x {columns}, the pictures' size"
        raise UserError(f"a filter of {height} x {width} is larger than the pictures; allowed: {allowed}.")
    beneath = pictures.unfold(-2, height, 1).unfold(-2, width, 1)  # (..., H - h + 1, W - w + 1, h, w)
    return (beneath * weights).sum((-2, -1))


def edges(pictures: Tensor) -> Tensor:
    """Edge detection finds the places where a picture changes from bright to dark, and how sharply it does.

    Two filters measure how fast it gets brighter to the right and downwards; an edge is as strong as the two together
    are long, whichever way it runs. At the rim the outermost pixels are repeated, so that the rim itself is no edge.

    Shapes: pictures (..., H, W) in, strengths (..., H, W) out; a step from 0 to 1 has the strength 4.

    >>> step = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(3, 1)
    >>> edges(step)  # (1 + 2 + 1) x (1 - 0) on both sides of the step
    tensor([[0., 4., 4., 0.],
            [0., 4., 4., 0.],
            [0., 4., 4., 0.]])

    Reference: I. Sobel, G. Feldman, 1968, "A 3x3 isotropic gradient operator for image processing"; R. Duda, P. Hart,
    1973, "Pattern classification and scene analysis", pages 271-272.
    """
    if pictures.dim() < 2:
        came = tuple(pictures.shape)
        raise UserError(f"edges came upon numbers {came}; allowed: pictures (..., height, width).")
    flat = pictures.reshape(-1, *pictures.shape[-2:])  # (N, H, W)
    wide = functional.pad(flat, (1, 1, 1, 1), mode="replicate")  # (N, H + 2, W + 2)
    right = torch.tensor(SOBEL, dtype=pictures.dtype, device=pictures.device)  # (3, 3)
    return torch.hypot(filtered(wide, right), filtered(wide, right.T)).reshape(pictures.shape)


def first_filters(model: nn.Module) -> Tensor | None:
    """Take the filters that look at the pictures themselves: (filters, channels, h, w), or None where there are none.

    These are the weights of the model's first convolution, if it covers more than a single pixel.

    >>> from locution.models.convnet import ConvNet
    >>> first_filters(ConvNet(1, (8, 16), 10)).shape, first_filters(nn.Linear(2, 1))
    (torch.Size([8, 1, 3, 3]), None)
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            weights = layer.weight.detach()  # (filters, channels, h, w)
            return weights if weights[0, 0].numel() > 1 else None
    return None
