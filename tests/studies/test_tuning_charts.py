"""The pictures and words of a tuning: where each trial stands, where the figure is good, and what the command asks."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locution.cli import run as command
from locution.studies import tuning_charts
from locution.studies.space import Dimension
from locution.studies.trials import Trial
from locution.studies.tune import Tuning
from locution.studies.tuning_charts import contour, history, smoothed
from locution.studies.tuning_page import ranked, remarks

RATE, KIND, SWITCH = (
    Dimension("lr", "log", 1e-3, 1.0),
    Dimension("kind", "choice", choices=("a", "b")),
    Dimension("sam", "switch"),
)


def tuning(values: list[float], better: str = "lower", states: list[str] | None = None) -> Tuning:
    told = states or ["done" if math.isfinite(value) else "failed" for value in values]
    trials = [
        Trial(number, ("lr=0.1", "kind=a"), value, state, "it broke" if state == "failed" else "", 2.0)
        for number, (value, state) in enumerate(zip(values, told, strict=True))
    ]
    return Tuning("digits", [], [RATE, KIND], "loss", better, "gp", trials, {"lr": 0.8, "kind": 0.2}, ["a remark"])


def line_of(picture: str) -> list[float]:
    """The heights of the line of the best so far, in pixels from above."""
    found = re.search(r'd="M([^"]*)"', picture)
    assert found
    return [float(point.split()[1]) for point in found[1].split("L")]


def dots(picture: str) -> list[float]:
    return [float(height) for height in re.findall(r'<circle[^>]*cy="([\d.]+)"', picture)]


@pytest.mark.parametrize(
    ("better", "best"), [("lower", [0.5, 0.4, 0.4, 0.4, 0.3]), ("higher", [0.5, 0.5, 0.5, 0.6, 0.6])]
)
def test_the_line_is_the_best_so_far(better: str, best: list[float]) -> None:
    picture = str(history(tuning([0.5, 0.4, math.inf, 0.6, 0.3], better)))
    heights, line = dots(picture), line_of(picture)
    at = {0.5: heights[0], 0.4: heights[1], 0.6: heights[3], 0.3: heights[4]}
    assert line == pytest.approx([at[value] for value in best], abs=0.11)
    assert at[0.6] < at[0.5] < at[0.4] < at[0.3], "larger stands higher"
    assert heights[2] < at[0.6], "what failed stands at the upper edge"


def test_one_wild_trial_does_not_flatten_the_others() -> None:
    heights = dots(str(history(tuning([0.1 * n for n in range(1, 30)] + [1e9]))))
    assert heights[0] - heights[20] > 50


def test_a_setting_stands_where_its_value_is() -> None:
    place = tuning_charts._place
    one = Trial(0, ("lr=0.0316228", "kind=b", "+sam"), 1.0, "done")
    other = Trial(1, ("lr=1", "kind=a"), 1.0, "done")
    assert [place(RATE, trial) for trial in (one, other)] == pytest.approx([0.5, 1.0], abs=1e-5)
    assert [place(KIND, trial) for trial in (one, other)] == [0.75, 0.25]
    assert [place(SWITCH, trial) for trial in (one, other)] == [0.75, 0.25]
    assert tuning_charts._marks(SWITCH) == [(0.25, "off"), (0.75, "on")]
    assert tuning_charts._marks(KIND) == [(0.25, "a"), (0.75, "b")]
    marks = tuning_charts._marks(RATE)
    assert {round(math.log10(float(word)), 6) % 1 for _, word in marks} == {0.0}, "powers of ten"
    assert all(at == pytest.approx((math.log10(float(word)) + 3) / 3, abs=1e-6) for at, word in marks)


def test_the_surface_is_high_where_the_values_are_and_goes_by_rank() -> None:
    places = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.5, 0.5]])
    values = np.array([2.0, 5.0, 3.0, 1.0, 4.0])
    grid = smoothed(places, values)
    corners = {2.0: grid[3, 3], 5.0: grid[3, 28], 3.0: grid[28, 3], 1.0: grid[28, 28]}  # row: up, column: right
    assert [value for value, _ in sorted(corners.items(), key=lambda pair: pair[1])] == [1.0, 2.0, 3.0, 5.0]
    assert np.array_equal(grid, smoothed(places, np.exp(values**2)))


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_two_settings_that_matter_are_drawn_across_and_up(better: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray[Any, Any]] = []

    def look(cells: np.ndarray[Any, Any], low: float, high: float) -> Any:
        seen.append(cells)
        return true_levels(cells, low, high)

    true_levels = tuning_charts.levels
    monkeypatch.setattr(tuning_charts, "levels", look)
    found = tuning([0.0] * 8, better)
    found.trials = [  # the loss falls with the rate, and b is a little better than a
        Trial(n, (f"lr={10.0 ** (-3 + n % 4)}", f"kind={'ab'[n // 4]}"), -(n % 4) - 0.1 * (n // 4), "done")
        for n in range(8)
    ]
    ((title, _),) = contour(found)
    assert title == "kind against lr"
    (cells,) = seen  # the first row is the upper one
    sign = 1.0 if better == "lower" else -1.0
    assert sign * (cells[:, 28] - cells[:, 3]).mean() > 1e-3
    assert sign * (cells[3] - cells[28]).mean() > 1e-3
    assert abs((cells[:, 28] - cells[:, 3]).mean()) > abs((cells[3] - cells[28]).mean())
    found.trials = found.trials[:5]
    assert list(contour(found)) == [], "too few to draw a surface through"


def test_the_best_come_first_and_only_those_that_ended() -> None:
    values, states = [0.5, 0.4, 0.9, math.inf], ["done", "done", "pruned", "failed"]
    assert [one.number for one in ranked(tuning(values, "lower", states))] == [1, 0]
    assert [one.number for one in ranked(tuning(values, "higher", states))] == [0, 1]
    said = remarks(tuning(values, "lower", states))
    assert said[0].startswith("4 trials (2 done, 1 pruned, 1 failed) by gp; 8.0 s of training")
    assert said[-2:] == ["a remark", "failed: it broke"]


def test_the_command_hands_on_all_that_was_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("locution.studies.tuning_page.show", lambda *told, **more: asked.extend([*told, more]))
    words = ["tune", "line", "optimizer.lr=log:0.1:1", "--trials", "7", "--by", "mse", "--sampler", "tpe", "--no-prune"]
    assert command([*words, "--workers", "3", "--seed", "5", "--out", "here", "--json"]) == 0
    assert asked[2:] == [7, "mse", "tpe", False, 3, 5, "here", {"as_json": True}]
    assert (asked[0], list(asked[1])) == ("line", ["optimizer.lr=log:0.1:1"])
