"""The normalising flow: data are bent into a Gaussian step by step, and a Gaussian back into data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.couplings import Coupling, FactorOut
from locution.models.invertible import ActNorm, InvertibleLinear, Logit, Squeeze

Mixing = Literal["linear", "swap"]
FIRST = 0.3  # of their usual size have the last weights in a coupling at first, so that it begins gently


class Flow(nn.Module):
    """A normalising flow bends data into a Gaussian by steps that can be undone, and so knows the density of the data.

    The logarithm of the density at a place is that of the Gaussian at where the place is taken to, plus the logarithm
    of how much the way there stretches. Undone, the steps make new examples of Gaussian noise.

    Parameters
    ----------
    shape: of one input. steps: modules whose forward gives (y, how much volumes grow (N,)), and which have `inverse`.

    Shapes: (N, *shape) in; a dict out of "log_likelihood" (N,), in nats, and "latent" (N, D).

    >>> flow = Flow((2,), [ActNorm(2)])
    >>> flow(torch.zeros(1, 2))["log_likelihood"].tolist()  # -ln 2 pi
    [-1.8379]

    Reference: D. Rezende, S. Mohamed, 2015, "Variational inference with normalizing flows", eqs. 6 and 7; L. Dinh, J.
    Sohl-Dickstein, S. Bengio, 2017, "Density estimation using Real NVP", section 3.1.
    """

    def __init__(self, shape: Sequence[int], steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.shape, self.steps = tuple(shape), nn.ModuleList(steps)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Say where each example is taken to, and how likely it is."""
        latent, grown = self.encode(x)
        size = latent.shape[1]
        log_likelihood = grown - 0.5 * (latent.square().sum(1) + size * math.log(2 * math.pi))
        return {"log_likelihood": log_likelihood, "latent": latent}

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Go from data to noise: (N, *shape) -> (N, D), and the logarithm of how much volumes grow (N,)."""
        if x.shape[1:] != self.shape or not x.is_floating_point():
            kind = str(x.dtype).removeprefix("torch.")
            raise UserError(f"the flow got {kind} of {tuple(x.shape)}; allowed: fractions of (N, {self.wanted()}).")
        total: Any = 0.0
        done: list[Tensor] = []
        y = x if len(self.shape) == 3 else x.flatten(1)
        for step in self.steps:
            y, grown = step(y)
            if isinstance(step, FactorOut):
                y, ready = step.parted(y)
                done.append(ready.flatten(1))
            total = total + grown
        return torch.cat([*done, y.flatten(1)], 1) if done else y.flatten(1), total

    def inverse(self, latent: Tensor) -> Tensor:
        """Go from noise to data: (N, D) -> (N, *shape)."""
        shapes = self.shapes()
        parts = list(torch.split(latent, [math.prod(shape) for shape in shapes], 1))
        y: Tensor = parts.pop().view(len(latent), *shapes.pop())
        for step in reversed(self.steps):
            if isinstance(step, FactorOut):
                y = step.joined(y, parts.pop().view(len(latent), *shapes.pop()))
            y = step.inverse(y)  # type: ignore[operator]
        return y.view(len(y), *self.shape)

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what is factored out on the way, and of what is left at the end: the parts of a latent."""
        if len(self.shape) != 3:
            return [(math.prod(self.shape),)]
        done: list[tuple[int, ...]] = []
        channels, height, width = self.shape
        for step in self.steps:
            if isinstance(step, Squeeze):
                channels, height, width = 4 * channels, height // 2, width // 2
            elif isinstance(step, FactorOut):
                done.append((step.bent, height, width))
                channels = step.kept
        return [*done, (channels, height, width)]

    def wanted(self) -> str:
        """Write the shape of an input."""
        return ", ".join(map(str, self.shape))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Let each actnorm begin so that these data come out of it with mean 0 and deviation 1."""
        y = x if len(self.shape) == 3 else x.flatten(1)
        for step in self.steps:
            if isinstance(step, ActNorm):
                step.initialise(y)
            y, _ = step(y)
            y = step.parted(y)[0] if isinstance(step, FactorOut) else y

    def sample(self, count: int, draw: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Draw new examples (count, *shape); below 1 the temperature keeps nearer to the likeliest."""
        weight = next(self.parameters())
        noise = torch.randn(count, math.prod(self.shape), generator=draw) * temperature
        return self.inverse(noise.to(weight))


