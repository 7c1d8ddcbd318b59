"""A rehearsal says what only the data refuse before anything is trained, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import locution
from locution import runs
from locution.cli import run as command
from locution.errors import UserError
from locution.recipe import resolve
from locution.studies.compare import compare
from locution.studies.rehearsal import check_each, refusal, rehearse
from locution.studies.tune import tune

ONE_DOMAIN = "'coral' came upon data of one domain; allowed: with another beside, as rotated_digits."
SMALL = ("digits", "epochs=1", "data.limit=64", "model.widths=[8]")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("something was trained")


def test_a_plan_says_what_train_would_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["plan", "digits", "+coral"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"refused {ONE_DOMAIN}" in said
    assert command(["plan", "digits", "+coral", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == ONE_DOMAIN
    assert command(["plan", "digits"]) == 0
    assert "refused" not in capsys.readouterr().out
    with pytest.raises(UserError) as refused:
        locution.train(*SMALL, "+coral", quiet=True)
    assert str(refused.value) == ONE_DOMAIN
    assert not Path("runs/kept").exists()


def test_variants_are_checked_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "train", forbidden)
    with pytest.raises(UserError, match="coral: 'coral' came upon data of one domain"):
        compare(*SMALL, "+label_smoothing", "+coral", seeds=2, quiet=True)
    with pytest.raises(UserError, match="wrong: targets have shape"):
        compare(*SMALL, "wrong: objective.name=mse", seeds=2, quiet=True)
    assert not list(Path().rglob("results.json"))


def test_what_is_begun_is_not_checked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("line", "steps=3", "slow: optimizer.lr=0.001")
    compare(*words, seeds=2, out=tmp_path, quiet=True)
    asked: list[str] = []
    monkeypatch.setattr("locution.studies.compare.check_each", lambda some: asked.extend(name for name, _ in some))
    compare(*words, "slower: optimizer.lr=0.0001", seeds=3, out=tmp_path, quiet=True)
    assert asked == ["slower"]


def test_what_fails_by_chance_is_left_to_its_run() -> None:
    check_each([("wild", resolve("line", ["optimizer.lr=1e30", "steps=50"]))])


def test_no_teacher_is_trained_to_see_whether_it_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "train", forbidden)
    taught = [*SMALL[1:], "+distillation", "+distillation.teacher=digits model.widths=[16]"]
    assert refusal(resolve("digits", taught)) == ""
    assert refusal(resolve("digits", [*taught, "+coral"])) == ONE_DOMAIN
    assert refusal(resolve("digits", [*SMALL[1:], "start=digits model.widths=[8]"])) == ""
    assert "where training starts from" in refusal(resolve("digits", [*SMALL[1:], "start=digits model.widths=[9]"]))
    assert not Path("runs").exists()


def test_a_rehearsal_changes_nothing_that_is_trained_afterwards() -> None:
    before = locution.train(*SMALL, "run_dir=before", quiet=True)
    rehearse(resolve(*SMALL[:1], SMALL[1:]), watched=True).judge()
    after = locution.train(*SMALL, "run_dir=after", quiet=True)
    kept = [(run.folder / "model.safetensors").read_bytes() for run in (before, after)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("words", "by", "said"),
    [
        ((*SMALL, "optimizer.lr=log:0.001:0.1"), "accurracy", r"Did you mean 'accuracy'\? Allowed: .*development_loss"),
        (("digits/neighbours", "estimator.neighbours=1,5"), "acuracy", r"Did you mean 'accuracy'"),
        (("line", "optimizer.lr=log:0.001:0.1"), "", "no development set to tune by; allowed: --by with one of mse"),
        (("digits", "+coral", "optimizer.lr=log:0.001:0.1"), "accuracy", "data of one domain"),
    ],
)
def test_a_tuning_is_refused_before_its_first_trial(
    words: tuple[str, ...], by: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "train", forbidden)
    with pytest.raises(UserError, match=said):
        tune(*words, by=by, trials=2, quiet=True)


def test_a_value_that_cannot_be_alone_does_not_refuse_a_tuning() -> None:
    found, _ = tune(*SMALL, "data.per_class=500,2", "data.limit=0", trials=2, by="accuracy", quiet=True)
    assert sorted(one.state for one in found.trials) == ["done", "failed"]
