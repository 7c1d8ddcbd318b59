"""Equal compute: what a step costs is counted, and each variant gets what the plain recipe's training costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from locution.errors import UserError
from locution.recipe import resolve
from locution.studies.compare import compare
from locution.studies.equal import Price, equalised, price, prices
from locution.studies.table import budgets, columns, row
from locution.studies.variants import Variant


def test_operations_are_those_of_forward_and_backward() -> None:
    found = price(resolve("digits", ["model.widths=[16]", "epochs=2"]))
    sizes = [(64, 16), (16, 10)]
    forward = sum(2 * 32 * ins * outs for ins, outs in sizes)  # a multiplication and an addition for each weight
    backward = 2 * forward - 2 * 32 * 64 * 16  # by the weights and by what came in, but not by the pictures
    last = 1257 - 39 * 32  # of an epoch's last batch; steps 34 to 39 are counted, and all of those are whole
    assert last < 32
    assert found.operations == forward + backward
    assert (found.gradients, found.steps) == (1.0, 80)
    assert found.seconds > 0


def test_a_second_gradient_costs_a_second_time() -> None:
    plain, sam = price(resolve("digits", ["epochs=1"])), price(resolve("digits", ["epochs=1", "+sam"]))
    over = sam.over(plain)
    assert over["operations"] == 2.0
    assert over["gradients"] == 2.0
    assert over["seconds"] > 1.2


def test_budgets_go_both_ways_and_small_differences_change_nothing() -> None:
    base = Price(100.0, 1.0, 0.001, 1000)
    found = {
        "plain": base,
        "half": Price(50.0, 1.0, 0.001, 1000),
        "twice": Price(200.0, 2.0, 0.003, 500),
        "same": Price(101.0, 1.0, 0.001, 1000),
        "longer": Price(100.0, 1.0, 0.001, 4000),
    }
    variants = [Variant(name, ("epochs=3", "+x") if name != "plain" else ()) for name in found]
    changed, done = equalised("compute", "plain", variants, found)
    words = {one.name: one.words for one in changed}
    assert words == {
        "plain": (),
        "half": ("+x", "steps=2000"),
        "twice": ("epochs=3", "+x"),
        "same": ("epochs=3", "+x"),
        "longer": ("+x", "steps=1000"),
    }
    assert (done["twice"]["steps"], done["twice"]["of"], done["twice"]["seconds"]) == (500, 500, 3.0)
    _, by_time = equalised("time", "plain", variants, found)
    assert by_time["twice"]["steps"] == 333
    uncounted = {name: Price(0.0, one.gradients, one.seconds, one.steps) for name, one in found.items()}
    assert equalised("compute", "plain", variants, uncounted)[1]["twice"]["steps"] == 500, "by gradients"
    with pytest.raises(UserError, match="'energy' is no way to make budgets equal"):
        equalised("energy", "plain", variants, found)


def test_a_sequence_of_tasks_is_not_cut_short() -> None:
    asked = [Variant("plain"), Variant("sam", ("+sam",)), Variant("ewc", ("+ewc",))]
    found = {one.name: price(resolve("digits/permuted", one.words)) for one in asked}
    assert equalised("compute", "plain", asked[::2], found)[0] == asked[::2], "as dear as the plain recipe: as it is"
    with pytest.raises(UserError, match="sequence of tasks, or no --equal"):
        equalised("compute", "plain", asked, found)


def test_a_comparison_at_equal_compute(tmp_path: Path) -> None:
    words = ("digits", "steps=60", "model.widths=[16]", "+sam", "+label_smoothing")
    found, folder = compare(*words, seeds=2, equal="compute", out=tmp_path, quiet=True)
    steps = {
        path.parents[1].name.split("-")[0]: json.loads(path.read_text())["cost"]["steps"]
        for path in folder.rglob("results.json")
    }
    assert steps == {"plain": 60, "sam": 30, "label_smoothing": 60}
    assert found.budgets["sam"]["steps"] == 30
    assert "steps" in columns(found)
    assert row(found.effects[0], found)[-2] == "30"
    said = budgets(found)
    assert "each variant gets as many steps as cost the operations of plain's training" in said[0]
    assert said[1].startswith("sam: a step costs 2.00x the operations, 2.00x the gradients, ")
    assert said[1].endswith("; 30 of 60 steps.")


def test_what_was_measured_once_is_kept_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Variant("plain"), Variant("sam", ("+sam",))]
    words = ["model.widths=[16]"]
    first = prices(tmp_path, "digits", words, asked)

    def never(recipe: object) -> Price:
        raise AssertionError("measured again")

    monkeypatch.setattr("locution.studies.equal.price", never)
    assert prices(tmp_path, "digits", words, asked) == first
    with pytest.raises(AssertionError, match="measured again"):
        prices(tmp_path, "digits", ["model.widths=[17]"], asked)
