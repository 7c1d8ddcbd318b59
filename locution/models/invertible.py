"""Layers that can be undone and say how much they stretch: of what a normalising flow is made, beside couplings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import require


def places_of(x: Tensor) -> int:
    """Count the places of pictures, each of which is stretched alike; 1 for vectors."""
    return x[0, 0].numel()


def each(values: Tensor, x: Tensor) -> Tensor:
    """Lay one value a channel out so that it meets every place: (C,) -> (1, C, 1, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


class ActNorm(nn.Module):
    """Activation normalisation (actnorm) scales and shifts each channel, at first so that some data come out standard.

    Unlike batch normalisation it then is a layer like any other: its scales are learnt, and no example depends on the
    others. `initialise` sets them.

    Shapes: (N, channels) or (N, channels, H, W) in and out.

    >>> layer, x = ActNorm(1), torch.tensor([[1.0], [5.0]])
    >>> layer.initialise(x)
    >>> y, grown = layer(x)
    >>> y.flatten().tolist(), grown.tolist(), layer.inverse(y).flatten().tolist()  # (x - 3) / 2, -ln 2
    ([-1.0, 1.0], [-0.693, -0.693], [1.0, 5.0])

    Reference: D. Kingma, P. Dhariwal, 2018, "Glow: generative flow with invertible 1x1 convolutions", section 3.1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale, self.shift = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Choose the scales so that these come out with mean 0 and deviation 1, channel by channel."""
        channels = x.movedim(1, -1).flatten(0, -2)  # (N places, C)
        self.log_scale.copy_(-channels.std(0, correction=0).clamp(min=1e-3).log())
        self.shift.copy_(-channels.mean(0) * self.log_scale.exp())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift, and say the logarithm of how much volumes grow (N,)."""
        y = x * each(self.log_scale.exp(), x) + each(self.shift, x)
        return y, (places_of(x) * self.log_scale.sum()).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        return (y - each(self.shift, y)) * each((-self.log_scale).exp(), y)


class InvertibleLinear(nn.Module):
    """An invertible 1x1 convolution mixes the channels of each place by a matrix that is never singular.

    The matrix is P L U: a fixed permutation, and two triangular matrices, the upper with a diagonal that cannot be 0,
    so that the logarithm of its determinant is a sum, and it is undone by two substitutions. It begins as a rotation.

    Shapes: (N, channels) or (N, channels, H, W) in and out.

    >>> _ = torch.manual_seed(0)
    >>> layer, x = InvertibleLinear(3), torch.rand(5, 3)
    >>> y, grown = layer(x)
    >>> torch.allclose(layer.inverse(y), x, atol=1e-6)
    True
    >>> torch.allclose(grown[0], torch.linalg.slogdet(layer.matrix()).logabsdet, atol=1e-6)
    True

    Reference: D. Kingma, P. Dhariwal, 2018, "Glow: generative flow with invertible 1x1 convolutions", eqs. 9 to 11.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        require(channels >= 1, "channels", channels, "a whole number from 1")
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())

    def triangles(self) -> tuple[Tensor, Tensor]:
        """Make both triangular matrices."""
        one = torch.eye(len(self.lower), dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
        return self.lower.tril(-1) + one, upper

    def matrix(self) -> Tensor:
        """Multiply the three out: (C, C)."""
        lower, upper = self.triangles()
        return self.permutation @ lower @ upper

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mix, and say the logarithm of how much volumes grow (N,)."""
        with torch.autocast(x.device.type, enabled=False):  # in less than fp32 the way back would miss
            y = mixed(self.matrix(), x)
        return y, (places_of(x) * self.log_diagonal.sum()).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        lower, upper = self.triangles()
        with torch.autocast(y.device.type, enabled=False):
            flat = (self.permutation.T @ y.movedim(1, 0).flatten(1)).to(lower.dtype)  # (C, N places)
            half = torch.linalg.solve_triangular(lower, flat, upper=False, unitriangular=True)
            found = torch.linalg.solve_triangular(upper, half, upper=True)
        back: Tensor = found.view(y.shape[1], len(y), *y.shape[2:]).movedim(0, 1)
        return back


def mixed(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the channels of each place by a matrix: (C, C), (N, C, ...) -> (N, C, ...)."""
    if x.dim() == 2:
        return functional.linear(x, matrix)
    return functional.conv2d(x, matrix[..., None, None])


class Squeeze(nn.Module):
    """Squeezing makes four channels of each, with the pixels of every 2 x 2 square: half the size, no number lost.

    >>> Squeeze()(torch.arange(4.0).view(1, 1, 2, 2))[0].flatten()
    tensor([0., 1., 2., 3.])

    Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, 2017, "Density estimation using Real NVP", section 3.6.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Squeeze; volumes stay."""
        return functional.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        return functional.pixel_shuffle(y, 2)


class Logit(nn.Module):
    """The logit takes numbers from 0 to 1 to all numbers, so that a flow need not learn where they end.

    They are first drawn together to margin..1 - margin, since the ends themselves would go to infinity.

    >>> y, grown = Logit(0.0)(torch.tensor([[0.5]]))
    >>> y, grown  # ln(0.5 / 0.5), -ln(0.5 x 0.5)
    (tensor([[0.]]), tensor([1.3863]))

    Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, 2017, "Density estimation using Real NVP", section 4.1.
    """

    def __init__(self, margin: float = 0.05) -> None:
        super().__init__()
        require(0 <= margin < 0.5, "margin", margin, "a share from 0 to below 0.5, usually 0.05")
        self.margin = margin

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take the logit, and say the logarithm of how much volumes grow (N,)."""
        inner = self.margin + (1 - 2 * self.margin) * x
        y = inner.log() - (-inner).log1p()
        grown = functional.softplus(y) + functional.softplus(-y)  # -ln(inner (1 - inner))
        return y, (grown + math.log(1 - 2 * self.margin)).flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        return (y.sigmoid() - self.margin) / (1 - 2 * self.margin)
