"""Paired differences drawn: every dot stands where its value says, up is better, names lie on no other."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from locution.reporting.charts import HEIGHT, WIDTH
from locution.reporting.paired import LETTER, Paired, cost_chart, differences_chart, free

SAM = Paired("sam", [-0.01, 0.03, 0.04], 0.02, -0.005, 0.035, "cannot tell", [7, 8, 9], 2.0)
LOW = Paired("low", [-0.08, -0.06, -0.07], -0.07, -0.08, -0.06, "hurts", (), 0.5)


def places(drawing: str, what: str = "cx") -> list[float]:
    return [float(value) for value in re.findall(rf'{what}="([-\d.]+)"', drawing)]


def test_dots_stand_where_their_values_say() -> None:
    drawing = differences_chart([SAM, LOW])
    across = places(drawing)
    values = [*SAM.differences, *LOW.differences]
    span = (across[3] - across[2]) / (values[3] - values[2])
    assert across == pytest.approx([across[0] + span * (value - values[0]) for value in values], abs=0.15)
    assert "seed 8: 0.030" in drawing
    assert "seed 2: -0.070" in drawing, "seeds count from 0 where none are named"
    assert drawing.count("dot c2") == 3
    assert drawing.count("dot c0") == 3
    assert all(0 <= place <= WIDTH for place in across)


def test_a_picture_that_stands_alone_brings_its_colours() -> None:
    drawing = differences_chart([SAM], alone=True)
    assert ElementTree.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in drawing
    assert "xmlns" not in differences_chart([SAM])
    odd = differences_chart([Paired("<script>", [0.0], 0.0, 0.0, 0.0, "helps")], alone=True)
    assert "<script>" not in odd


@pytest.mark.parametrize(("better", "above"), [("higher", True), ("lower", False), ("", True)])
def test_up_is_better(better: str, above: bool) -> None:
    plain, low, sam = places(cost_chart([SAM, LOW], better=better), "cy")
    assert (sam < plain < low) is above, "in a picture a smaller y is higher up"
    assert (low < plain < sam) is not above
    across = places(cost_chart([SAM, LOW], better=better))
    assert across[1] < across[0] < across[2], "0.5x, 1x, 2x"


def test_names_lie_on_no_other() -> None:
    rows = [Paired(f"variant number {n}", [0.0], 0.0, 0.0, 0.0, "cannot tell", time=1.0 + n / 100) for n in range(8)]
    drawing = cost_chart(rows, better="higher")
    names = re.findall(r'<text x="([-\d.]+)" y="([-\d.]+)" class="row" text-anchor="(\w+)">([^<]+)<', drawing)
    boxes = []
    for x, y, anchor, name in names:
        start = float(x) - (LETTER * len(name) if anchor == "end" else 0)
        boxes.append((start, start + LETTER * len(name), float(y)))
    assert len(boxes) == 9
    for number, (start, stop, at) in enumerate(boxes):
        assert 0 < at < HEIGHT
        for left, right, other in boxes[:number]:
            assert stop < left or right < start or abs(at - other) >= 12.9


def test_where_there_is_no_room_nothing_loops() -> None:
    taken = [(0.0, 100.0, float(at)) for at in range(0, 300, 5)]
    assert 0 < free(taken, 10.0, 20.0, 50.0, 200.0) < 220
