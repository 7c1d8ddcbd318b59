"""A self-organising map as a picture: what each unit stands for, and how far it is from its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import require
from locution.reporting.charts import svg
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import INK, VIRIDIS, Colour, data_uri, levels, png
from locution.reporting.scatter import colours

TILE = 24.0
GAP = 1.0


def distances_between(weights: NDArray[Any], places: NDArray[Any]) -> NDArray[np.float64]:
    """The U-matrix of a map gives for each unit the mean distance of its weights to those of its neighbours: walls
    between groups stand out.

    weights (R, C, D), places (R, C, 2), neighbours at distance 1; gives (R, C).

    >>> places = np.array([[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]])
    >>> distances_between(np.array([[[0.0], [1.0], [5.0]]]), places).ravel().tolist()  # the middle: (1 + 4) / 2
    [1.0, 2.5, 4.0]

    Reference: A. Ultsch, H. Siemon, 1990, "Kohonen's self organizing feature maps for exploratory data analysis".
    """
    flat, at = weights.reshape(-1, weights.shape[-1]), places.reshape(-1, 2)
    found = np.zeros(len(flat))
    for unit, place in enumerate(at):
        near = (np.abs(np.linalg.norm(at - place, axis=1) - 1) < 0.1).nonzero()[0]
        found[unit] = np.linalg.norm(flat[near] - flat[unit], axis=1).mean() if len(near) else 0.0
    return found.reshape(weights.shape[:2])


def map_picture(
    weights: NDArray[Any],
    places: NDArray[Any],
    shape: tuple[int, int],
    *,
    alt: str,
    words: Sequence[str] = (),
    tiles: NDArray[Any] | None = None,
) -> Html:
    """Draw a map whose units stand for small pictures: each unit's own at its place, inked, with the U-matrix beside.

    weights (R, C, D) with D = H W, places (R, C, 2), shape (H, W); words: of each unit, shown to whoever points at it.
    tiles (R, C, H, W): other pictures to draw, where the weights are none, such as those of the nearest examples.

    >>> places = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    >>> drawing = map_picture(np.zeros((1, 2, 4)), places, (2, 2), alt="two units", words=["a zero", "a one"])
    >>> drawing.count("<image"), drawing.count("<title>a one")
    (4, 1)
    """
    width = weights.shape[-1] if tiles is None else int(np.prod(tiles.shape[2:]))
    require(shape[0] * shape[1] == width, "shape", shape, f"a height times a width of {width}, the features of a unit")
    seen = (weights if tiles is None else tiles).reshape(-1, *shape)
    low, high = float(seen.min()), float(seen.max())

    def draw(unit: int, x: float, y: float) -> Html:
        title = tag("title", words[unit]) if len(words) else None
        return _cell(seen[unit], x, y, INK, low, high, title)

    return _beside_walls(weights, places, alt, draw)


def labelled_map(weights: NDArray[Any], places: NDArray[Any], labels: Sequence[str], *, alt: str) -> Html:
    """Draw a map whose units stand for words: each unit's own at its place, with the U-matrix beside.

    weights (R, C, D), places (R, C, 2), labels: of each unit, empty for one on which nothing fell.

    >>> places = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    >>> labelled_map(np.zeros((1, 2, 4)), places, ["cat", ""], alt="two units").count("cat</tspan>")
    1
    """
    kinds = sorted(set(labels))
    tone = dict(zip(kinds, colours(len(kinds)), strict=True))

    def draw(unit: int, x: float, y: float) -> Html:
        label = labels[unit]
        size = min(11.0, 1.6 * TILE / max(len(label), 1))
        word = tag("tspan", label, fill=tone[label], font_size=f"{size:.1f}")  # the page has a size of its own for text
        return tag("text", word, x=f"{x + TILE / 2:.1f}", y=f"{y + TILE / 2 + size / 3:.1f}", text_anchor="middle")

    return _beside_walls(weights, places, alt, draw)


def _beside_walls(
    weights: NDArray[Any], places: NDArray[Any], alt: str, draw: Callable[[int, float, float], Html]
) -> Html:
    """Set what stands for each unit at its place, and the U-matrix to the right of it."""
    at, walls = places.reshape(-1, 2), distances_between(weights, places).ravel()
    across, down = (at.max(0) + 1) * TILE
    low, high = float(walls.min()), float(walls.max())
    drawn = []
    for unit, (right, below) in enumerate(at * TILE):
        drawn.append(draw(unit, right, below))
        drawn.append(_cell(walls[unit, None, None], across + TILE + right, below, VIRIDIS, low, high, None))
    return svg(2 * across + TILE, down, alt, *drawn)


def _cell(
    pixels: NDArray[Any], x: float, y: float, tones: Sequence[Colour], low: float, high: float, title: Html | None
) -> Html:
    side = f"{TILE - GAP:g}"
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": side, "height": side}
    picture = data_uri(png(levels(pixels, low, high), tones))
    return tag("image", title, href=picture, **place, preserveAspectRatio="none", class_="pixels")
