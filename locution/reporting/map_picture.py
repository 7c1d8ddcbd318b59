"""A self-organising map as a picture: what each unit stands for, and how far it is from its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import require
from locution.reporting.charts import letters, svg
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import INK, VIRIDIS, data_uri, levels, palette, png
from locution.reporting.scatter import colours

TILE = 24.0
GAP = 1.0
SHARP = 2  # dots of the one picture of all units, for each of the page's
BAR, BELOW = 8.0, 34.0  # the scale beneath the walls, and the room that it takes
LIGHT = 140  # from here on a colour bears dark letters


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

    weights (R, C, D) with D = H W, places (R, C, 2), shape (H, W); words: of each unit, written on its wall where they
    are short, and shown to whoever points at its picture. tiles (R, C, H, W): other pictures to draw, where the weights
    are none, such as those of the nearest examples. All pictures stand in one, so that a map of many units stays small.

    >>> places = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    >>> drawing = map_picture(np.zeros((1, 2, 4)), places, (2, 2), alt="two units", words=["a zero", "a one"])
    >>> drawing.count("<image"), drawing.count("<title>a one")
    (2, 1)
    """
    width = weights.shape[-1] if tiles is None else int(np.prod(tiles.shape[2:]))
    require(shape[0] * shape[1] == width, "shape", shape, f"a height times a width of {width}, the features of a unit")
    seen = (weights if tiles is None else tiles).reshape(-1, *shape)
    across, down = size(places)
    whole = mosaic(levels(seen, float(seen.min()), float(seen.max())), places)
    drawn = [_image(whole, 0.0, 0.0, across, down)]
    for word, (x, y) in zip(words, corners(places), strict=bool(len(words))):
        if word:
            drawn.append(tag("rect", tag("title", word), **_square(x, y), fill="none", pointer_events="all"))
    return _beside_walls(weights, places, alt, drawn, words)


def mosaic(tiles: NDArray[np.uint8], places: NDArray[Any]) -> NDArray[np.uint8]:
    """Set small pictures at their places into one, each enlarged to the same square: a pixel to a block of dots.

    tiles (U, H, W), places (..., 2) of as many units; what no tile covers is 0.

    >>> whole = mosaic(np.full((2, 1, 1), 9, dtype=np.uint8), np.array([[0.0, 0.0], [1.0, 0.0]]))
    >>> whole.shape, whole[0, [0, 45, 46, 47, 48]].tolist()  # a tile of 46 dots, a gap of 2
    ((48, 96), [9, 9, 0, 0, 9])
    """
    side = round((TILE - GAP) * SHARP)
    rows, columns = (np.arange(side) * length // side for length in tiles.shape[1:])
    across, down = size(places)
    whole = np.zeros((round(down * SHARP), round(across * SHARP)), dtype=np.uint8)
    for tile, (x, y) in zip(tiles, (corners(places) * SHARP).round().astype(int), strict=True):
        whole[y : y + side, x : x + side] = tile[rows][:, columns]
    return whole


def corners(places: NDArray[Any]) -> NDArray[np.float64]:
    """Say where on the page the square of each unit begins: rows that lie nearer than a square is high are set apart.

    places (..., 2); gives (U, 2).

    >>> corners(np.array([[0.0, 0.0], [0.5, 0.866]])).tolist()
    [[0.0, 0.0], [12.0, 24.0]]
    """
    flat = places.reshape(-1, 2)
    rows = np.unique(flat[:, 1])
    nearest = float(np.diff(rows).min()) if len(rows) > 1 else 1.0
    found: NDArray[np.float64] = flat * (TILE, TILE / min(1.0, nearest))
    return found


def size(places: NDArray[Any]) -> tuple[float, float]:
    """Say how wide and how high a map of units at these places is on the page."""
    across, down = (corners(places).max(0) + TILE).tolist()
    return across, down


def labelled_map(weights: NDArray[Any], places: NDArray[Any], labels: Sequence[str], *, alt: str) -> Html:
    """Draw a map whose units stand for words: each unit's own at its place, with the U-matrix beside.

    weights (R, C, D), places (R, C, 2), labels: of each unit, empty for one on which nothing fell.

    >>> places = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    >>> labelled_map(np.zeros((1, 2, 4)), places, ["cat", ""], alt="two units").count("cat</tspan>")
    1
    """
    kinds = sorted(set(labels))
    tone = dict(zip(kinds, colours(len(kinds)), strict=True))
    drawn = []
    for label, (x, y) in zip(labels, corners(places), strict=True):
        height = min(11.0, 1.6 * TILE / max(len(label), 1))
        word = tag("tspan", label, fill=tone[label], font_size=f"{height:.1f}")  # the page has a size of its own
        place = {"x": f"{x + TILE / 2:.1f}", "y": f"{y + TILE / 2 + height / 3:.1f}"}
        drawn.append(tag("text", word, **place, text_anchor="middle"))
    return _beside_walls(weights, places, alt, drawn)


def _beside_walls(
    weights: NDArray[Any], places: NDArray[Any], alt: str, units: Sequence[Html], words: Sequence[str] = ()
) -> Html:
    """Set the U-matrix to the right of the units, with what its colours mean beneath."""
    walls = distances_between(weights, places).ravel()
    low, high = float(walls.min()), float(walls.max())
    shades, tones = levels(walls, low, high).tolist(), palette(VIRIDIS).tolist()
    across, down = size(places)
    drawn: list[Html] = list(units)
    for unit, (x, y) in enumerate(corners(places)):
        tone = tones[shades[unit]]
        fill = "#{:02x}{:02x}{:02x}".format(*tone)
        drawn.append(tag("rect", **_square(x + across + TILE, y), fill=fill))
        if len(words) and 0 < len(words[unit]) <= 2:
            ink = "#181a20" if np.dot(tone, (0.3, 0.59, 0.11)) > LIGHT else "#fff"
            word = tag("tspan", words[unit], fill=ink)
            middle = {"x": f"{x + across + TILE + (TILE - GAP) / 2:.1f}", "y": f"{y + TILE / 2 + 3.5:.1f}"}
            drawn.append(tag("text", word, **middle, text_anchor="middle"))
    drawn.append(_scale(low, high, across + TILE, down + 6, across))
    return svg(2 * across + TILE, down + BELOW, alt, *drawn)


def _scale(low: float, high: float, x: float, y: float, across: float) -> Html:
    """Say which colour stands for which distance."""
    ramp = _image(np.arange(256, dtype=np.uint8)[None], x, y, across - GAP, BAR, VIRIDIS)
    words = [
        letters(x, y + BAR + 13, f"{low:.3g}"),
        letters(x + across / 2, y + BAR + 13, "mean distance to its neighbours", "tick quiet", "middle"),
        letters(x + across - GAP, y + BAR + 13, f"{high:.3g}", anchor="end"),
    ]
    return tag("g", ramp, *words)


def _square(x: float, y: float) -> dict[str, str]:
    """The square of a unit whose corner is at a place of the page."""
    side = f"{TILE - GAP:g}"
    return {"x": f"{x:.1f}".removesuffix(".0"), "y": f"{y:.1f}".removesuffix(".0"), "width": side, "height": side}


def _image(
    pixels: NDArray[np.uint8], x: float, y: float, across: float, down: float, tones: Sequence[Any] = INK
) -> Html:
    place = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{across:g}", "height": f"{down:g}"}
    return tag("image", href=data_uri(png(pixels, tones)), **place, preserveAspectRatio="none", class_="pixels")
