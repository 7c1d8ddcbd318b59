"""The pictures of a tuning: trial by trial, what mattered, and where in the two settings that did it is good."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from locution.reporting.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    dot,
    letters,
    log_ticks,
    rule,
    scale,
    short,
    svg,
    ticks,
)
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import VIRIDIS, data_uri, levels, png
from locution.reporting.units import figure
from locution.studies.space import Dimension
from locution.studies.trials import Trial
from locution.studies.tune import Tuning

COLOURS = {"done": "c1", "pruned": "c0", "failed": "c2"}
CELLS = 32


def history(found: Tuning) -> Html:
    """Draw each trial's figure, and the best so far as a line; failed trials stand at the upper edge."""
    shown = [one for one in found.trials if one.finished]
    finite = [one.value for one in shown if math.isfinite(one.value)] or [0.0]
    low, high = min(finite), float(np.quantile(finite, 0.95)) if len(finite) > 8 else max(finite)
    pad = 0.06 * ((high - low) or 1.0)
    x = scale(0, max(1, len(shown) - 1), LEFT + 8, WIDTH - RIGHT - 8)
    y = scale(low - pad, high + pad, HEIGHT - BOTTOM, TOP)
    drawn = []
    for value in ticks(low - pad, high + pad):
        drawn += [rule(LEFT, y(value), WIDTH - RIGHT, y(value))]
        drawn += [letters(LEFT - 7, y(value) + 3.5, short(value), anchor="end")]
    best, path = math.inf if found.better == "lower" else -math.inf, []
    pick = min if found.better == "lower" else max
    for place, one in enumerate(shown):
        inside = min(max(one.value, low - pad), high + pad) if math.isfinite(one.value) else high + pad
        words = f"trial {one.number}, {one.state}: {figure(one.value)}; {'  '.join(one.words)}"
        drawn.append(dot(x(place), y(inside), COLOURS.get(one.state, "c0"), words, 3.5))
        if one.state == "done":
            best = pick(best, one.value)
        if math.isfinite(best):
            path.append(f"{x(place):.1f} {y(min(max(best, low - pad), high + pad)):.1f}")
    if len(path) > 1:
        drawn.append(tag("path", d="M" + "L".join(path), class_="line c3"))
    drawn.append(rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    drawn.append(letters((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "trial", "tick quiet", "middle"))
    return svg(WIDTH, HEIGHT, f"{found.by} of {len(shown)} trials, best {figure(found.best.value)}", *drawn)


def importances(shares: Mapping[str, float]) -> Html:
    """Draw how much of the figure's variance each setting explains, as bars.

    >>> importances({"optimizer.lr": 0.75, "model.width": 0.25}).count("<rect")
    2
    """
    row, most = 34.0, max([*shares.values(), 1e-9])
    x = scale(0.0, most, 0.0, WIDTH - 70)
    drawn = []
    for index, (name, share) in enumerate(shares.items()):
        top = row * index
        drawn.append(letters(8, top + 13, name, "row"))
        bar = {"x": "8", "y": f"{top + 18:g}", "width": f"{max(1.0, x(share)):.1f}", "height": "9"}
        drawn.append(tag("rect", **bar, class_="bar c1"))
        drawn.append(letters(16 + max(1.0, x(share)), top + 27, f"{share:.0%}", "tick"))
    alt = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return svg(WIDTH, row * len(shares) + 8, alt, *drawn)


def contour(found: Tuning) -> Iterator[tuple[str, Html]]:
    """Draw where in two settings the figure is good: those that matter most, over all trials, smoothed by a Gaussian
    process."""
    named = {one.name: one for one in found.space}
    chosen = [name for name in found.importance if name in named][:2]
    usable = [one for one in found.trials if one.words and math.isfinite(one.value)]
    if len(chosen) < 2 or len(usable) < 6:
        return
    across, down = named[chosen[0]], named[chosen[1]]
    places = np.array([[_place(across, one), _place(down, one)] for one in usable])  # (trials, 2), each from 0 to 1
    cells = smoothed(places, np.array([one.value for one in usable]))
    cells = -cells if found.better == "lower" else cells
    side = HEIGHT - BOTTOM - TOP
    picture = data_uri(png(levels(cells[::-1], float(cells.min()), float(cells.max())), VIRIDIS[::-1]))
    box = {"x": f"{LEFT + 30:g}", "y": f"{TOP:g}", "width": f"{WIDTH - LEFT - 30 - RIGHT:g}", "height": f"{side:g}"}
    drawn = [tag("image", href=picture, **box, preserveAspectRatio="none", class_="pixels")]
    x, y = scale(0, 1, LEFT + 30, WIDTH - RIGHT), scale(0, 1, HEIGHT - BOTTOM, TOP)
    for one, (right, up) in zip(usable, places, strict=True):
        words = f"trial {one.number}: {figure(one.value)}; {'  '.join(one.words)}"
        drawn.append(dot(x(right), y(up), COLOURS.get(one.state, "c0"), words, 3.0))
    for value, word in _marks(across):
        drawn.append(letters(x(value), HEIGHT - BOTTOM + 14, word, anchor="middle"))
    for value, word in _marks(down):
        drawn.append(letters(LEFT + 24, y(value) + 3.5, word, anchor="end"))
    drawn.append(letters((LEFT + 30 + WIDTH - RIGHT) / 2, HEIGHT - 4, across.name, "tick quiet", "middle"))
    alt = f"{found.by} over {across.name} and {down.name}"
    yield f"{down.name} against {across.name}", svg(WIDTH, HEIGHT, alt, *drawn)


def smoothed(places: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a Gaussian process to values at places (N, 2) of the unit square; its mean on a grid, (32, 32) from below.

    Values are taken by rank: one diverged trial must not flatten all the others.

    >>> corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> grid = smoothed(corners, np.array([0.0, 0.0, 1.0, 1.0]))
    >>> bool(grid[0, -1] > grid[0, 0])
    True
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    ranks = values.argsort().argsort() / max(1, len(values) - 1)
    process = GaussianProcessRegressor(RBF(0.25, "fixed"), alpha=0.05, optimizer=None, normalize_y=True)
    process.fit(places, ranks)
    steps = (np.arange(CELLS) + 0.5) / CELLS
    grid = np.array(list(itertools.product(steps, steps)))[:, ::-1]  # (cells, 2): right, up
    found: NDArray[np.float64] = process.predict(grid).reshape(CELLS, CELLS)
    return found


def _place(one: Dimension, trial: Trial) -> float:
    written = dict(word.partition("=")[::2] for word in trial.words)
    if one.kind == "switch":
        return 0.75 if f"+{one.name}" in trial.words else 0.25
    value = written[one.name]
    if one.choices:
        return (one.choices.index(value) + 0.5) / len(one.choices)
    return scale(one.low, one.high, 0.0, 1.0, one.log)(float(value))


def _marks(one: Dimension) -> Sequence[tuple[float, str]]:
    if one.kind == "switch":
        return [(0.25, "off"), (0.75, "on")]
    if one.choices:
        return [((place + 0.5) / len(one.choices), word) for place, word in enumerate(one.choices)]
    place = scale(one.low, one.high, 0.0, 1.0, one.log)
    at = log_ticks(one.low, one.high, 4) if one.log else ticks(one.low, one.high, 4)
    return [(place(value), short(value)) for value in at]
