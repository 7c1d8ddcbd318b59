"""Points on a plane, each under its label: what lies near what."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import require
from locution.estimators.principal import principal_components
from locution.reporting.charts import letters, scale, svg
from locution.reporting.markup import Html, tag
from locution.reporting.results import Drawing

SIDE, EDGE, LONGEST, MOST = 460.0, 14.0, 12, 2000
NAMED, SAID, LETTER, LINE = 60, 24, 6.2, 12.0  # so many points are named, in so many letters, each of so many pixels
GOLDEN = 0.618034  # of a turn of the wheel of colours from one label to the next: no two that follow look alike


def colours(count: int) -> list[str]:
    """Choose colours that stay apart, each of middling lightness, so that they show on paper and on black.

    >>> colours(2)
    ['#cd4747', '#476ecd']
    """
    tones = [colorsys.hls_to_rgb(number * GOLDEN % 1, 0.54, 0.57) for number in range(count)]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in tone) for tone in tones]


def scatter(points: NDArray[Any], labels: Sequence[str], names: Sequence[str] = (), *, alt: str) -> Html:
    """Draw points (N, 2), each as its label in its label's colour; long labels, or none, are dots.

    names: of the points, shown to whoever points at one, and beside some of the dots, where there is room, if there are
    no labels. Of more than 2,000 points as many are drawn, evenly taken.

    >>> picture = scatter(np.array([[0.0, 0.0], [1.0, 1.0]]), ["a", "b"], ["first", "second"], alt="two letters")
    >>> picture.count("<text"), picture.count("<title>second")
    (2, 1)
    """
    fits = points.ndim == 2 and points.shape[1] == 2 and len(points) >= 1
    require(fits, "shape of points", points.shape, "(N, 2), one or more")
    require(len(labels) in (0, len(points)), "labels", len(labels), f"{len(points)}, one a point, or none")
    (left, low), (right, high) = points.min(0), points.max(0)
    reach = max(right - left, high - low) or 1.0  # one scale for both axes: distances are seen as they are
    across = scale(left, left + reach, EDGE, SIDE - EDGE)
    tall = 2 * EDGE + (high - low) / reach * (SIDE - 2 * EDGE)
    up = scale(low, high, tall - EDGE, EDGE)
    kinds = sorted(set(labels))
    tone = dict(zip(kinds, colours(len(kinds)), strict=True))
    short = bool(kinds) and max(map(len, kinds)) <= LONGEST
    drawn = []
    for row in np.unique(np.linspace(0, len(points) - 1, min(MOST, len(points))).astype(int)):
        said = [names[row]] if len(names) else []
        said += [labels[row]] if len(labels) else []
        title = tag("title", ": ".join(said)) if said else None
        x, y = f"{across(points[row, 0]):.1f}", up(points[row, 1])
        fill = tone[labels[row]] if len(labels) else "#808080"
        if short:
            inside = (title, tag("tspan", labels[row], fill=fill))  # the page has a colour of its own for text
            drawn.append(tag("text", *inside, x=x, y=f"{y + 4:.1f}", text_anchor="middle", font_size="11"))
        else:
            drawn.append(tag("circle", title, cx=x, cy=f"{y:.1f}", r="3", fill=fill))
    if len(names) and not len(labels):
        spots = [(across(one), up(other)) for one, other in points]
        drawn += beside(spots, names)
    return svg(SIDE, tall, alt, *drawn)


def beside(spots: Sequence[tuple[float, float]], names: Sequence[str]) -> list[Html]:
    """Write names beside dots, inward, as many as do not run into each other, taken evenly from first to last.

    >>> len(beside([(20.0, 20.0), (24.0, 22.0), (300.0, 40.0)], ["list", "tuple", "class"]))  # the second has no room
    2
    """
    taken: list[tuple[float, float, float]] = []  # left, right, height of the middle
    drawn = []
    for row in dict.fromkeys(np.linspace(0, len(spots) - 1, 4 * NAMED).round().astype(int).tolist()):
        x, y = spots[row]
        name = names[row] if len(names[row]) <= SAID else f"{names[row][: SAID - 1]}…"
        inward = -1 if x > SIDE / 2 else 1
        ends = sorted((x + 6 * inward, x + inward * (6 + LETTER * len(name))))
        if any(ends[0] < right and left < ends[1] and abs(y - middle) < LINE for left, right, middle in taken):
            continue
        taken.append((ends[0], ends[1], y))
        drawn.append(letters(x + 6 * inward, y + 4, name, anchor="start" if inward > 0 else "end"))
        if len(drawn) == NAMED:
            break
    return drawn


def plane(vectors: Any, labels: Sequence[str], names: Sequence[str] = (), title: str = "Where they lie") -> Drawing:
    """Draw vectors (N, D) on the plane in which they spread most.

    >>> plane(np.eye(3), ["a", "b", "c"]).note
    'the two directions of most spread, which hold 100 % of it'
    """
    at, held = principal_components(vectors)
    note = f"the two directions of most spread, which hold {held.sum():.0%} of it".replace("%", " %")
    picture = scatter(at, labels, names, alt=f"{title}: {len(at)} points, {note}.")
    return Drawing(title, picture, note)
