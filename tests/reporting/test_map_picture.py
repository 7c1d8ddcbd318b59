"""A map of small pictures: every unit's pixels at its place, walls by their colours, and a file that stays small."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from locution.estimators.lattice import lattice
from locution.reporting.map_picture import GAP, SHARP, TILE, corners, labelled_map, map_picture, mosaic, size
from locution.reporting.pixels import VIRIDIS, levels, palette

SIDE = round((TILE - GAP) * SHARP)


def first_image(drawing: str) -> NDArray[np.uint8]:
    """Read the levels of the first picture in a drawing: (rows, columns)."""
    found = re.search(r"base64,([^\"]+)", drawing)
    assert found is not None
    data = base64.b64decode(found.group(1))
    width, height = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), dtype=np.uint8)
    return rows.reshape(height, width + 1)[:, 1:]


@pytest.mark.parametrize("grid", ["hexagonal", "rectangular"])
def test_each_unit_stands_whole_at_its_place_and_covers_no_other(grid: str) -> None:
    tiles = np.random.default_rng(0).random((3 * 4, 8, 5))
    places = lattice(3, 4, grid)
    drawing = map_picture(tiles.reshape(3, 4, 40), places, (8, 5), alt="twelve")
    whole, expected = first_image(drawing), levels(tiles, tiles.min(), tiles.max())
    for tile, (x, y) in zip(expected, (corners(places) * SHARP).round().astype(int), strict=True):
        seen = whole[y : y + SIDE, x : x + SIDE]
        middle = (np.arange(8) * SIDE // 8 + 2)[:, None], np.arange(5) * SIDE // 5 + 4
        assert np.array_equal(seen[middle], tile)  # neither mirrored nor turned, and nothing over it


def test_rows_of_hexagons_are_shifted_by_half_a_unit_and_a_whole_unit_apart() -> None:
    assert corners(lattice(3, 2, "hexagonal")).tolist() == [
        *([0.0, 0.0], [TILE, 0.0]),
        *([TILE / 2, TILE], [1.5 * TILE, TILE]),
        *([0.0, 2 * TILE], [TILE, 2 * TILE]),
    ]
    assert size(lattice(3, 2, "hexagonal")) == (2.5 * TILE, 3 * TILE)


def test_what_no_unit_covers_is_paper() -> None:
    whole = mosaic(np.full((2, 3, 3), 200, dtype=np.uint8), np.array([[0.0, 0.0], [1.5, 1.0]]))
    assert set(whole[:SIDE, :SIDE].ravel()) == {200}
    assert set(whole[:SIDE, SIDE:].ravel()) == {0}


def test_walls_are_as_dark_as_they_are_low_and_a_scale_says_how_low() -> None:
    weights = np.array([[[0.0], [1.0], [5.0]]])  # walls: 1, 2.5, 4
    drawing = map_picture(weights, lattice(1, 3, "rectangular"), (1, 1), alt="three", words=["a", "b", "long"])
    fills = re.findall(r'<rect [^>]*fill="(#[0-9a-f]{6})"', drawing)
    tones = ["#{:02x}{:02x}{:02x}".format(*palette(VIRIDIS)[at]) for at in (0, 128, 255)]
    assert fills == tones
    assert ">1</text>" in drawing
    assert ">4</text>" in drawing
    assert "mean distance to its neighbours" in drawing


def test_short_words_stand_on_the_walls_light_on_dark_and_dark_on_light() -> None:
    weights = np.array([[[0.0], [1.0], [5.0]]])
    drawing = map_picture(weights, lattice(1, 3, "rectangular"), (1, 1), alt="three", words=["a", "long", "<"])
    assert re.findall(r'<tspan fill="(#\w+)">([^<]+)</tspan>', drawing) == [("#fff", "a"), ("#181a20", "&lt;")]
    assert drawing.count("<title>") == 3


def test_a_map_of_words_names_each_unit_once() -> None:
    drawing = labelled_map(np.zeros((1, 2, 4)), lattice(1, 2, "rectangular"), ["a", "b"], alt="two")
    assert re.findall(r">([^<]+)</tspan>", drawing) == ["a", "b"]


def test_a_map_of_many_units_stays_small() -> None:
    tiles = np.random.default_rng(0).random((12, 12, 64))  # nothing can be packed worse than chance
    drawing = map_picture(tiles, lattice(12, 12, "hexagonal"), (8, 8), alt="many", words=["7"] * 144)
    assert len(drawing) < 100_000
