"""Ways through points, drawn side by side: the answer over the right one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.reporting.charts import dot, letters, svg
from locution.reporting.markup import Html, tag

SIDE, GAP, HEAD, COLUMNS = 150.0, 18.0, 18.0, 4


def polygons(
    points: Sequence[NDArray[Any]],
    answers: Sequence[Sequence[int]],
    truths: Sequence[Sequence[int]],
    words: Sequence[str],
    *,
    alt: str,
) -> Html:
    """Draw closed ways through points of the unit square: the right way dashed, the answer over it, words above.

    points: (n, 2) each; answers and truths: which of them, in order. Four panels a row.

    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> picture = polygons([square], [[0, 2, 1, 3]], [[0, 1, 2, 3]], ["one crossing"], alt="a tour")
    >>> picture.count("<path"), picture.count("<circle")
    (2, 4)
    """
    drawn: list[Html] = []
    for number, (places, answer, truth, said) in enumerate(zip(points, answers, truths, words, strict=True)):
        left = (SIDE + GAP) * (number % COLUMNS) + GAP / 2
        top = (SIDE + GAP + HEAD) * (number // COLUMNS) + HEAD
        at = np.stack([left + places[:, 0] * SIDE, top + (1 - places[:, 1]) * SIDE], 1)
        drawn.append(letters(left, top - 5, said))
        for way, style in ((truth, "line dashed c0"), (answer, "line c1")):
            if len(way):
                drawn.append(tag("path", d=closed(at[np.asarray(way)]), class_=style))
        drawn += [dot(x, y, "c1", size=3.0) for x, y in at.tolist()]
    rows, columns = -(-len(points) // COLUMNS), min(COLUMNS, len(points))
    return svg((SIDE + GAP) * columns, (SIDE + GAP + HEAD) * rows, alt, *drawn)


def closed(at: NDArray[Any]) -> str:
    """Write a way through points and back to the first, for a path.

    >>> closed(np.array([[0.0, 0.0], [1.0, 2.0]]))
    'M0.0 0.0L1.0 2.0Z'
    """
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in at.tolist()) + "Z"
