"""Clouds of points over a density, and what is carried from one to another."""

from __future__ import annotations

import re

import numpy as np
import pytest

from locution.errors import UserError
from locution.reporting.cloud import SIDE, carried, cloud


def circles(picture: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', picture)]


def test_both_axes_have_one_scale_and_up_is_up() -> None:
    corners = {"four": np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [4.0, 2.0]])}
    picture = cloud(corners, np.zeros(2), np.array([4.0, 2.0]), alt="corners")
    (x0, y0), (x1, y1), (x2, y2), _ = circles(picture)
    assert x1 - x0 == pytest.approx(2 * (y0 - y2), abs=0.2)
    assert y0 == y1 > y2
    assert x0 == x2 < x1
    assert f'viewBox="0 0 {SIDE:g} {SIDE / 2 + 10:g}"' in picture


def test_points_outside_are_left_out_and_each_cloud_has_a_colour() -> None:
    two = {"made": np.array([[0.5, 0.5], [7.0, 0.5]]), "real": np.array([[0.1, 0.1]])}
    picture = cloud(two, np.zeros(2), np.ones(2), alt="two clouds")
    assert len(circles(picture)) == 2
    assert 'class="bar c1"' in picture
    assert 'class="bar c2"' in picture
    assert "<title>made: 2</title>" in picture


def test_the_density_lies_behind_the_points() -> None:
    picture = cloud({"one": np.zeros((1, 2))}, -np.ones(2), np.ones(2), alt="x", density=np.eye(3))
    assert picture.index("<image") < picture.index("<circle")
    assert 'href="data:image/png;base64,' in picture


def test_names_are_shown_as_text_whatever_they_hold() -> None:
    picture = cloud({"<b>": np.zeros((1, 2))}, -np.ones(2), np.ones(2), alt='"quoted"')
    assert "<b>" not in picture
    assert "&lt;b&gt;" in picture


def test_a_plan_is_drawn_as_ways_the_weaker_the_less_they_carry() -> None:
    x, y = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])
    plan = np.array([[0.5, 0.0], [0.02, 0.48]])  # of the second point 4 % go elsewhere, too few to draw
    picture = carried(x, y, plan, ("made", "real"), alt="plan")
    assert re.findall(r'<g opacity="([\d.]+)">', picture) == ["1.00", "0.96"]
    assert picture.count("<line") == 2
    shared = carried(x, y, np.full((2, 2), 0.25), ("made", "real"), alt="plan")
    assert re.findall(r'<g opacity="([\d.]+)">', shared) == ["0.50"] * 4


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"shape of the plan is \(1, 2\); allowed: \(2, 2\)"):
        carried(np.zeros((2, 2)), np.ones((2, 2)), np.zeros((1, 2)), ("a", "b"), alt="")
    with pytest.raises(UserError, match="the window"):
        cloud({}, np.zeros(2), np.zeros(2), alt="")