def conditioner(widths: Sequence[int], pictures: bool) -> Any:
    """Make what makes the network inside a coupling: fully connected layers, or convolutions for pictures.

    Its last layer begins small, so that at first a coupling bends little.

    >>> conditioner((8,), pictures=False)(1, 2)(torch.zeros(5, 1)).shape
    torch.Size([5, 2])
    """

    def make(reads: int, says: int) -> nn.Module:
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise((reads, *widths, says))):
            if pictures:  # the first and the last see the places around, as in Glow
                size = 3 if number in (0, len(widths)) else 1
                layers += [nn.Conv2d(before, after, size, padding=size // 2), nn.ReLU()]
            else:
                layers += [nn.Linear(before, after), nn.ReLU()]
        last: Any = layers[-2]
        with torch.no_grad():
            last.weight.mul_(FIRST)
            last.bias.zero_()
        return nn.Sequential(*layers[:-1])

    return make


def squeezes(inputs: tuple[int, ...]) -> int:
    """Count how often pictures are squeezed: as long as both sides are even and 4 or more, at least once.

    >>> squeezes((1, 8, 8)), squeezes((3, 28, 28)), squeezes((1, 2, 2))
    (2, 2, 1)
    """
    _, height, width = inputs
    count = 0
    while height % 2 == 0 and width % 2 == 0 and (min(height, width) >= 4 or not count):
        height, width, count = height // 2, width // 2, count + 1
    return count


@dataclass(frozen=True)
class FlowModel:
    """A normalising flow bends data into a Gaussian by steps that can be undone, and so knows the density of the data.

    Each of the `steps` is an actnorm, a mixing of the channels and a coupling, as in Glow. `coupling`: affine scales
    and shifts one half, spline bends it along a rising curve of `bins` pieces. `widths`: of the hidden layers of the
    network in each coupling. `mixing`: linear, by an invertible 1x1 convolution; or swap, the halves by turns, as in
    Real NVP. `actnorm`: whether there is any. `bounded`: the data lie from 0 to 1, and are taken to all numbers first.
    Pictures are squeezed to more channels of half the size, `steps` at each size; all else is one vector. `multiscale`:
    behind each size but the last, half of the channels are factored out, and the other half goes on.

    >>> flow = FlowModel(steps=2).build(inputs=(1, 8, 8), outputs=10)
    >>> flow(torch.zeros(5, 1, 8, 8))["log_likelihood"].shape
    torch.Size([5])

    Reference: D. Kingma, P. Dhariwal, 2018, "Glow: generative flow with invertible 1x1 convolutions", figure 2.
    """

    steps: int = 8
    coupling: Literal["affine", "spline"] = "affine"
    bins: int = 8
    widths: tuple[int, ...] = (64, 64)
    mixing: Mixing = "linear"
    actnorm: bool = True
    bounded: bool = False
    multiscale: bool = False

    def __post_init__(self) -> None:
        require(self.steps >= 1, "model.steps", self.steps, "a whole number from 1, usually 4 to 16")
        require(self.coupling in ("affine", "spline"), "model.coupling", self.coupling, "affine or spline")
        require(2 <= self.bins <= 50, "model.bins", self.bins, "a whole number from 2 to 50, usually 8")
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        require(self.mixing in ("linear", "swap"), "model.mixing", self.mixing, "linear or swap")

    def build(self, inputs: tuple[int, ...], outputs: int) -> Flow:
        """Make the flow; how many classes the data have does not matter."""
        pictures, size = len(inputs) == 3, math.prod(inputs)
        if size < 2 or (pictures and not squeezes(inputs)):
            allowed = "two numbers or more, (D,), or pictures (C, H, W) of even sides"
            raise UserError(f"model flow came upon inputs {inputs}; allowed: {allowed}.")
        stack: list[nn.Module] = [Logit()] if self.bounded else []
        if not pictures and self.multiscale:
            raise UserError(f"model.multiscale is true for inputs {inputs}; allowed: false, or pictures (C, H, W).")
        if not pictures:
            return Flow(inputs, [*stack, *self.stage(size, False)])
        channels, times = inputs[0], squeezes(inputs)
        for number in range(times):
            channels *= 4
            stack += [Squeeze(), *self.stage(channels, True)]
            if self.multiscale and number < times - 1:
                stack.append(FactorOut(channels, conditioner(self.widths, True)))
                channels -= channels // 2
        return Flow(inputs, stack)

    def stage(self, channels: int, pictures: bool) -> list[nn.Module]:
        """Make the steps at one size."""
        layers: list[nn.Module] = []
        bins, make = self.bins if self.coupling == "spline" else 0, conditioner(self.widths, pictures)
        for number in range(self.steps):
            layers += [ActNorm(channels)] if self.actnorm else []
            layers += [InvertibleLinear(channels)] if self.mixing == "linear" else []
            layers.append(Coupling(channels, make, bins, swap=self.mixing == "swap" and number % 2 == 1))
        return layers
