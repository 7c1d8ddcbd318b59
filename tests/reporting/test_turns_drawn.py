"""The losses of several turns stand in one chart, by name."""

from __future__ import annotations

from locution.reporting.curves import curves
from locution.reporting.sections import learning
from locution.reporting.units import figure

RECORDS = [
    {"kind": "step", "step": step, "loss": 1.0, "loss/critic": -1.0 / step, "loss/generator": 2.0 / step}
    for step in range(1, 30)
]


def test_each_turn_has_a_line_of_its_own_and_none_stands_alone() -> None:
    section = learning(curves(RECORDS))
    assert section is not None
    page = section.body
    assert page.count("<figure") == 1
    assert page.count('class="line c1"') >= 1
    assert page.count('class="line c2"') >= 1
    assert (
        f"critic: first {figure(-1.0)}, last {figure(-1 / 29)}; generator: first {figure(2.0)}, last {figure(2 / 29)}"
        in page
    )
    assert "loss/" not in page


def test_one_turn_is_drawn_as_ever() -> None:
    section = learning(curves([{"kind": "step", "step": step, "loss": 1.0 / step} for step in range(1, 9)]))
    assert section is not None
    assert f"Training loss: first {figure(1.0)}, last {figure(1 / 8)}" in section.body
    assert "of each turn" not in section.body
