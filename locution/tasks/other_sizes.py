"""Arrangements of other sizes than were learnt from: does what was learnt hold for fewer elements, and for more?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from locution.data.hulls import random_hulls
from locution.data.tours import MOST, random_tours, tour_lengths
from locution.engine.random import generator
from locution.reporting.results import Graph

Answers = list[list[int]]
Pick = Callable[[Tensor, int], Answers]
TOURS, HULLS = (4, 5, 6, 8, 9, 10, 11, MOST), (5, 8, 10, 15, 20, 30)
MAPS = 200  # of each size


def tours_of_other_sizes(pick: Pick, learnt: int, beams: int, seed: int, sizes: tuple[int, ...] = TOURS) -> Graph:
    """Draw how much longer than the shortest tours are through fewer and through more cities than were learnt from.

    pick: from points (N, n, 2) and a number of beams to the elements of each, in their order. learnt: how many cities
    the maps had. All maps are new, the shortest tours exact.

    >>> in_turn = lambda points, beams: [list(range(points.shape[1]))] * len(points)
    >>> tours_of_other_sizes(in_turn, 5, 2, seed=0, sizes=(3,)).lines["one after another"]  # any way is the shortest
    ([3], [0.0])

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", section 4.3 and table 2.
    """

    def over(points: Tensor, orders: Tensor, answers: Answers) -> float:
        lengths, shortest = (tour_lengths(points, some) for some in (torch.tensor(answers), orders))
        return 100 * float((lengths / shortest - 1).mean().clamp(min=0.0))

    lines: dict[str, tuple[list[int], list[float]]] = {"one after another": ([], []), f"{beams} beams": ([], [])}
    for size in sizes:
        points, orders = random_tours(MAPS, size, generator(seed, "tours of other sizes", size))
        for (across, up), width in zip(lines.values(), (1, beams), strict=True):
            across.append(size)
            up.append(over(points, orders, pick(points, width)))
    note = f"% longer than the shortest, on {MAPS} new maps of each size; learnt from {learnt} cities"
    return Graph("Other numbers of cities", lines, across="cities", note=note, up="% longer", marked=True)


def hulls_of_other_sizes(pick: Pick, learnt: int, areas: Callable[[Tensor, Answers], list[float]], seed: int) -> Graph:
    """Draw how much of a hull's area is covered, and how often every corner is right, of fewer and of more points.

    pick, learnt: as in `tours_of_other_sizes`. areas: measures the area within each answer.

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", section 4.1 and table 1.
    """
    lines: dict[str, tuple[list[int], list[float]]] = {"area covered": ([], []), "every corner right": ([], [])}
    for size in HULLS:
        points, orders = random_hulls(MAPS, size, generator(seed, "hulls of other sizes", size))
        truths = [[one for one in row if 0 <= one < size] for row in orders.tolist()]
        answers = pick(points, 1)
        covered = torch.tensor(areas(points, answers)) / torch.tensor(areas(points, truths))
        right = sum(answer == truth for answer, truth in zip(answers, truths, strict=True)) / MAPS
        for (across, up), value in zip(lines.values(), (float(covered.mean()), right), strict=True):
            across.append(size)
            up.append(value)
    note = f"shares, on {MAPS} new sets of each size; learnt from {learnt} points"
    return Graph("Other numbers of points", lines, across="points", note=note, up="share", marked=True)
