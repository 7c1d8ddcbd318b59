"""Pooling: one number in the place of several neighbours, so that a picture gets smaller."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from locution.errors import require, unknown


def _tiles(pictures: Tensor, side: int) -> Tensor:
    """Cut (..., H, W) into squares: (..., H / side, W / side, side x side); what does not fill a square falls away."""
    allowed = f"a whole number from 1 to {min(pictures.shape[-2:])}, the shorter side of the pictures"
    require(1 <= side <= min(pictures.shape[-2:]), "side", side, allowed)
    squares = pictures.unfold(-2, side, side).unfold(-2, side, side)  # (..., H / side, W / side, side, side)
    return squares.flatten(-2)


def max_pooling(pictures: Tensor, side: int = 2) -> Tensor:
    """Max pooling keeps of each square of neighbours the largest number: whether a feature was there, not just where.

    Parameters
    ----------
    pictures: (..., H, W). side: of the squares, in pixels; they lie beside each other, and what is left over at the
    right and at the bottom falls away.

    Returns (..., H / side, W / side), rounded down. A gradient goes to the largest number alone. Raises UserError where
    a square is larger than the pictures.

    >>> import torch
    >>> max_pooling(torch.tensor([[1.0, 5.0, 0.0, 2.0], [3.0, 2.0, 4.0, 1.0]]))
    tensor([[5., 4.]])

    Reference: D. Scherer, A. Mueller, S. Behnke, 2010, "Evaluation of pooling operations in convolutional architectures
    for object recognition", section 3.
    """
    return _tiles(pictures, side).amax(-1)


def average_pooling(pictures: Tensor, side: int = 2) -> Tensor:
    """Average pooling puts the mean of each square of neighbours in their place: how much of a feature was there.

    Parameters and result are those of `max_pooling`; a gradient goes to all numbers of a square alike. With one square
    for the whole picture it is global average pooling.

    >>> import torch
    >>> average_pooling(torch.tensor([[1.0, 5.0, 0.0, 2.0], [3.0, 3.0, 4.0, 2.0]]))  # 12 / 4 and 8 / 4
    tensor([[3., 2.]])

    Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, 1998, "Gradient-based learning applied to document
    recognition", section II.A (sub-sampling).
    """
    return _tiles(pictures, side).mean(-1)


# what does not fill a square at the rim is pooled all the same, so that a picture of odd sides loses nothing
HALVERS: dict[str, Callable[[], list[nn.Module]]] = {
    "stride": list,
    "max": lambda: [nn.MaxPool2d(2, ceil_mode=True)],
    "average": lambda: [nn.AvgPool2d(2, ceil_mode=True)],
}


def pooling(name: str) -> list[nn.Module]:
    """Pooling makes a picture smaller: one number stands for a square of neighbours, their largest or their mean.

    This makes the layer that halves a picture, by name: max or average; stride for none, where the convolution behind
    it takes steps of two pixels itself. Half a square at the rim counts as a square. Errors: UserError for another
    name.

    >>> import torch
    >>> (layer,) = pooling("max")
    >>> layer(torch.arange(9.0).view(1, 3, 3))  # 3 x 3 pixels to 2 x 2
    tensor([[[4., 5.], [7., 8.]]])

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", section 9.3.
    """
    if name not in HALVERS:
        raise unknown("pooling", name, HALVERS)
    return HALVERS[name]()
