"""Near duplicates: examples of one part of the data that are, but for a little noise, examples of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import UserError

NEIGHBOUR = 5  # up to this many copies of one example do not pass for what is usual
USUAL = {"rows": 0.07, "pictures": 0.2}  # of the usual distance to the fifth neighbour; further apart is chance
WIDEST = {"rows": 0.05, "pictures": 0.22}  # of the distance of any two
SAMPLE, CHUNK = 1000, 1024
FEWEST = 4  # in fewer columns than these, numbers come close by chance
THUMBNAIL = 16


@dataclass(frozen=True, order=True)
class Pair:
    """A pair of near duplicates: where each stands in its part, and how alike they are, 1.0 for a copy."""

    first: int
    second: int
    likeness: float


def near_duplicates(first: Tensor, second: Tensor) -> list[Pair]:
    """Near duplicates are examples so much alike that one is likely a copy of the other, give or take some noise.

    Numbers in columns (N, F) are standardised; pictures (N, C, H, W), or anything else of more than two axes, are
    made small and freed of brightness and contrast. Two examples are near duplicates if they are far closer than
    neighbours of this data usually are: closer than 7 % (pictures: 20 %) of the usual distance from an example to its
    fifth neighbour in `first`. In fewer than four columns that vary, only copies count, for there numbers come close
    by chance. Not finite counts as zero.

    Returns at most one pair for each example of `second`, with the one of `first` that it is most alike, closest
    pairs first. Errors: UserError where the shapes do not fit.

    >>> draw = torch.Generator().manual_seed(0)
    >>> train = torch.rand(100, 1, 8, 8, generator=draw)
    >>> test = torch.rand(10, 1, 8, 8, generator=draw)
    >>> test[3] = 0.8 * train[42] + 0.1  # paler, and brighter
    >>> near_duplicates(train, test)
    [Pair(first=42, second=3, likeness=1.0)]

    Reference: B. Barz, J. Denzler, 2020, "Do we train on test data? Purging CIFAR of near-duplicates", section 3.
    """
    if first.shape[1:] != second.shape[1:]:
        shapes = f"{tuple(first.shape[1:])} and {tuple(second.shape[1:])}"
        raise UserError(f"the examples of the two parts are {shapes}; allowed: one shape.")
    if not len(first) or not len(second):
        return []
    kind = "rows" if first.dim() <= 2 else "pictures"
    a, b = (rows if kind == "rows" else pictures)(first, second)  # (N, F), (M, F)
    varying = int((a != a[0]).any(0).sum())
    reach, whole = tolerance(a, kind) if varying >= FEWEST else (0.0, 1.0)
    pairs = []
    for start, distances in chunks(b, a):
        for at, nearest in enumerate(distances.argmin(1).tolist()):
            apart = float((a[nearest] - b[start + at]).norm())  # anew: a product of matrices is less exact
            if apart <= reach + 1e-6 * whole:
                pairs.append(Pair(nearest, start + at, round(max(0.0, 1 - apart / whole), 4)))
    return sorted(pairs, key=lambda pair: (-pair.likeness, pair.second))


def rows(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise columns of numbers, by the mean and the spread of the first part."""
    a, b = (torch.nan_to_num(part.reshape(len(part), -1).double(), 0.0, 0.0, 0.0) for part in (first, second))
    mean, spread = a.mean(0), a.std(0, correction=0)
    spread = torch.where(spread > 1e-9 * (1 + mean.abs()), spread, torch.ones_like(spread))
    return (a - mean) / spread, (b - mean) / spread


def pictures(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Make pictures small, and free of brightness and contrast: what is left is of length one.

    The squared distance of two is then 2 - 2 times their correlation.
    """

    def small(part: Tensor) -> Tensor:
        part = torch.nan_to_num(part.float(), 0.0, 0.0, 0.0)
        if part.dim() == 4 and max(part.shape[-2:]) > THUMBNAIL:
            part = torch.nn.functional.adaptive_avg_pool2d(part, THUMBNAIL)  # (N, C, 16, 16)
        flat: Tensor = part.flatten(1).double()
        flat = flat - flat.mean(1, keepdim=True)
        length: Tensor = flat.norm(dim=1, keepdim=True)
        return flat / length.clamp(min=1e-6)

    return small(first), small(second)


def chunks(queries: Tensor, among: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Measure the squared distances from each query to all others, some hundred queries at a time."""
    squares = among.square().sum(1)  # (N,)
    for start in range(0, len(queries), CHUNK):
        part = queries[start : start + CHUNK]
        yield start, squares + part.square().sum(1, keepdim=True) - 2 * part @ among.T  # (chunk, N)


def tolerance(points: Tensor, kind: str) -> tuple[float, float]:
    """Say how close is too close for chance, and how far apart any two usually are.

    Copies among the points themselves do not count, as long as an example has no more than four.
    """
    draw = generator(0, "near_duplicates")
    sample = points[torch.randperm(len(points), generator=draw)[:SAMPLE].sort().values]
    neighbours = min(NEIGHBOUR + 1, len(points))  # each is its own nearest
    fifth, far = [], []
    for _, distances in chunks(sample, points):
        distances = distances.clamp(min=0)
        fifth.append(distances.topk(neighbours, largest=False).values[:, -1])
        far.append(distances.mean(1))
    usual, whole = float(torch.cat(fifth).median().sqrt()), float(torch.cat(far).mean().sqrt())
    return min(USUAL[kind] * usual, WIDEST[kind] * whole), max(whole, 1e-12)
