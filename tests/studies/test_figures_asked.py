"""Which figures a comparison takes: several, of cost too; none that is no number, and no name that there is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from locution.cli import run as command
from locution.errors import LocutionError, UserError
from locution.recipe import resolve
from locution.studies.compare import Comparison, compare, conclude
from locution.studies.effects import effect
from locution.studies.outcomes import better, check_metrics, chosen, figures, possible
from locution.studies.page import again, write_page
from locution.studies.table import remarks


def results(value: float, name: str = "wer", seconds: float = 1.0) -> dict[str, object]:
    return {"metrics": {name: {"value": value}}, "better": {name: "lower"}, "cost": {"seconds": seconds, "steps": 7}}


def test_a_run_that_ends_in_no_number_has_failed() -> None:
    plain = {seed: results(0.2 + seed / 100) for seed in range(3)}
    odd = {0: results(0.1), 1: results(math.nan), 2: {"metrics": {}}}
    found = conclude("r", [], "plain", ["plain", "odd"], {"plain": plain, "odd": odd}, ["wer"], {}, range(3))
    (one,) = found.effects
    assert one.differences == pytest.approx((-0.1,))
    assert (one.seeds, one.failed, one.better) == ((0,), 2, "lower")
    assert found.failures == {"odd, seed 1": "its wer is nan", "odd, seed 2": "its wer is not measured"}
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["effects"][0]["memory"] is None
    lost = conclude("r", [], "plain", ["plain", "odd"], {"plain": odd, "odd": plain}, ["wer"], {}, range(3))
    assert lost.effects[0].failed == 2, "a pair without its plain run is lost too"


def test_several_figures_are_several_questions(tmp_path: Path) -> None:
    words = ("line", "steps=20", "slow: optimizer.lr=1e-5", "same: log_every=7")
    found, folder = compare(*words, seeds=7, metric="mse, mae,seconds", out=tmp_path, quiet=True)
    listed = [(one.metric, one.name) for one in found.effects]
    assert listed == [(metric, name) for metric in ("mse", "mae", "seconds") for name in ("slow", "same")]
    slow = found.effects[0]
    assert (slow.p, slow.adjusted) == (2 / 2**7, 6 * 2 / 2**7)
    assert found.metrics == ["mse", "mae", "seconds"]
    page = write_page(folder, found).read_text(encoding="utf-8")
    assert page.count("<h2>") == 3 + 1
    assert "corrected for all 6 questions" in remarks(found)[1]
    assert "locution compare line" in page
    assert again(found).endswith("--metric mse,mae,seconds --seeds 7")


def test_names_are_checked_before_training_where_they_are_known(tmp_path: Path) -> None:
    allowed = possible(resolve("digits"))
    assert allowed is not None
    assert chosen("accuracy_source", allowed) == ["accuracy_source"], "the data may name more held-out examples"
    for name, said in (("acuracy", "Did you mean 'accuracy'"), ("sharpness", r"allowed: figures=\[sharpness\] too")):
        with pytest.raises(UserError, match=said):
            compare("digits", "+sam", seeds=2, metric=name, out=tmp_path, quiet=True)
        assert not list(tmp_path.iterdir()), "nothing was trained"
    assert chosen("sharpness", possible(resolve("digits", ["figures=[sharpness]"]))) == ["sharpness"]
    assert chosen("anything", None) == ["anything"]
    with pytest.raises(UserError, match="Did you mean 'wer'"):
        check_metrics(["wr"], {"plain": {0: results(0.1)}})


def test_a_name_that_no_run_has_stops_the_study_after_the_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'accuracy' is no figure of this recipe"):
        compare("line", "steps=2", "slow: optimizer.lr=0.01", seeds=4, metric="accuracy", out=tmp_path, quiet=True)
    assert len(list(tmp_path.rglob("results.json"))) == 1


def test_the_better_side_is_the_runs_own_or_that_of_a_cost() -> None:
    assert [better(results(0.1), name) for name in ("wer", "seconds", "rate", "steps")] == [
        "lower",
        "lower",
        "higher",
        "",
    ]


def test_what_rounding_leaves_is_no_change() -> None:
    base = figures("plain", "wer", {seed: results(0.0) for seed in range(3)}, {})
    moved = figures("odd", "wer", {seed: results(value) for seed, value in enumerate((0.1, 0.2, -0.3))}, {})
    one = effect("odd", base, moved, "wer")
    assert sum(one.differences) != 0.0
    assert one.mean == 0.0
    small = figures("odd", "wer", {seed: results(value) for seed, value in enumerate((1e-12, 1e-12, -1e-13))}, {})
    assert effect("odd", base, small, "wer").mean > 0.0


def test_the_plain_recipe_fails_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(LocutionError, match=r"no run of 'plain' came to its end \(the loss became"):
        compare("line", "steps=50", "optimizer.lr=1e9", "b: log_every=3", seeds=2, out=tmp_path, quiet=True)


def test_first_names_the_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "line", "steps=3", "slow: optimizer.lr=0.001", "--seeds", "2", "--first", "100"]
    assert command([*words, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["effects"][0]["seeds"] == [100, 101]
    assert {path.parent.name for path in tmp_path.rglob("results.json")} == {"seed-100", "seed-101"}
    assert command([*words, "--out", str(tmp_path), "--metric", "mse,mae"]) == 0
    said = capsys.readouterr().out
    assert "2 seeds (100 to 101)" in said
    assert said.count("baseline") == 2


def test_a_page_shows_what_failed_and_obeys_nothing(tmp_path: Path) -> None:
    one = effect(
        "<b>x</b>", *(figures("a", "wer", {0: results(v)}, {}) for v in (0.2, 0.1)), metric="wer", better="lower"
    )
    found = Comparison("r", [], "wer", "lower", 1, "plain", [one], metrics=["wer"])
    found.failures = {f"<i>, seed {seed}": "<script>" for seed in range(30)}
    page = write_page(tmp_path, found).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>x</b>" not in page
    assert "18 more, see comparison.json" in page
