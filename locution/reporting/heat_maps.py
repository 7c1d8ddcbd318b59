"""Gradient norms layer by layer, as a picture: a row a layer, time to the right, colour for size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from locution.reporting.charts import letters, log_ticks, rule, scale, short, svg, ticks
from locution.reporting.curves import Curve, grid
from locution.reporting.markup import Html, join, tag
from locution.reporting.pixels import VIRIDIS, data_uri, levels, png
from locution.reporting.units import figure

WIDTH, LEFT, RIGHT, TOP = 920.0, 236.0, 10.0, 8.0
MOST = 48
EXPLODING, VANISHING = 100.0, 1e-6


def heat_map(rows: Mapping[str, Curve], *, alt: str) -> Html:
    """Draw the gradient norm of each layer through training, on a scale of powers of ten.

    A norm stands until the next one is measured. Of more than 48 layers neighbours share a row, which shows the
    largest of theirs: where every so many is shown, layers of one kind come up in turns and look like bands.

    >>> heat_map({"first": Curve([1, 2], [0.1, 0.2])}, alt="gradient norms").count("<title>first")
    1
    """
    groups = shared(list(rows))
    cells, first, last = grid(list(rows.values()))
    starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
    cells = held(np.fmax.reduceat(cells, starts, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.log10(cells)  # (groups, columns)
    known = powers[np.isfinite(powers)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    high = max(high, low + 1.0)
    step = 22.0 if len(groups) <= 12 else 15.0
    bottom = TOP + step * len(groups)
    picture = data_uri(png(levels(np.where(np.isnan(powers), low, powers), low, high), VIRIDIS))
    drawn: list[Html] = [_image(picture, LEFT, TOP, WIDTH - LEFT - RIGHT, bottom - TOP)]
    for index, group in enumerate(groups):
        words = "; ".join(f"{a}: from {figure(min(rows[a].values))} to {figure(max(rows[a].values))}" for a in group)
        more = f" +{len(group) - 1}" if len(group) > 1 else ""
        label = tag("tspan", tag("title", words), _squeezed(group[0]), more)
        y = TOP + step * index + step / 2 + 4
        drawn.append(tag("text", label, x=f"{LEFT - 10:g}", y=f"{y:.1f}", class_="tick name", text_anchor="end"))
    drawn.append(_steps(first, last, bottom))
    drawn.append(_colour_bar(low, high, bottom + 46))
    return svg(WIDTH, bottom + 84, alt, *drawn)


def shared(names: list[str], most: int = MOST) -> list[list[str]]:
    """Put neighbours together, so that so many rows hold all.

    >>> shared(["a", "b", "c"], most=2)
    [['a', 'b'], ['c']]
    """
    return [list(group) for group in np.array_split(np.array(names, dtype=object), min(most, len(names)))]


def held(cells: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Let each value stand until the next: fill what is NaN with the last number before it in its row.

    >>> held(np.array([[np.nan, 1.0, np.nan, 2.0]])).tolist()
    [[nan, 1.0, 1.0, 2.0]]
    """
    columns = np.where(np.isnan(cells), 0, np.arange(cells.shape[1]))
    return np.take_along_axis(cells, np.maximum.accumulate(columns, axis=1), axis=1)


def _squeezed(name: str, most: int = 34) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


def _image(address: str, x: float, y: float, width: float, height: float) -> Html:
    return tag(
        "image",
        href=address,
        x=f"{x:g}",
        y=f"{y:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        preserveAspectRatio="none",
        class_="pixels",
    )


def _steps(first: float, last: float, y: float) -> Html:
    across = scale(first, last, LEFT, WIDTH - RIGHT)
    drawn = []
    for value in ticks(first, last, 8):
        drawn.append(rule(across(value), y, across(value), y + 4, "axis"))
        drawn.append(letters(across(value), y + 16, short(value), anchor="middle"))
    drawn.append(letters((LEFT + WIDTH - RIGHT) / 2, y + 31, "step", "tick quiet", "middle"))
    return join(*drawn)


def _colour_bar(low: float, high: float, y: float) -> Html:
    left, right = WIDTH - RIGHT - 300, WIDTH - RIGHT
    ramp = data_uri(png(np.arange(256, dtype=np.uint8)[None, :], VIRIDIS))
    drawn = [
        _image(ramp, left, y, right - left, 10),
        letters(left - 10, y + 9, "gradient norm", "tick quiet", "end"),
    ]
    across = scale(10**low, 10**high, left, right, log=True)
    for value in log_ticks(10**low, 10**high):
        drawn.append(letters(across(value), y + 24, short(value), anchor="middle"))
    return join(*drawn)


def remarks(rows: Mapping[str, Curve]) -> tuple[list[str], list[str]]:
    """Say which layers' gradients explode (a warning above 100) and whether early layers vanish (a note).

    >>> remarks({"early": Curve([1], [1e-9]), "late": Curve([1], [250.0])})
    (['The gradient of late reached 250 at step 1; above 100 training is likely to diverge.'],
     ['The gradient of early is 1e-09 at the end: early layers that get no gradient do not learn.'])
    """
    warnings, notes = [], []
    for name, curve in rows.items():
        peak = max(range(len(curve)), key=curve.values.__getitem__)
        if curve.values[peak] > EXPLODING:
            where = f"{figure(curve.values[peak])} at step {curve.steps[peak]:,.0f}"
            warnings.append(f"The gradient of {name} reached {where}; above 100 training is likely to diverge.")
    for name in _early(list(rows)):
        last = rows[name].values[-1]
        if last < VANISHING and math.isfinite(last):
            words = "early layers that get no gradient do not learn"
            notes.append(f"The gradient of {name} is {figure(last)} at the end: {words}.")
    return warnings, notes


def _early(names: Sequence[str]) -> Sequence[str]:
    return names[: max(1, len(names) // 3)]
