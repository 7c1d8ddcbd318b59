"""Couplings: one half of a vector is bent by what the other half says, and can be bent back exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import require

STEEPEST = 5.0  # the logarithm of the largest scale of an affine coupling
FLATTEST = 0.01  # the narrowest share of a spline's bin, and its least slope: fp32 must find the way back


def affine(x: Tensor, log_scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """An affine coupling scales and shifts each number of one half by what the other half says.

    Shapes: all (N, ...). Returns y = x exp(log_scale) + shift, and the logarithm of how much volumes grow (N,).

    >>> y, grown = affine(torch.tensor([[3.0]]), torch.tensor([[math.log(2.0)]]), torch.tensor([[1.0]]))
    >>> y, grown  # 3 x 2 + 1, ln 2
    (tensor([[7.]]), tensor([0.6931]))

    Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, 2017, "Density estimation using Real NVP", eqs. 4 to 6.
    """
    return torch.addcmul(shift, x, log_scale.exp()), log_scale.flatten(1).sum(1)


def affine_inverse(y: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
    """Undo `affine`: (y - shift) exp(-log_scale).

    >>> affine_inverse(torch.tensor([[7.0]]), torch.tensor([[math.log(2.0)]]), torch.tensor([[1.0]]))
    tensor([[3.]])

    Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, 2017, "Density estimation using Real NVP", eq. 8.
    """
    return (y - shift) * (-log_scale).exp()


def knots(widths: Tensor, heights: Tensor, slopes: Tensor, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Place the knots of a monotonic spline on the square from -bound to bound, from numbers without limits.

    Shapes: widths and heights (..., K), slopes (..., K - 1). Returns the places of the knots, across and up, and the
    slope at each, (..., K + 1); at both ends it is 1, so that the spline goes on as a straight line.

    >>> zero = torch.zeros(1, 2)
    >>> across, up, slope = knots(zero, zero, torch.zeros(1, 1), 3.0)
    >>> across, slope
    (tensor([[-3.,  0.,  3.]]), tensor([[1., 1., 1.]]))
    """

    def places(free: Tensor) -> Tensor:
        even = (free - free.amax(-1, keepdim=True)).exp()  # a softmax; torch's own is slow where numbers are few
        shares = FLATTEST + (1 - FLATTEST * free.shape[-1]) * (even / even.sum(-1, keepdim=True))
        inner = 2 * bound * shares.cumsum(-1)[..., :-1] - bound
        return functional.pad(functional.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)

    at_rest = math.log(math.expm1(1 - FLATTEST))  # so that zeros make slopes of 1
    inner = FLATTEST + functional.softplus(slopes + at_rest)
    return places(widths), places(heights), functional.pad(inner, (1, 1), value=1.0)


def pick(table: Tensor, bin: Tensor) -> Tensor:
    """Take from each row the entry of its bin: (..., K), (...) -> (...)."""
    return table.gather(-1, bin[..., None]).squeeze(-1)


def spline(x: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, bound: float = 5.0) -> tuple[Tensor, Tensor]:
    """A rational-quadratic spline bends each number of one half along a rising curve whose knots the other half places.

    Between two knots the curve is a quotient of two quadratics; outside -bound to bound it leaves numbers as they are.

    Shapes: x (N, ...); widths and heights (N, ..., K), slopes (N, ..., K - 1), without limits. Returns y (N, ...) and
    the logarithm of how much volumes grow (N,).

    >>> zero = torch.zeros(1, 1, 4)  # evenly placed, of slope 1: the curve is a straight line
    >>> spline(torch.tensor([[1.7]]), zero, zero, zero[..., :3])
    (tensor([[1.7000]]), tensor([0.]))

    Reference: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, 2019, "Neural spline flows", eqs. 4 and 5.
    """
    y, grown = along(x, *knots(widths, heights, slopes, bound))
    return y, grown.flatten(1).sum(1)


