"""Graphs and pictures that a task adds to its report."""

from __future__ import annotations

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
    across = [value for xs, _ in (*one.lines.values(), one.points) for value in xs]
    up = [value for _, ys in (*one.lines.values(), one.points) for value in ys if np.isfinite(value)]
    pad = 0.06 * (max(up) - min(up)) or 1.0
    low, high = min(up) - pad, max(up) + pad
    x, y = scale(min(across), max(across), LEFT, WIDTH - RIGHT), scale(low, high, HEIGHT - BOTTOM, TOP)
    drawn = []
    for value in ticks(low, high):
        drawn += [rule(LEFT, y(value), WIDTH - RIGHT, y(value))]
        drawn += [letters(LEFT - 7, y(value) + 3.5, short(value), anchor="end")]
    for value in ticks(min(across), max(across)):
        drawn += [letters(x(value), HEIGHT - BOTTOM + 16, short(value), anchor="middle")]
    drawn.append(letters((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, one.across, "tick quiet", "middle"))
    for number, (name, (xs, ys)) in enumerate(one.lines.items()):
        places = [f"{x(a):.1f} {y(b):.1f}" for a, b in zip(xs, ys, strict=True) if np.isfinite(b)]
        drawn.append(tag("path", tag("title", name), d="M" + "L".join(places), class_=f"line c{number % 5}"))
    drawn += [dot(x(a), y(b), "c0", f"{a:.3g}: {b:.3g}") for a, b in zip(*one.points, strict=True)]
    return svg(WIDTH, HEIGHT, f"{one.title}: {', '.join(one.lines)} over {one.across}.", *drawn)


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
