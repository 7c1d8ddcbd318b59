"""Near duplicates: examples of one part of the data that are, but for a little noise, examples of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import UserError

NEIGHBOUR, FARTHER = 5, 10  # four copies of one example do not pass for what is usual
USUAL = {"rows": 0.07, "pictures": 0.2}  # of the distance to the fifth neighbour, at most
WIDEST = {"rows": 0.05, "pictures": 0.22}  # of the distance of any two, at most
CHANCE = 0.01  # of finding even one pair where there is none
SAMPLE, CHUNK = 1000, 1024
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
    neighbours of this data are: closer than 7 % (pictures: 20 %) of the distance from the one in `first` to its fifth
    neighbour there; less where the data have so few dimensions that examples come as close by chance (a share rho of
    that distance holds 5 rho ** dimensions others; the dimensions are estimated from the data). Not finite counts as
    zero.

    Returns at most one pair for each example of `second`, with the one of `first` that it is most alike, closest
    pairs first. Errors: UserError where the shapes do not fit.

    >>> draw = torch.Generator().manual_seed(0)
    >>> train = torch.rand(100, 1, 8, 8, generator=draw)
    >>> test = torch.rand(10, 1, 8, 8, generator=draw)
    >>> test[3] = 0.8 * train[42] + 0.1  # paler, and brighter
    >>> near_duplicates(train, test)
    [Pair(first=42, second=3, likeness=1.0)]

    Reference: B. Barz, J. Denzler, 2020, "Do we train on test data? Purging CIFAR of near-duplicates";
    dimensions: E. Levina, P. Bickel, 2004, "Maximum likelihood estimation of intrinsic dimension", section 3.
    """
    if first.shape[1:] != second.shape[1:]:
        shapes = f"{tuple(first.shape[1:])} and {tuple(second.shape[1:])}"
        raise UserError(f"the examples of the two parts are {shapes}; allowed: one shape.")
    if not len(first) or not len(second):
        return []
    kind = "rows" if first.dim() <= 2 else "pictures"
    a, b = (rows if kind == "rows" else pictures)(first, second)  # (N, F), (M, F)
    share, usual, whole = closeness(a, len(b), kind)
    reach, least = min(share * usual, WIDEST[kind] * whole), 1e-9 * whole
    close = []
    for start, distances in chunks(b, a):
        for at, nearest in enumerate(distances.argmin(1).tolist(), start):
            apart = float((a[nearest] - b[at]).norm())  # anew: a product of matrices is less exact
            if apart <= reach + least:
                close.append((nearest, at, apart))
    around = neighbours(a, sorted({nearest for nearest, _, apart in close if apart > least}))
    pairs = [
        Pair(nearest, at, round(max(0.0, 1 - apart / whole), 4))
        for nearest, at, apart in close
        if apart <= least or apart <= share * around[nearest]
    ]
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


def neighbours(points: Tensor, asked: list[int]) -> dict[int, float]:
    """Measure the distance from some of the points to their fifth neighbour."""
    found: dict[int, float] = {}
    rank = min(NEIGHBOUR + 1, len(points))  # each is its own nearest
    for start, distances in chunks(points[asked], points):
        fifth = distances.clamp(min=0).topk(rank, largest=False).values[:, -1].sqrt()
        found |= dict(zip(asked[start : start + CHUNK], fifth.tolist(), strict=True))
    return found


def closeness(points: Tensor, count: int, kind: str) -> tuple[float, float, float]:
    """Say how close is too close for chance: as a share of the distance to the fifth neighbour, how far that usually
    is, and how far apart any two are.

    `count` examples are looked for, so each may come so close by chance only as seldom as CHANCE / count.
    """
    draw = generator(0, "near_duplicates")
    sample = points[torch.randperm(len(points), generator=draw)[:SAMPLE].sort().values]
    if len(points) <= FARTHER:
        return 0.0, 0.0, 1.0
    fifth, tenth, far = [], [], []
    for _, distances in chunks(sample, points):
        distances = distances.clamp(min=0)
        nearest = distances.topk(FARTHER + 1, largest=False).values.sqrt()  # each is its own nearest
        fifth.append(nearest[:, NEIGHBOUR])
        tenth.append(nearest[:, FARTHER])
        far.append(distances.mean(1))
    whole = max(float(torch.cat(far).mean().sqrt()), 1e-12)
    near, further = torch.cat(fifth), torch.cat(tenth)
    there = near > 1e-6 * whole
    if not bool(there.any()):
        return 0.0, 0.0, whole
    growth = float((further[there] / near[there]).log().mean())  # (1/5 + ... + 1/9) / dimensions, on average
    dimensions = sum(1 / n for n in range(NEIGHBOUR, FARTHER)) / max(growth, 1e-3)
    rare = (CHANCE / (NEIGHBOUR * count)) ** (1 / dimensions)
    return min(USUAL[kind], rare), float(near.median()), whole
