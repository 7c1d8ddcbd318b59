"""How much a search finds against how fast it answers, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter

from numpy.typing import ArrayLike

from locution.estimators.neighbours import NearestNeighbours, recall
from locution.reporting.results import Graph


def recall_and_speed(
    points: ArrayLike, queries: ArrayLike, efforts: Mapping[str, Sequence[int]], count: int = 10
) -> Graph:
    """Measure, index by index and effort by effort, the share of the true nearest neighbours that a search finds, and
    how many queries a second it answers.

    points (M, D), queries (N, D), efforts: for "hnsw" and "ivf_pq" the efforts to try; count: neighbours asked for.

    >>> import numpy as np
    >>> points = np.random.default_rng(0).normal(size=(300, 4))
    >>> found = recall_and_speed(points, points[:20], {"hnsw": [300]}, count=3)
    >>> found.lines["hnsw"][0]  # as many candidates as points: all are found
    [1.0]

    Reference: M. Aumueller, E. Bernhardsson, A. Faithfull, 2020, "ANN-Benchmarks", section 2.
    """
    truth = NearestNeighbours().fit(points).kneighbors(queries, count)[1]
    lines = {}
    for index, tried in efforts.items():
        shares, speeds = [], []
        built = NearestNeighbours(index=index).fit(points)
        for effort in tried:
            built.aim(effort)
            begun = perf_counter()
            found = built.kneighbors(queries, count)[1]
            speeds.append(len(found) / (perf_counter() - begun))
            shares.append(recall(found, truth))
        lines[index] = (shares, speeds)
    return Graph(f"queries a second against recall@{count}", lines, across=f"recall@{count}")