def along(x: Tensor, across: Tensor, up: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Go along the curve through knots, (..., K + 1) each: the height at x (...), and the logarithm of the slope."""
    inside = (x > across[..., 0]) & (x < across[..., -1])
    bin = (x[..., None] >= across[..., 1:-1]).sum(-1)  # (N, ...), from 0 to K - 1
    left, low, before, after = pick(across, bin), pick(up, bin), pick(slope, bin), pick(slope, bin + 1)
    wide, tall = pick(across, bin + 1) - left, pick(up, bin + 1) - low
    steep = tall / wide
    at = ((x - left) / wide).clamp(0, 1)
    mixed = at * (1 - at)
    under = steep + (before + after - 2 * steep) * mixed
    y = low + tall * (steep * at.square() + before * mixed) / under
    rise = steep.square() * (after * at.square() + 2 * steep * mixed + before * (1 - at).square())
    grown = rise.log() - 2 * under.log()
    return torch.where(inside, y, x), torch.where(inside, grown, 0.0)


def spline_inverse(y: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, bound: float = 5.0) -> Tensor:
    """Undo `spline`, by the root of a quadratic that lies between the two knots.

    >>> zero = torch.zeros(1, 1, 4)
    >>> spline_inverse(torch.tensor([[1.7]]), zero, zero, zero[..., :3])
    tensor([[1.7000]])

    Reference: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, 2019, "Neural spline flows", eqs. 6 to 8.
    """
    across, up, slope = knots(widths, heights, slopes, bound)
    inside = (y > -bound) & (y < bound)
    bin = (y[..., None] >= up[..., 1:-1]).sum(-1)
    left, low, before, after = pick(across, bin), pick(up, bin), pick(slope, bin), pick(slope, bin + 1)
    wide, tall = pick(across, bin + 1) - left, pick(up, bin + 1) - low
    steep, above = tall / wide, y - low
    bent = above * (before + after - 2 * steep)
    a, b, c = tall * (steep - before) + bent, tall * before - bent, -steep * above
    root = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
    return torch.where(inside, left + root.clamp(0, 1) * wide, y)


class Coupling(nn.Module):
    """A coupling layer leaves one half of its channels as it is, and bends the other half by what a network says of it.

    Since the first half is still there, the network can be asked again, and the other half bent back: the layer is
    undone as fast as it is done, however the network looks.

    Parameters
    ----------
    channels: at least 2. network: makes a network from the number of channels that it reads and that it says. bins: of
    a spline; 0 for an affine coupling. swap: the last channels are left, and the first bent.

    Shapes: (N, channels) or (N, channels, H, W) in and out.

    >>> layer = Coupling(2, lambda reads, says: nn.Linear(reads, says))
    >>> x = torch.tensor([[1.0, 2.0]])
    >>> y, grown = layer(x)
    >>> y[0, 0].item(), grown.shape, torch.allclose(layer.inverse(y), x)
    (1.0, torch.Size([1]), True)

    Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, 2017, "Density estimation using Real NVP", section 3.2.
    """

    def __init__(
        self, channels: int, network: Callable[[int, int], nn.Module], bins: int = 0, swap: bool = False
    ) -> None:
        super().__init__()
        require(channels >= 2, "channels", channels, "two or more, one half to read and one to bend")
        require(bins == 0 or 2 <= bins <= 50, "bins", bins, "a whole number from 2 to 50, or 0 for an affine coupling")
        self.kept = channels - channels // 2 if not swap else channels // 2
        self.bent, self.bins, self.swap = channels - self.kept, bins, swap
        self.network = network(self.kept, self.bent * (3 * bins - 1 if bins else 2))

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Part the channels: what is left, and what is bent."""
        if self.swap:
            return x[:, self.bent :], x[:, : self.bent]
        return x[:, : self.kept], x[:, self.kept :]

    def whole(self, kept: Tensor, bent: Tensor) -> Tensor:
        """Put the channels together again."""
        return torch.cat([bent, kept] if self.swap else [kept, bent], 1)

    def said(self, kept: Tensor) -> tuple[Tensor, ...]:
        """Ask the network how to bend: scales and shifts, or widths, heights and slopes of a spline's bins."""
        free = self.network(kept).to(kept.dtype)
        if not self.bins:
            scale, shift = free.chunk(2, 1)
            return STEEPEST * (scale / STEEPEST).tanh(), shift
        free = free.unflatten(1, (self.bent, -1)).movedim(2, -1)  # (N, bent, ..., 3 bins - 1)
        return free[..., : self.bins], free[..., self.bins : -self.bins + 1], free[..., -self.bins + 1 :]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Bend, and say the logarithm of how much volumes grow (N,)."""
        kept, bent = self.halves(x)
        bend: Any = spline if self.bins else affine
        y, grown = bend(bent, *self.said(kept))
        return self.whole(kept, y), grown

    def inverse(self, y: Tensor) -> Tensor:
        """Bend back."""
        kept, bent = self.halves(y)
        back: Any = spline_inverse if self.bins else affine_inverse
        return self.whole(kept, back(bent, *self.said(kept)))


class FactorOut(nn.Module):
    """Factoring out is done with half of the channels early: they become noise at once, given the other half, which
    alone goes on through the steps that follow.

    A network says of the half that goes on where the other lies and how far it spreads: an affine coupling, whose bent
    half is then standard noise. So details are settled early, at a large size, and what a picture is as a whole late;
    and the late steps have half as much to do.

    Parameters
    ----------
    channels, network: as of a coupling.

    Shapes: (N, channels, H, W) in and out; parted into (N, kept, H, W), which goes on, and (N, bent, H, W).

    >>> step = FactorOut(4, lambda reads, says: nn.Conv2d(reads, says, 1))
    >>> x = torch.rand(5, 4, 2, 2)
    >>> kept, done = step.parted(step(x)[0])
    >>> kept.shape, done.shape, torch.allclose(step.inverse(step.joined(kept, done)), x, atol=1e-6)
    (torch.Size([5, 2, 2, 2]), torch.Size([5, 2, 2, 2]), True)

    Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, 2017, "Density estimation using Real NVP", section 3.6; the
    network: D. Kingma, P. Dhariwal, 2018, "Glow", section 3.6 and its code (a learnt prior for each split).
    """

    def __init__(self, channels: int, network: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.coupling = Coupling(channels, network)
        self.kept, self.bent = self.coupling.kept, self.coupling.bent

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Bend the half that will be done, and say the logarithm of how much volumes grow (N,)."""
        found: tuple[Tensor, Tensor] = self.coupling(x)
        return found

    def inverse(self, y: Tensor) -> Tensor:
        """Bend back."""
        return self.coupling.inverse(y)

    def parted(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Part the channels: what goes on, and what is done."""
        return self.coupling.halves(y)

    def joined(self, kept: Tensor, done: Tensor) -> Tensor:
        """Put the channels together again."""
        return self.coupling.whole(kept, done)
