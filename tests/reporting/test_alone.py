"""Pictures as files of their own: whole, coloured as in the report, names as text."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as tree
from pathlib import Path

import numpy as np

from locution.reporting.alone import gallery_png, pictures, standing_alone, write_pictures
from locution.reporting.charts import dot, svg
from locution.reporting.results import Drawing, Gallery, Graph, RunResults


def test_a_drawing_brings_the_colours_that_its_classes_name() -> None:
    made = standing_alone(svg(10, 10, "one <dot>", dot(5, 5, "c1")))
    root = tree.fromstring(made)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    style = root[0].text or ""
    assert "--c1: #0b6aa8" in style
    assert ".dot.c1 { fill: var(--c1); }" in style
    assert "body" not in style
    assert root.get("aria-label") == "one <dot>"


def test_small_pictures_are_enlarged_whole() -> None:
    data = gallery_png(Gallery("samples", np.eye(4)[None, None]))
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (32, 32)


def test_every_kind_of_picture_becomes_a_file() -> None:
    results = RunResults(
        "a run",
        graphs=[Graph("wave", {"one": ([0.0, 1.0], [0.0, 1.0])})],
        galleries=[Gallery("samples", np.zeros((1, 1, 2, 2)))],
        drawings=[Drawing("a map", svg(1, 1, "map"))],
    )
    assert [(title, ending) for title, ending, _ in pictures(results)] == [
        ("a map", "svg"),
        ("wave", "svg"),
        ("samples", "png"),
    ]


def test_a_file_names_the_lines_that_a_page_names_beside_it() -> None:
    lines = {name: ([0.0, 1.0], [0.0, 1.0]) for name in ("first <b>", "second")}
    ((_, _, both),) = pictures(RunResults("a run", graphs=[Graph("wave", lines)]))
    root = tree.fromstring(both)
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")][-2:] == ["first <b>", "second"]
    ((_, _, one),) = pictures(RunResults("a run", graphs=[Graph("wave", {"only": lines["second"]})]))
    assert b">only<" not in one.replace(b"<title>only</title>", b"")


def test_a_picture_is_numbered_only_where_its_very_title_was_there_before(tmp_path: Path) -> None:
    lines = {"one": ([0.0, 1.0], [0.0, 1.0])}
    titles = ("An episode: each action", "An episode", "An episode")
    written = write_pictures(tmp_path, RunResults("a run", graphs=[Graph(title, lines) for title in titles]))
    assert [path.name for path in written] == ["an-episode-each-action.svg", "an-episode.svg", "an-episode-2.svg"]
    assert all(path.is_file() for path in written)
