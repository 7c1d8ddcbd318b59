"""Tours: random cities, and the shortest way through all of them and back, found exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.engine import TensorBatches
from locution.engine.random import generator
from locution.errors import require

MOST = 12  # cities: work and memory double with each more
AT_ONCE = 2048
Draw = Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]


def tour_lengths(points: Tensor, tours: Tensor) -> Tensor:
    """Measure how long it is through all cities in an order and back to the first: (N, n, 2), (N, n) -> (N,).

    >>> square = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    >>> tour_lengths(square, torch.tensor([[0, 1, 2, 3]])), tour_lengths(square, torch.tensor([[0, 2, 1, 3]]))
    (tensor([4.]), tensor([4.8284]))
    """
    visited = points.gather(1, tours[..., None].expand(-1, -1, points.shape[-1]))  # (N, n, 2)
    steps: Tensor = torch.linalg.vector_norm(visited - visited.roll(-1, 1), dim=-1)
    return steps.sum(1)


def shortest_tours(points: Tensor) -> Tensor:
    """The travelling salesman's problem asks for the shortest way through all cities and back; this solves it exactly.

    Held and Karp's dynamic programme: the shortest way from the first city through a set of others to one of them
    extends the shortest way through the set without it. It takes n^2 2^n steps, many maps at once.

    points: (N, n, 2), from 3 to 12 cities. Returns (N, n): the order, from city 0 on and counter-clockwise, so that
    each map has one answer.

    >>> shortest_tours(torch.tensor([[[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]]))
    tensor([[0, 3, 1, 2]])

    Reference: M. Held, R. Karp, 1962, "A dynamic programming approach to sequencing problems", section 2.
    """
    require(3 <= points.shape[1] <= MOST, "cities", points.shape[1], f"a whole number from 3 to {MOST}")
    return torch.cat([_shortest(some) for some in torch.split(points, AT_ONCE)])


def _shortest(points: Tensor) -> Tensor:
    """Solve one lot. Sets of cities 1 to n - 1 are bits; `best[s][:, j]` went through all of s and ends in j + 1."""
    count, cities = len(points), points.shape[1]
    others = cities - 1
    gaps = torch.cdist(points, points)  # (N, n, n)
    between = gaps[:, 1:, 1:]
    best = torch.full((1 << others, count, others), math.inf, dtype=gaps.dtype)
    came = torch.zeros(1 << others, count, others, dtype=torch.int8)
    for one in range(others):
        best[1 << one, :, one] = gaps[:, 0, one + 1]
    for through in range(1, 1 << others):
        free = [one for one in range(others) if not through >> one & 1]
        if not free:
            continue
        members = [one for one in range(others) if through >> one & 1]
        ways = best[through][:, members, None] + between[:, members][:, :, free]  # (N, members, free)
        found, by = ways.min(1)
        for at, one in enumerate(free):
            wider = through | 1 << one
            best[wider, :, one] = found[:, at]
            came[wider, :, one] = torch.tensor(members, dtype=torch.int8)[by[:, at]]
    return _retraced(points, best[-1] + gaps[:, 1:, 0], came)


def _retraced(points: Tensor, closed: Tensor, came: Tensor) -> Tensor:
    """Go back from the best last city to the first, and turn each tour counter-clockwise."""
    rows = torch.arange(len(points))
    last, through = closed.argmin(1), torch.full((len(points),), len(came) - 1)
    order = [last]
    for _ in range(points.shape[1] - 2):
        before = came[through, rows, last].long()
        through = through & ~(1 << last)
        last = before
        order.append(last)
    tours = torch.stack([torch.full_like(last, -1), *reversed(order)], 1) + 1  # (N, n), city 0 first
    return counter_clockwise(points, tours)


def counter_clockwise(points: Tensor, tours: Tensor) -> Tensor:
    """Turn tours that run clockwise around; the first city stays the first."""
    at = points.gather(1, tours[..., None].expand(-1, -1, 2))  # (N, n, 2)
    after = at.roll(-1, 1)
    area = (at[..., 0] * after[..., 1] - after[..., 0] * at[..., 1]).sum(1)  # twice the signed area
    other = torch.cat([tours[:, :1], tours[:, 1:].flip(1)], 1)
    return torch.where((area < 0)[:, None], other, tours)


def random_tours(count: int, cities: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw cities evenly in a square of side 1, and find their shortest tours: (N, n, 2), (N, n)."""
    points = torch.rand(count, cities, 2, generator=stream)
    return points, shortest_tours(points)


@dataclass(frozen=True)
class ToursData:
    """Maps of cities, each drawn evenly in a square of side 1, and the shortest tour of each, found exactly.

    `count` maps to learn from, `development` and `test` held out; all are drawn from `draw`, which the run's seed does
    not change. Ten cities have a shortest tour of 2.87 on average.

    >>> data = ToursData(cities=5, count=8, development=4, test=4).load(seed=0)
    >>> data.train.inputs.shape, data.train.targets.shape
    (torch.Size([8, 5, 2]), torch.Size([8, 5]))

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", section 4.3.
    """

    cities: int = 10
    count: int = 100_000
    development: int = 500
    test: int = 1000
    batch_size: int = 256
    draw: int = 0

    def __post_init__(self) -> None:
        require(3 <= self.cities <= MOST, "data.cities", self.cities, f"a whole number from 3 to {MOST}")
        for name in ("count", "test", "batch_size"):
            require(getattr(self, name) >= 1, f"data.{name}", getattr(self, name), "a whole number from 1")
        require(self.development >= 0, "data.development", self.development, "a whole number from 0")

    def load(self, seed: int) -> Dataset:
        """Draw the maps and solve them."""
        return solved(self, "tours", self.cities, random_tours, f"tours of {self.cities} cities")


def solved(data: Any, name: str, elements: int, draw: Draw, source: str, **sizes: Any) -> Dataset:
    """Draw questions and their exact answers, in three parts that share none, each by a stream of its own.

    data: says how many there are, and by which `draw`. draw: from a count, the elements of each and a stream, to
    questions (N, n, 2) and answers (N, m).
    """
    counts = (data.test, data.development, data.count)
    test, development, train = (
        draw(count, elements, generator(data.draw, name, number)) for number, count in enumerate(counts)
    )
    return Dataset(
        TensorBatches(*train, batch_size=data.batch_size),
        held_out(*development),
        held_out(*test),
        inputs=(elements, 2),
        outputs=elements,
        source=source,
        sizes=sizes,
    )
