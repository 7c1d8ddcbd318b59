"""Moments of an episode, side by side: what a camera beside the world would have seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.reporting.charts import dot, letters, rule, svg
from locution.reporting.markup import Html, tag

WIDE, GAP, HEAD, COLUMNS = 150.0, 12.0, 18.0, 5  # of one frame
Place = Callable[[float, float], tuple[float, float]]  # from metres in the world to the page
Scene = Callable[[Sequence[float], Place], list[Html]]


def frames(seen: NDArray[Any], scene: str, *, alt: str, most: int = 10, doing: Sequence[str] = ()) -> Html:
    """Draw moments of one episode side by side, from its first to its last, evenly spaced in time.

    seen (T, observations): what was seen at each step; scene: a name in SCENES; doing (T,): what was done there, in a
    word; most: how many moments are drawn.

    >>> picture = frames(np.array([[0.0, 0.0, 0.1, 0.0]] * 30), "CartPole", alt="a cart", most=3, doing=["left"] * 30)
    >>> picture.count("<rect"), picture.count("step 29: left")
    (6, 1)
    """
    (left, bottom, right, top), draw = SCENES[scene]
    scale = WIDE / (right - left)
    high = (top - bottom) * scale
    steps = np.unique(np.linspace(0, len(seen) - 1, most).round().astype(int)).tolist()
    drawn: list[Html] = []
    for number, step in enumerate(steps):
        x0, y0 = (WIDE + GAP) * (number % COLUMNS), (high + GAP + HEAD) * (number // COLUMNS) + HEAD

        def place(x: float, y: float, x0: float = x0, y0: float = y0) -> tuple[float, float]:
            return x0 + (x - left) * scale, y0 + high - (y - bottom) * scale

        said = f"step {step}: {doing[step]}" if len(doing) else f"step {step}"
        frame = tag("rect", x=f"{x0:.1f}", y=f"{y0:.1f}", width=f"{WIDE:g}", height=f"{high:.1f}", class_="frame")
        drawn += [frame, letters(x0 + 2, y0 - 5, said), *draw(seen[step].tolist(), place)]
    rows, columns = -(-len(steps) // COLUMNS), min(COLUMNS, len(steps))
    return svg((WIDE + GAP) * columns - GAP, (high + GAP + HEAD) * rows - GAP + 2, alt, *drawn)


def cart_pole(seen: Sequence[float], place: Place) -> list[Html]:
    """Draw a cart on its track, and the pole on it: seen is (position, speed, angle from upright, turning).

    The track ends where an episode does, 2.4 m to each side; the pole is 1 m long, as Gymnasium draws it.
    """
    position, angle = seen[0], seen[2]
    corner, (x, y) = place(position - 0.25, 0.2), place(position, 0.2)
    unit = place(1, 0)[0] - place(0, 0)[0]
    size = {"width": f"{0.5 * unit:.1f}", "height": f"{0.2 * unit:.1f}"}
    tip = place(position + math.sin(angle), 0.2 + math.cos(angle))
    return [
        rule(*place(-2.4, 0), *place(2.4, 0), "axis"),
        *(rule(*place(end, -0.08), *place(end, 0.08), "axis") for end in (-2.4, 0.0, 2.4)),
        tag("rect", x=f"{corner[0]:.1f}", y=f"{corner[1]:.1f}", **size, class_="solid c0"),
        rule(x, y, *tip, "limb c2"),
        dot(x, y, "c0", size=2.5),
    ]


def mountain_car(seen: Sequence[float], place: Place) -> list[Html]:
    """Draw a car between two hills, sin(3 x) high, and the flag that it has to reach: seen is (position, speed)."""

    def high(x: float) -> float:
        return 0.45 * math.sin(3 * x) + 0.55

    ground = [place(x, high(x)) for x in np.linspace(-1.2, 0.6, 40).tolist()]
    way = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ground)
    flag = rule(*place(0.5, high(0.5)), *place(0.5, high(0.5) + 0.2), "limb c2")
    car = dot(*place(seen[0], high(seen[0]) + 0.05), "c1", size=5.0)
    return [tag("path", d=way, class_="line c0"), flag, car]


def acrobot(seen: Sequence[float], place: Place) -> list[Html]:
    """Draw two limbs that hang from a bar, and the height that the free end has to reach.

    seen is (cosine, sine) of the first limb's angle from hanging, then of the second's from the first.
    """
    first, bend = math.atan2(seen[1], seen[0]), math.atan2(seen[3], seen[2])
    elbow = (math.sin(first), -math.cos(first))
    free = (elbow[0] + math.sin(first + bend), elbow[1] - math.cos(first + bend))
    return [
        rule(*place(-3.3, 1), *place(3.3, 1), "limit"),
        rule(*place(0, 0), *place(*elbow), "limb c0"),
        rule(*place(*elbow), *place(*free), "limb c2"),
        dot(*place(0, 0), "c0"),
        dot(*place(*elbow), "c0", size=3.0),
    ]


SCENES: dict[str, tuple[tuple[float, float, float, float], Scene]] = {
    "CartPole": ((-2.8, -0.25, 2.8, 1.55), cart_pole),
    "MountainCar": ((-1.45, -0.05, 0.85, 1.35), mountain_car),
    "Acrobot": ((-3.6, -2.2, 3.6, 2.2), acrobot),
}
"""Worlds that can be drawn: the part of each that a frame shows (left, bottom, right, top), and who draws it."""
