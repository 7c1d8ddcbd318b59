"""Graphs and pictures that a task adds to its report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from locution.reporting.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Line,
    dot,
    legend,
    letters,
    log_ticks,
    rule,
    scale,
    short,
    svg,
    ticks,
)
from locution.reporting.curves import Curve
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import INK, data_uri, levels, png
from locution.reporting.results import Gallery, Graph, RunResults
from locution.reporting.sections import Section, drawing

ENLARGED = 8  # a pixel of a small picture, in pixels of the page
BETWEEN = 20  # of 255: where one small picture ends is seen, also on paper as white as its own


def graph(one: Graph) -> Html:
    """Draw lines and points over a common axis.

    >>> picture = graph(Graph("a wave", {"true": ([0.0, 1.0], [0.0, 2.0])}, points=([0.5], [1.0])))
    >>> picture.count("<path"), picture.count("<circle")
    (1, 1)
    """
    lines = {name: _seen(some, one.log) for name, some in one.lines.items()}
    points = _seen(one.points, one.log)
    every = [pair for some in (*lines.values(), points) for pair in some]
    if not every:
        return tag("p", "Nothing was measured.", class_="quiet")
    first, last = min(a for a, _ in every), max(a for a, _ in every)
    low, high = _room(min(b for _, b in every), max(b for _, b in every), "y" in one.log)
    x = scale(first, last, LEFT, WIDTH - RIGHT, "x" in one.log)
    y = scale(low, high, HEIGHT - BOTTOM, TOP, "y" in one.log)
    drawn = []
    for value in (log_ticks if "y" in one.log else ticks)(low, high):
        if low <= value <= high:
            drawn += [rule(LEFT, y(value), WIDTH - RIGHT, y(value))]
            drawn += [letters(LEFT - 7, y(value) + 3.5, short(value), anchor="end")]
    for value in (log_ticks if "x" in one.log else ticks)(first, last):
        if first <= value <= last:
            drawn += [letters(x(value), HEIGHT - BOTTOM + 16, short(value), anchor="middle")]
    drawn.append(letters((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, one.across, "tick quiet", "middle"))
    if one.up:
        drawn.append(letters(LEFT + 4, TOP - 1, one.up, "tick quiet"))
    for number, (name, pairs) in enumerate(lines.items()):
        places = [f"{x(a):.1f} {y(b):.1f}" for a, b in pairs]
        if len(places) > 1:
            drawn.append(tag("path", tag("title", name), d="M" + "L".join(places), class_=f"line c{number % 5}"))
        if one.marked or len(places) == 1:
            drawn += [dot(x(a), y(b), f"c{number % 5}", f"{name}: {a:.3g}, {b:.3g}") for a, b in pairs]
    drawn += [dot(x(a), y(b), "c0", f"{a:.3g}: {b:.3g}") for a, b in points]
    return svg(WIDTH, HEIGHT, f"{one.title}: {', '.join(one.lines)} over {one.across}.", *drawn)


def _seen(some: tuple[Sequence[float], Sequence[float]], log: str) -> list[tuple[float, float]]:
    """Leave out what has no place: what is not finite, and what is not above 0 on a logarithmic axis."""
    pairs = [(float(a), float(b)) for a, b in zip(*some, strict=True) if np.isfinite(a) and np.isfinite(b)]
    return [(a, b) for a, b in pairs if ("x" not in log or a > 0) and ("y" not in log or b > 0)]


def _room(low: float, high: float, log: bool) -> tuple[float, float]:
    """Leave a little room below the lowest and above the highest."""
    if log:
        return low / 1.3, high * 1.3
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def sheet(one: Gallery) -> NDArray[np.uint8]:
    """Set small pictures into one, in rows, faint lines between them: levels from 0 to 255.

    >>> sheet(Gallery("samples", np.zeros((2, 3, 4, 4)))).shape
    (9, 14)
    """
    pixels = np.asarray(one.pictures, dtype=float)  # (rows, columns, H, W)
    rows, columns, height, width = pixels.shape
    low, high = float(pixels.min()), float(pixels.max())
    whole = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), BETWEEN, dtype=np.uint8)
    for row in range(rows):
        for column in range(columns):
            down, right = row * (height + 1), column * (width + 1)
            whole[down : down + height, right : right + width] = levels(pixels[row, column], low, high)
    return whole


def enlarged(width: int) -> int:
    """Say how many pixels of a page a pixel of a picture takes, that it is seen and has room."""
    return min(ENLARGED, max(1, 900 // width))


def gallery(one: Gallery) -> Html:
    """Draw small pictures in rows.

    >>> picture = gallery(Gallery("samples", np.zeros((2, 3, 4, 4)), note="two rows of three"))
    >>> picture.startswith("<img")
    True
    """
    whole = sheet(one)
    across = whole.shape[1] * enlarged(whole.shape[1])
    source = data_uri(png(whole, INK))
    return tag("img", src=source, alt=f"{one.title}. {one.note}", class_="pixels", width=str(across))


def drawn(results: RunResults) -> Section | None:
    """Everything that a task drew."""
    figures = [drawing(one.title, one.picture, note=one.note, wide=one.wide) for one in results.drawings]
    for one in results.graphs:
        keys = [Line(name, Curve([], []), number % 5) for number, name in enumerate(one.lines)]
        figures.append(drawing(one.title, graph(one), key=legend(keys), note=one.note))
    figures += [drawing(each.title, gallery(each), note=each.note, wide=True) for each in results.galleries]
    return Section("pictures", "Pictures", tag("div", *figures, class_="charts")) if figures else None
