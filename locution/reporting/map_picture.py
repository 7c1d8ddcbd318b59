"""A self-organising map as a picture: what each unit stands for, and how far it is from its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import require
from locution.reporting.charts import svg
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import INK, VIRIDIS, data_uri, levels, png

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
    weights: NDArray[Any], places: NDArray[Any], shape: tuple[int, int], *, alt: str, words: Sequence[str] = ()
) -> Html:
    """Draw a map whose units stand for small pictures: each unit's own at its place, inked, with the U-matrix beside.

    weights (R, C, D) with D = H W, places (R, C, 2), shape (H, W); words: of each unit, shown to whoever points at it.

    >>> places = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    >>> drawing = map_picture(np.zeros((1, 2, 4)), places, (2, 2), alt="two units", words=["a zero", "a one"])
    >>> drawing.count("<image"), drawing.count("<title>a one")
    (4, 1)
    """
    width = weights.shape[-1]
    require(shape[0] * shape[1] == width, "shape", shape, f"a height times a width of {width}, the features of a unit")
    tiles, at = weights.reshape(-1, *shape), places.reshape(-1, 2)
    low, high = float(tiles.min()), float(tiles.max())
    walls = distances_between(weights, places).ravel()
    across, down = (at.max(0) + 1) * TILE
    drawn = []
    for unit, (right, below) in enumerate(at):
        title = tag("title", words[unit]) if len(words) else None
        for start, cell, colours, ends in (
            (0.0, tiles[unit], INK, (low, high)),
            (across + TILE, walls[unit, None, None], VIRIDIS, (walls.min(), walls.max())),
        ):
            side = f"{TILE - GAP:g}"
            place = {"x": f"{start + right * TILE:.1f}", "y": f"{below * TILE:.1f}", "width": side, "height": side}
            picture = data_uri(png(levels(cell, *ends), colours))
            drawn.append(tag("image", title, href=picture, **place, preserveAspectRatio="none", class_="pixels"))
            title = None
    return svg(2 * across + TILE, down, alt, *drawn)
