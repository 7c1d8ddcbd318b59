"""Who lies nearest: by looking at all, or through an index that looks at few and may miss some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from locution.errors import UserError, require

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
BLOCK = 2**22  # distances held at once
NONE = -1  # the place of a neighbour that an index did not find


class Index(Protocol):
    """What finds candidates for the nearest of its points: places (N, count), NONE where it found none."""

    def candidates(self, rows: Floats, count: int) -> Places:
        """Find so many candidates for each row (N, D)."""

    def aim(self, effort: int) -> None:
        """Look at more or at less from now on."""


def exact_neighbours(rows: Floats, points: Floats, count: int) -> Places:
    """Exact search compares each example with every point, so it finds the nearest ones for certain.

    rows (N, D), points (M, D), count up to M; gives places (N, count), in no order.

    >>> sorted(exact_neighbours(np.array([[0.9]]), np.array([[0.0], [1.0], [3.0]]), 2)[0].tolist())
    [0, 1]

    Reference: E. Fix, J. Hodges, 1951, "Discriminatory analysis: nonparametric discrimination".
    """
    half, found = 0.5 * (points * points).sum(1), np.empty((len(rows), count), dtype=np.int64)
    step = max(1, BLOCK // len(points))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        far = half - rows[block] @ points.T  # (B, M): half the squared distance, less what is the same for all
        found[block] = np.argpartition(far, count - 1, axis=1)[:, :count]
    return found


def ranked(rows: Floats, points: Floats, places: Places, count: int) -> tuple[Floats, Places]:
    """Put candidates in order by their true distance and keep the nearest: distances (N, count), places (N, count).

    >>> ranked(np.array([[1.0]]), np.array([[5.0], [0.0], [1.5]]), np.array([[0, 1, 2]]), 2)
    (array([[0.5, 1. ]]), array([[2, 1]]))
    """
    away = np.empty(places.shape)
    step = max(1, BLOCK // (places.shape[1] * points.shape[1]))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        away[block] = np.linalg.norm(points[places[block]] - rows[block, None], axis=-1)
    away[places == NONE] = np.inf
    order = np.lexsort((places, away))[:, :count]  # of two equally near ones the one that came first
    return np.take_along_axis(away, order, 1), np.take_along_axis(places, order, 1)


@dataclass
class Exact:
    """Exact search as an index.

    >>> Exact(np.array([[0.0], [1.0]])).candidates(np.array([[0.9]]), 1)
    array([[1]])

    Reference: E. Fix, J. Hodges, 1951, "Discriminatory analysis: nonparametric discrimination".
    """

    points: Floats

    def candidates(self, rows: Floats, count: int) -> Places:
        return exact_neighbours(rows, self.points, count)

    def aim(self, effort: int) -> None:
        """It looks at all in any case."""


def faiss_library() -> Any:
    """Load faiss, or say how to get it."""
    if find_spec("faiss") is None:
        raise UserError(
            "indexes need faiss, which is not installed; pip install 'locution[neighbours]', or index='exact'."
        )
    import faiss

    return faiss


class Faiss:
    """An index of faiss, asked in single precision about points moved to lie around 0."""

    def __init__(self, index: Any, points: Floats, shortlist: int, aim: Callable[[int], None]) -> None:
        self.index, self.middle, self.shortlist, self.size = index, points.mean(0), shortlist, len(points)
        self.aim = aim
        near = self._near(points)
        index.train(near)
        index.add(near)

    def _near(self, rows: Floats) -> NDArray[np.float32]:
        return np.ascontiguousarray(rows - self.middle, dtype=np.float32)

    def candidates(self, rows: Floats, count: int) -> Places:
        asked = min(count * self.shortlist, self.size)
        places: Places = self.index.search(self._near(rows), asked)[1]
        return places


def hnsw(points: Floats, links: int, building: int, effort: int) -> Faiss:
    """HNSW links each point to some near ones on several levels, from a few far apart down to all, and walks along the
    links towards what is asked for.

    points (M, D). links: of a point. building: candidates looked at when a point is linked. effort: candidates kept
    while walking; more finds more, and takes longer.

    >>> points = np.arange(100.0)[:, None]
    >>> hnsw(points, links=8, building=40, effort=16).candidates(np.array([[41.2]]), 1)
    array([[41]])

    Reference: Y. Malkov, D. Yashunin, 2018, "Efficient and robust approximate nearest neighbor search using
    hierarchical navigable small world graphs", algorithms 1 to 5.
    """
    index = faiss_library().IndexHNSWFlat(points.shape[1], links)
    index.hnsw.efConstruction = building

    def aim(effort: int) -> None:
        index.hnsw.efSearch = effort

    aim(effort)
    return Faiss(index, points, shortlist=1, aim=aim)


def ivf_pq(points: Floats, cells: int, effort: int, codes: int, shortlist: int) -> Faiss:
    """IVF-PQ sorts points into cells, keeps each as a few bytes, and looks only into the nearest cells.

    points (M, D). cells: how many, 0 for the root of M. effort: cells looked into. codes: bytes kept of a point, which
    divide D; 0 for the largest number of them up to D / 2. shortlist: candidates a neighbour that are then compared in
    full.

    >>> points = np.arange(400.0)[:, None]
    >>> ivf_pq(points, cells=4, effort=2, codes=1, shortlist=4).candidates(np.array([[41.2]]), 1).shape
    (1, 4)

    Reference: H. Jegou, M. Douze, C. Schmid, 2011, "Product quantization for nearest neighbor search", sections II-IV.
    """
    faiss, (count, width) = faiss_library(), points.shape
    cells = cells or max(1, round(count**0.5))
    require(cells <= count, "neighbours.cells", cells, f"a number up to {count}, the points there are")
    codes = codes or max(code for code in range(1, max(1, width // 2) + 1) if width % code == 0)
    require(width % codes == 0, "neighbours.codes", codes, f"a number that divides {width}, the features of a point")
    bits = min(8, int(np.log2(count)))  # no more entries in a code book than points to learn them from
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(width), width, cells, codes, bits)
    index.cp.min_points_per_centroid, index.pq.cp.min_points_per_centroid = 1, 1

    def aim(effort: int) -> None:
        index.nprobe = min(effort, cells)

    aim(effort)
    found = Faiss(index, points, shortlist, aim)
    found.quantizer = index.quantizer  # type: ignore[attr-defined]  # faiss itself does not keep it alive
    return found
