"""Convex hulls: random points, and those of them that a rubber band around all would touch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.data.tours import solved
from locution.errors import require

NONE = -1  # behind the end of an answer


def convex_hull(points: Tensor) -> list[int]:
    """The convex hull of points is the smallest convex polygon that holds them all: here the points at its corners.

    Andrew's monotone chain: the points are gone through from left to right and back, and whatever turns the wrong way
    is dropped. points: (n, 2), in general position. Returns the corners counter-clockwise, from the leftmost on.

    >>> convex_hull(torch.tensor([[0.5, 0.4], [1.0, 0.0], [0.0, 0.1], [0.6, 1.0]]))
    [2, 1, 3]

    Reference: A. Andrew, 1979, "Another efficient algorithm for convex hulls in two dimensions".
    """
    at = points.tolist()
    order = sorted(range(len(at)), key=lambda one: at[one])

    def turns(a: int, b: int, c: int) -> float:
        """Above 0 where the way from a over b to c turns to the left."""
        (ax, ay), (bx, by), (cx, cy) = at[a], at[b], at[c]
        found: float = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        return found

    def half(some: list[int]) -> list[int]:
        chain: list[int] = []
        for one in some:
            while len(chain) >= 2 and turns(chain[-2], chain[-1], one) <= 0:
                chain.pop()
            chain.append(one)
        return chain[:-1]

    return half(order) + half(order[::-1])


def polygon_area(corners: Tensor) -> float:
    """Measure the area within a polygon (n, 2), by the shoelace formula; below 0 where it runs clockwise.

    >>> polygon_area(torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]))
    2.0
    """
    x, y = corners.double().unbind(-1)
    return float((x * y.roll(-1) - y * x.roll(-1)).sum() / 2)


def random_hulls(count: int, points: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw points evenly in a square of side 1 and find their hulls: (N, n, 2), and answers (N, n + 1) that are the
    corners, the end (n), and -1 behind it."""
    places = torch.rand(count, points, 2, generator=stream)
    answers = torch.full((count, points + 1), NONE)
    for row, some in enumerate(places):
        hull = [*convex_hull(some), points]
        answers[row, : len(hull)] = torch.tensor(hull)
    return places, answers


@dataclass(frozen=True)
class HullsData:
    """Random points, and the corners of their convex hull in order: an answer whose length depends on the question.

    `points` a set, `count` sets to learn from, `development` and `test` held out; all are drawn from `draw`, which the
    run's seed does not change.

    >>> data = HullsData(points=5, count=8, development=4, test=4).load(seed=0)
    >>> data.train.inputs.shape, data.train.targets.shape
    (torch.Size([8, 5, 2]), torch.Size([8, 6]))

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", section 4.1.
    """

    points: int = 10
    count: int = 50_000
    development: int = 500
    test: int = 1000
    batch_size: int = 256
    draw: int = 0

    def __post_init__(self) -> None:
        require(3 <= self.points <= 1000, "data.points", self.points, "a whole number from 3 to 1000")
        for name in ("count", "test", "batch_size"):
            require(getattr(self, name) >= 1, f"data.{name}", getattr(self, name), "a whole number from 1")
        require(self.development >= 0, "data.development", self.development, "a whole number from 0")

    def load(self, seed: int) -> Dataset:
        """Draw the sets and find their hulls."""
        return solved(self, "hulls", self.points, random_hulls, f"hulls of {self.points} points", ends=True)
