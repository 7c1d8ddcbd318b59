"""Frames of an episode stand where the world stood: a pole by its angle, limbs by theirs, a car on its hill."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from locution.reporting.frames import GAP, HEAD, SCENES, WIDE, acrobot, cart_pole, frames, mountain_car
from locution.reporting.markup import Html

NUMBER = r'="(-?[\d.]+)"'


def metres(x: float, y: float) -> tuple[float, float]:
    """A page on which a metre is a hundred, up is up, and the world's middle is at 500."""
    return 500 + 100 * x, 500 + 100 * y


def limbs(drawn: list[Html]) -> list[tuple[float, ...]]:
    """The ends of what is drawn as a limb, in metres."""
    found = [re.search(rf"x1{NUMBER} y1{NUMBER} x2{NUMBER} y2{NUMBER}", one) for one in drawn if 'class="limb' in one]
    return [tuple((float(end) - 500) / 100 for end in one.groups()) for one in found if one]


@pytest.mark.parametrize("angle", [-0.2, 0.0, 0.2, math.pi / 2])
def test_a_pole_leans_by_its_angle_to_the_right_where_that_is_positive(angle: float) -> None:
    (pole,) = limbs(cart_pole([1.0, 0.0, angle, 0.0], metres))
    assert pole == pytest.approx((1.0, 0.2, 1 + math.sin(angle), 0.2 + math.cos(angle)), abs=1e-3)


def test_a_cart_stands_on_its_track_where_it_is() -> None:
    drawn = "".join(cart_pole([-1.5, 0.0, 0.0, 0.0], metres))
    corner = re.search(rf"<rect x{NUMBER} y{NUMBER} width{NUMBER}", drawn)
    assert corner is not None
    left, _, width = (float(one) for one in corner.groups())
    assert left + width / 2 == pytest.approx(500 - 150)


def test_the_limbs_of_an_acrobot_are_where_gymnasium_draws_them() -> None:
    first, bend = 0.7, -1.1  # Gymnasium's own drawing: each limb hangs from the end of the last, 1 m long
    seen = [math.cos(first), math.sin(first), math.cos(bend), math.sin(bend), 0.0, 0.0]
    upper, lower = limbs(acrobot(seen, metres))
    elbow = (math.sin(first), -math.cos(first))
    assert upper == pytest.approx((0, 0, *elbow), abs=1e-3)
    end = (elbow[0] + math.sin(first + bend), elbow[1] - math.cos(first + bend))
    assert lower == pytest.approx((*elbow, *end), abs=1e-3)


def test_a_car_stands_on_the_hill_at_its_place() -> None:
    drawn = "".join(mountain_car([-0.5, 0.0], metres))
    car = re.search(rf"cx{NUMBER} cy{NUMBER}", drawn)
    assert car is not None
    x, y = ((float(one) - 500) / 100 for one in car.groups())
    assert (x, y) == pytest.approx((-0.5, 0.45 * math.sin(-1.5) + 0.55 + 0.05), abs=1e-3)


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_what_is_drawn_of_any_world_lies_within_its_frame(scene: str) -> None:
    seen = np.array(
        {"CartPole": [[2.4, 0, 0.3, 0]], "MountainCar": [[0.6, 0]], "Acrobot": [[-1, 0, 1, 0, 0, 0]]}[scene]
    )
    drawn = frames(seen, scene, alt="one")
    across = [float(x) for x in re.findall(rf" (?:x|x1|x2|cx){NUMBER}", drawn)]
    down = [float(y) for y in re.findall(rf" (?:y1|y2|cy){NUMBER}", drawn)]
    assert min(across) >= 0
    assert max(across) <= WIDE
    assert min(down) >= HEAD  # below the letters
    (left, bottom, right, top), _ = SCENES[scene]
    assert max(down) <= HEAD + (top - bottom) * WIDE / (right - left)


def test_moments_are_evenly_spaced_from_the_first_to_the_last() -> None:
    drawn = frames(np.zeros((500, 4)), "CartPole", alt="all", doing=["left"] * 499 + ["right"])
    said = [int(step) for step in re.findall(r"step (\d+):", drawn)]
    assert (said[0], said[-1], len(said)) == (0, 499, 10)
    assert max(np.diff(said)) - min(np.diff(said)) <= 1
    assert "step 499: right" in drawn
    corners = re.findall(rf'<rect x{NUMBER} y{NUMBER} width="150"', drawn)
    assert sorted({float(x) for x, _ in corners}) == [column * (WIDE + GAP) for column in range(5)]
    assert len({y for _, y in corners}) == 2


def test_a_short_episode_has_a_frame_for_each_step() -> None:
    drawn = frames(np.zeros((3, 4)), "CartPole", alt="three")
    assert re.findall(r"step (\d+)", drawn) == ["0", "1", "2"]
