"""Sprites: small generated pictures of which every cause of variation is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from locution.data.dataset import Dataset, check_shares, held_out
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require

FACTORS = ("shape", "scale", "rotation", "x", "y")
SHAPES = ("square", "ellipse", "heart")
SUPERSAMPLED = 4  # points along each side of a pixel: the share of them inside is how dark it is


def inside(shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Say which points lie in a shape of size 1 around the origin, y upward: 0 square, 1 ellipse, 2 heart.

    Shapes: all broadcast to one; returns True and False of that shape.

    >>> inside(torch.tensor([0, 1, 2]), torch.tensor(0.0), torch.tensor(0.7))
    tensor([ True, False,  True])
    """
    square = (x.abs() <= 0.8) & (y.abs() <= 0.8)
    ellipse = x.square() + (y / 0.5).square() <= 1.0
    u, v = 1.2 * x, 1.2 * (y + 0.1)
    heart = (u.square() + v.square() - 1).pow(3) - u.square() * v.pow(3) <= 0.0
    return torch.where(shape == 0, square, torch.where(shape == 1, ellipse, heart))


def draw_sprites(places: Tensor, side: int) -> Tensor:
    """Draw sprites by what causes them: (N, 5) -> (N, 1, side, side), from 0 to 1, how much of a pixel is covered.

    places: of each sprite its shape (0, 1 or 2), its size as a share of half the side, its turn in radians, and where
    its middle lies, from 0 to 1, from left to right and from the top down.

    >>> picture = draw_sprites(torch.tensor([[0.0, 0.625, 0.0, 0.5, 0.5]]), side=8)[0, 0]  # a square of 4 x 4 pixels
    >>> picture.sum().item(), picture[2:6, 2:6].min().item()
    (16.0, 1.0)
    """
    steps = side * SUPERSAMPLED
    centres = (torch.arange(steps) + 0.5) / steps  # of the points, from 0 to 1
    shape, size, turn, across, down = places[:, :, None, None].unbind(1)  # each (N, 1, 1)
    dx, dy = 2 * (centres[None, None, :] - across) / size, -2 * (centres[None, :, None] - down) / size
    cosine, sine = turn.cos(), turn.sin()
    covered = inside(shape, cosine * dx + sine * dy, cosine * dy - sine * dx)  # (N, steps, steps)
    return torch.nn.functional.avg_pool2d(covered[:, None].float(), SUPERSAMPLED)


def grid(counts: tuple[int, ...]) -> Tensor:
    """Name every combination of factors of so many values each: (product, K), whole numbers from 0.

    >>> grid((2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return torch.tensor(list(product(*(range(count) for count in counts))))


@dataclass(frozen=True)
class SpritesData:
    """Sprites are small pictures of a square, an ellipse or a heart, drawn by known causes: shape, size, turn, place.

    Every combination occurs once: 3 shapes, `scales` sizes, `rotations` turns from upright to just below a quarter
    turn, and `positions` places across and down. Pictures (1, side, side) go from 0 to 1; targets (5,) are the numbers
    of the combination, each from 0. `development` and `test` are the shares held out, chosen by the seed `split`.

    >>> data = SpritesData(scales=2, rotations=2, positions=3, side=8).load(seed=0)
    >>> data.describe()
    'sprites: 98 to learn from, 5 to tune on, 5 to be judged by; each (1, 8, 8) -> 5 numbers'

    Reference: L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, 2017, "dSprites: disentanglement testing sprites
    dataset" (the larger set of the same kind; none of its pictures are used).
    """

    batch_size: int = 64
    side: int = 16
    scales: int = 4
    rotations: int = 8
    positions: int = 8
    development: float = 0.05
    test: float = 0.05
    split: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        require(8 <= self.side <= 64, "data.side", self.side, "8 to 64 pixels")
        for name in ("scales", "rotations", "positions"):
            value = getattr(self, name)
            require(1 <= value <= 40, f"data.{name}", value, "a whole number from 1 to 40")
        check_shares(self.development, self.test)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each factor has: shape, scale, rotation, x and y."""
        return (len(SHAPES), self.scales, self.rotations, self.positions, self.positions)

    def places(self, factors: Tensor) -> Tensor:
        """Turn the numbers of a combination, (N, 5), into what `draw_sprites` takes."""
        shape, scale, rotation, x, y = factors.float().unbind(1)
        size = 0.35 + 0.25 * scale / max(1, self.scales - 1)
        turn = rotation / self.rotations * math.pi / 2
        x, y = (0.3 + 0.4 * place / max(1, self.positions - 1) for place in (x, y))
        return torch.stack([shape, size, turn, x, y], 1)

    def load(self, seed: int) -> Dataset:
        """Draw every combination and split them; the run's seed has no part in it."""
        factors = grid(self.counts)
        pictures = torch.cat([draw_sprites(some, self.side) for some in torch.split(self.places(factors), 256)])
        order = torch.randperm(len(factors), generator=generator(self.split, "sprites"))
        held = [round(share * len(factors)) for share in (self.development, self.test)]
        rest, development, test = (part.sort().values for part in torch.split(order, [len(factors) - sum(held), *held]))
        return Dataset(
            TensorBatches(pictures[rest], factors[rest].float(), batch_size=self.batch_size),
            held_out(pictures[development], factors[development].float()),
            held_out(pictures[test], factors[test].float()),
            inputs=(1, self.side, self.side),
            outputs=len(FACTORS),
            source="sprites",
            factors=FACTORS,
        )
