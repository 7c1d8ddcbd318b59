"""Clouds of points on a plane: over a density, or one carried onto another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import require
from locution.reporting.charts import rule, scale, svg
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import INK, Colour, data_uri, levels, png

SIDE, EDGE, MOST = 460.0, 10.0, 2500
COLOURS = ("c1", "c2", "c4")
PALE: tuple[Colour, ...] = (INK[0], (150, 155, 165))  # points must stand out from it


def cloud(
    points: Mapping[str, NDArray[Any]],
    low: NDArray[Any],
    high: NDArray[Any],
    *,
    alt: str,
    density: NDArray[Any] | None = None,
    ways: NDArray[Any] | None = None,
) -> Html:
    """Draw clouds of points by name, (N, 2) each, in a window between two corners (2,), at one scale for both axes.

    density: (rows, columns), from the top down, drawn behind them, the darker the denser. ways: (n, 5), lines from
    (x, y) to (x, y), each with how strong it is, from 0 to 1. Points outside of the window are left out.

    >>> two = {"made": np.array([[0.0, 0.0]]), "real": np.array([[1.0, 1.0], [9.0, 9.0]])}
    >>> picture = cloud(two, np.zeros(2), np.array([2.0, 2.0]), alt="one each", ways=np.array([[0, 0, 1, 1, 1.0]]))
    >>> picture.count("<circle"), picture.count("<line")
    (2, 1)
    """
    wide, tall = (float(one) for one in np.asarray(high) - np.asarray(low))
    require(wide > 0 and tall > 0, "the window", (wide, tall), "a width and a height above 0")
    height = EDGE * 2 + (SIDE - 2 * EDGE) * tall / wide
    x = scale(float(low[0]), float(high[0]), EDGE, SIDE - EDGE)
    y = scale(float(low[1]), float(high[1]), height - EDGE, EDGE)
    drawn: list[Html] = []
    if density is not None:
        behind = data_uri(png(levels(density, 0.0, float(density.max()) or 1.0), PALE))
        place = {
            "x": f"{EDGE:g}",
            "y": f"{EDGE:g}",
            "width": f"{SIDE - 2 * EDGE:g}",
            "height": f"{height - 2 * EDGE:g}",
        }
        drawn.append(tag("image", href=behind, preserveAspectRatio="none", **place))
    for a, b, c, d, strength in [] if ways is None else ways:
        drawn.append(tag("g", rule(x(a), y(b), x(c), y(d), "line c0"), opacity=f"{strength:.2f}"))
    for number, (name, some) in enumerate(points.items()):
        inside = some[((some >= low) & (some <= high)).all(1)][:MOST]
        size = "3" if len(inside) <= 200 else "1.2"
        look = f"bar {COLOURS[number % len(COLOURS)]}"
        dots = [tag("circle", cx=f"{x(a):.1f}", cy=f"{y(b):.1f}", r=size, class_=look) for a, b in inside]
        drawn.append(tag("g", tag("title", f"{name}: {len(some)}"), *dots))
    return svg(SIDE, height, alt, *drawn)


def carried(x: NDArray[Any], y: NDArray[Any], plan: NDArray[Any], names: tuple[str, str], *, alt: str) -> Html:
    """The picture of a transport plan has a line from each point to each other that something is carried to.

    Points x (N, 2) to points y (M, 2), by plan (N, M).

    Of each point the ways that carry a tenth of it or more are drawn, the stronger the more they carry.

    >>> x, y = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])
    >>> carried(x, y, np.eye(2) / 2, ("made", "real"), alt="straight up").count("<line")
    2

    Reference: G. Peyre, M. Cuturi, 2019, "Computational optimal transport", figure 2.6.
    """
    require(plan.shape == (len(x), len(y)), "shape of the plan", plan.shape, f"({len(x)}, {len(y)})")
    share = plan * len(x)  # of a point's own
    rows, columns = np.nonzero(share >= 0.1)
    ways = np.column_stack([x[rows], y[columns], np.minimum(1.0, share[rows, columns])])
    both = np.concatenate([x, y])
    rim = 0.05 * float(np.ptp(both, axis=0).max() or 1.0)
    return cloud(dict(zip(names, (x, y), strict=True)), both.min(0) - rim, both.max(0) + rim, alt=alt, ways=ways)
