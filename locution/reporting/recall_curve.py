"""How much a search finds against how fast it answers, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from locution.estimators.neighbours import NearestNeighbours, recall
from locution.reporting.results import Graph

TIMES = 3


def recall_and_speed(
    points: ArrayLike, queries: ArrayLike, efforts: Mapping[str, Sequence[int]], count: int = 10
) -> Graph:
    """The curve of recall against speed shows what a search pays for finding more of the true nearest neighbours.

    Index by index and effort by effort it has the share that is found and how many queries a second are answered; exact
    search, which finds them all, stands beside.

    points (M, D), queries (N, D), efforts: for "hnsw" and "ivf_pq" the efforts to try; count: neighbours asked for.
    Each is timed three times, and the fastest counts: what else a machine does only ever slows it down.

    >>> import numpy as np
    >>> points = np.random.default_rng(0).normal(size=(300, 4))
    >>> found = recall_and_speed(points, points[:20], {"hnsw": [300]}, count=3)
    >>> found.lines["hnsw"][0]  # as many candidates as points: all are found
    [1.0]

    Reference: M. Aumueller, E. Bernhardsson, A. Faithfull, 2020, "ANN-Benchmarks", section 2.
    """
    search = NearestNeighbours().fit(points)
    truth, speed = timed(search, queries, count)
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for index, tried in efforts.items():
        shares, speeds = [], []
        built = NearestNeighbours(index=index).fit(points)
        for effort in tried:
            built.aim(effort)
            found, fast = timed(built, queries, count)
            speeds.append(fast)
            shares.append(recall(found, truth))
        lines[index] = (shares, speeds)
    lines["exact"] = ([1.0], [speed])
    title, across = f"Queries a second against recall@{count}", f"recall@{count}"
    return Graph(title, lines, across=across, up="queries a second", log="y", marked=True)


def timed(search: NearestNeighbours, queries: ArrayLike, count: int) -> tuple[NDArray[np.int64], float]:
    """Search, and say what was found (N, count) and how many queries a second were answered at best."""
    best, found = float("inf"), np.empty((0, count), dtype=np.int64)
    for _ in range(TIMES):
        begun = perf_counter()
        found = search.kneighbors(queries, count)[1]
        best = min(best, perf_counter() - begun)
    return found, len(found) / best
