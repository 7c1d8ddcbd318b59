"""Points on a plane: each under its label, at its place, escaped; maps of words and of other pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest

from locution.errors import UserError
from locution.estimators.lattice import lattice
from locution.reporting.map_picture import labelled_map, map_picture
from locution.reporting.scatter import colours, plane, scatter


def test_points_lie_where_they_are_on_one_scale_for_both_axes() -> None:
    drawn = scatter(np.array([[0.0, 0.0], [4.0, 1.0]]), ["a", "b"], alt="two")
    places = [(float(x), float(y)) for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"', drawn)]
    (left, low), (right, high) = places
    assert right - left == pytest.approx(4 * (low - high), abs=0.2)  # up on the page is a smaller number
    assert left < right


def test_each_label_has_its_colour_where_the_page_cannot_take_it_away() -> None:
    drawn = scatter(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]), ["a", "b", "a"], alt="three")
    fills = re.findall(r'<tspan fill="(#[0-9a-f]{6})">(\w)</tspan>', drawn)
    assert [label for _, label in fills] == ["a", "b", "a"]
    assert fills[0] == fills[2]
    assert fills[0][0] != fills[1][0]


def test_labels_and_names_are_escaped() -> None:
    drawn = scatter(np.zeros((1, 2)), ["<b>"], ["<script>"], alt="<x>")
    assert "<b>" not in drawn
    assert "<script>" not in drawn
    assert "&lt;script&gt;: &lt;b&gt;" in drawn


def test_long_labels_and_none_are_dots() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    for labels in (["a label that is far too long"] * 2, []):
        drawn = scatter(points, labels, alt="two")
        assert drawn.count("<circle") == 2
        assert "<text" not in drawn


def test_a_few_points_without_labels_have_their_names_beside_them() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    drawn = scatter(points, [], ["list", "a name that is far too long to stand there"], alt="two")
    said = re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="tick" text-anchor="(\w+)">([^<]+)<', drawn)
    assert [(anchor, name) for _, anchor, name in said] == [("start", "list"), ("end", "a name that is far too …")]
    assert float(said[0][0]) < float(said[1][0])


def test_of_many_names_so_many_stand_there_as_do_not_run_into_each_other() -> None:
    points = np.random.default_rng(0).normal(size=(400, 2))
    drawn = scatter(points, [], [f"word {row}" for row in range(400)], alt="many")
    said = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="tick" text-anchor="(\w+)">([^<]+)<', drawn)
    assert 30 <= len(said) <= 60
    boxes = []
    for x, y, anchor, name in said:
        ends = (float(x), float(x) + 6.2 * len(name)) if anchor == "start" else (float(x) - 6.2 * len(name), float(x))
        boxes.append((*ends, float(y)))
    for number, (left, right, y) in enumerate(boxes):
        assert all(abs(y - at) >= 11.8 or right <= one + 0.2 or two <= left + 0.2 for one, two, at in boxes[:number])


def test_of_very_many_points_some_are_drawn_from_first_to_last() -> None:
    drawn = scatter(np.random.default_rng(0).normal(size=(5000, 2)), [], [str(row) for row in range(5000)], alt="many")
    assert drawn.count("<circle") == 2000
    assert "<title>0</title>" in drawn
    assert "<title>4999</title>" in drawn


def test_colours_are_as_many_as_asked_for_and_none_twice() -> None:
    assert len(set(colours(12))) == 12


def test_a_plane_says_how_much_of_the_spread_it_shows() -> None:
    rows = np.array(
        [[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]
    )
    assert "93 % of it" in plane(rows, list("aabbcc")).note  # (18 + 8) / 28


def test_units_bear_other_pictures_or_words_where_weights_are_none() -> None:
    places, weights = lattice(2, 2, "rectangular"), np.arange(12.0).reshape(2, 2, 3)
    tiles = np.random.default_rng(0).random((2, 2, 4, 5))
    assert map_picture(weights, places, (4, 5), alt="four", tiles=tiles).count("<image") == 2
    with pytest.raises(UserError, match=r"shape is \(4, 5\)"):
        map_picture(weights, places, (4, 5), alt="four")
    drawn = labelled_map(weights, places, ["<one>", "two", "", "two"], alt="four")
    assert len(re.findall(r'<rect [^>]*fill="#[0-9a-f]{6}"', drawn)) == 4
    assert drawn.count(">two</tspan>") == 2
    assert "<one>" not in drawn


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: scatter(np.zeros((2, 3)), [], alt=""), r"shape of points is \(2, 3\)"),
        (lambda: scatter(np.zeros((2, 2)), ["a"], alt=""), "labels is 1; allowed: 2, one a point, or none"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        asked()  # type: ignore[operator]
