"""Graphs and pictures of a task: where the ink stands, and that names stay text."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import numpy as np

from locution.reporting.drawn import drawn, gallery, graph
from locution.reporting.report import render
from locution.reporting.results import Gallery, Graph, RunResults


def test_a_line_goes_where_its_values_say() -> None:
    picture = graph(Graph("wave", {"plain": ([0.0, 1.0, 2.0], [0.0, 1.0, 0.0])}, points=([1.0], [1.0])))
    path = re.search(r' d="M([^"]+)"', picture)
    assert path is not None
    places = [tuple(float(one) for one in place.split()) for place in path.group(1).split("L")]
    assert places[0][0] < places[1][0] < places[2][0]
    assert abs(places[1][0] - (places[0][0] + places[2][0]) / 2) < 0.2
    assert places[1][1] < places[0][1] == places[2][1], "up is small on a page"
    spot = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', picture)
    assert spot is not None
    assert (float(spot.group(1)), float(spot.group(2))) == places[1]


def test_a_line_that_is_nowhere_in_places_is_still_drawn() -> None:
    assert "nan" not in graph(Graph("wave", {"one": ([0.0, 1.0], [1.0, float("nan")])}))


def unpack(source: str) -> np.ndarray:
    """Read a PNG of one byte a pixel, whose rows are not filtered."""
    data, start, size, packed = base64.b64decode(source), 8, (0, 0), b""
    while start < len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        kind, body = data[start + 4 : start + 8], data[start + 8 : start + 8 + length]
        size = struct.unpack(">II", body[:8]) if kind == b"IHDR" else size
        packed += body if kind == b"IDAT" else b""
        start += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), dtype=np.uint8).reshape(size[1], 1 + size[0])
    return rows[:, 1:]


def test_pictures_stand_in_rows_with_a_faint_pixel_between_them() -> None:
    pictures = np.arange(1, 7, dtype=float).reshape(2, 3, 1, 1) * np.ones((1, 1, 2, 2))
    source = re.search(r"base64,([^\"]+)", gallery(Gallery("six", pictures)))
    assert source is not None
    shown = unpack(source.group(1))  # 1 to 6 spread over 0 to 255
    assert shown.shape == (5, 8)
    assert shown[0].tolist() == [0, 0, 20, 51, 51, 20, 102, 102]
    assert shown[4].tolist() == [153, 153, 20, 204, 204, 20, 255, 255]
    assert shown[2].tolist() == [20] * 8


def test_both_stand_in_the_report_and_names_stay_text(tmp_path: object) -> None:
    from pathlib import Path

    assert drawn(RunResults("nothing")) is None
    bad = "<script>alert(1)</script>"
    results = RunResults("run", graphs=[Graph(bad, {bad: ([0.0, 1.0], [0.0, 1.0])}, across=bad, note=bad)])
    results.galleries = [Gallery(bad, np.zeros((1, 1, 2, 2)), bad)]
    page = render(Path(str(tmp_path)), results)
    assert bad not in page
    assert page.count("data:image/png") == 1
    assert 'id="pictures"' in page


def places_of(picture: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', picture)]


def test_equal_factors_are_equally_far_apart_on_a_logarithmic_axis() -> None:
    lines = {"one": ([1.0, 10.0, 100.0], [1e2, 1e3, 1e4])}
    (a, b), (c, d), (e, f) = places_of(graph(Graph("both", lines, log="xy", marked=True)))
    assert abs((c - a) - (e - c)) < 0.2
    assert abs((b - d) - (d - f)) < 0.2
    assert b > d > f
    (a, b), (c, d), (e, f) = places_of(graph(Graph("up", lines, log="y", marked=True)))
    assert (e - c) > 5 * (c - a)
    assert abs((b - d) - (d - f)) < 0.2


def test_what_is_not_above_nothing_has_no_place_on_a_logarithmic_axis() -> None:
    lines = {"one": ([0.0, 1.0, 2.0, 3.0], [1.0, 0.0, -1.0, 4.0])}
    assert len(places_of(graph(Graph("up", lines, log="y", marked=True)))) == 2
    assert len(places_of(graph(Graph("across", lines, log="x", marked=True)))) == 3
    assert "Nothing was measured" in graph(Graph("none", {"one": ([1.0], [-1.0])}, log="y"))


def test_a_line_of_one_point_is_a_dot_and_axes_are_named() -> None:
    picture = graph(Graph("one", {"a": ([0.0, 1.0], [2.0, 3.0]), "b": ([1.0], [2.5])}, across="effort", up="speed"))
    assert len(places_of(picture)) == 1
    assert picture.count("<path") == 1
    assert ">speed</text>" in picture
    assert ">effort</text>" in picture
