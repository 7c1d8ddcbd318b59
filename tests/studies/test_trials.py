"""Trials one by one: handed out once, gone on with, told what they came to, and refused before they begin."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from locution import runs
from locution.engine.lock import InUse, locked
from locution.errors import LocutionError, UserError
from locution.recipe import resolve
from locution.studies import trials as told
from locution.studies import tune as tuning
from locution.studies.search import Sampler
from locution.studies.space import read_space
from locution.studies.trials import Asked, Pruned, Pruner, all_trials, carry_on, open_study, run_trial, take_trials
from locution.studies.tune import tune

WORDS = ("steps=4", "optimizer.lr=log:0.0001:0.001")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(folder: Path, *words: str, by: str = "mse", prune: bool = False) -> Asked:
    fixed, space = read_space(words or WORDS)
    return Asked("line", tuple(fixed), tuple(space), by, "random", 0, prune, folder)


def begun(one: Asked) -> tuple[Any, Any]:
    """A study and the trial that it asks for first."""
    study = open_study(one)
    return study, Sampler(one.sampler, one.seed).ask(study, one.space)


def test_an_interrupted_trial_is_handed_out_to_one_alone(tmp_path: Path) -> None:
    one = asked(tmp_path)
    study, first = begun(one)
    assert told._interrupted(one, study) is None, "it is being trained"
    carry_on(one)
    again = told._interrupted(one, study)
    assert (again.number, again.params) == (first.number, first.params)
    assert told._interrupted(one, study) is None, "somebody has it"


def test_a_trial_whose_training_had_begun_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    go, count = runs.go, 0

    def broken_off(*came: Any, **wishes: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return go(*came, **wishes)

    monkeypatch.setattr(runs, "go", broken_off)
    settings: dict[str, Any] = {"trials": 3, "by": "mse", "sampler": "random", "quiet": True}
    with pytest.raises(KeyboardInterrupt):
        tune("line", *WORDS, out="cut", **settings)
    assert Path("cut/runs/trial-0001/recipe.yaml").is_file()
    cut, whole = (tune("line", *WORDS, out=out, **settings)[0].trials for out in ("cut", "whole"))
    assert [one.state for one in cut] == ["done"] * 3
    assert [(one.words, one.value) for one in cut] == [(one.words, one.value) for one in whole]


def test_a_trial_that_was_ended_early_counts_as_what_it_came_to_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = asked(tmp_path)
    study, trial = begun(one)

    def train(*_: Any, **__: Any) -> None:
        for step, value in ((10, 5.0), (20, 3.0), (30, 4.0)):
            trial.report(value, step)
        raise Pruned

    monkeypatch.setattr(runs, "train", train)
    assert run_trial(one, study, trial) == ""
    (found,) = all_trials(one)
    assert (found.state, found.value, found.finished) == ("pruned", 4.0, True)


def test_what_became_of_a_trial_is_said_and_how_long_it_took(tmp_path: Path) -> None:
    fine, wild = asked(tmp_path / "fine"), asked(tmp_path / "wild", "steps=40", "optimizer.lr=log:1e6:1e8")
    for one, says in ((fine, ""), (wild, "trial 0 failed: the loss became ")):
        one.folder.mkdir()
        said = run_trial(one, *begun(one))
        assert said.startswith(says)
        assert bool(said) == bool(says)
        (found,) = all_trials(one)
        assert found.state == ("failed" if says else "done")
        assert found.seconds > 0
        assert said.endswith(found.why)


def test_what_mattered_is_weighed_of_the_trials_that_came_to_a_number(tmp_path: Path) -> None:
    from optuna.distributions import FloatDistribution
    from optuna.trial import create_trial

    one = asked(tmp_path, "optimizer.lr=lin:0:1", "optimizer.momentum=lin:0:1")
    study, range_ = open_study(one), FloatDistribution(0.0, 1.0)
    points = [(0.1, 0.9, 1.0), (0.5, 0.5, math.inf), (0.3, 0.2, 3.0), (0.9, 0.4, 9.0), (0.7, 0.1, 7.0)]
    for lr, momentum, value in points:
        assert dict(tuning._importance(one)) == {}, "of fewer than four numbers nothing is said"
        params = {"optimizer.lr": lr, "optimizer.momentum": momentum}
        study.add_trial(create_trial(params=params, distributions=dict.fromkeys(params, range_), value=value))
    assert dict(tuning._importance(one))["optimizer.lr"] > 0.5


def test_a_quiet_tuning_is_quiet_of_trials_that_fail_too(capfd: pytest.CaptureFixture[str]) -> None:
    for quiet, says in ((True, ""), (False, "trial 0 failed: the loss became")):
        with pytest.raises(LocutionError, match="no trial came to its end"):
            tune("line", "steps=40", "optimizer.lr=log:1e6:1e8", trials=1, by="mse", out=str(quiet), quiet=quiet)
        said = "".join(capfd.readouterr())
        assert says in said
        assert bool(said) == bool(says)


def test_a_figure_that_there_is_not_ends_the_trial_with_the_search(tmp_path: Path) -> None:
    one = asked(tmp_path, by="msee")
    with pytest.raises(UserError, match="'msee' is no figure of this recipe"):
        next(take_trials(one, 3))
    assert [trial.state for trial in all_trials(one)] == ["failed"]


@pytest.mark.parametrize("prune", [False, True])
def test_trials_are_watched_where_they_may_be_ended_early(
    prune: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, watched = runs.train, list[Any]()

    def noted(*words: str, watchers: Any, **wishes: Any) -> Any:
        watched.extend(watchers)
        return train(*words, watchers=watchers, **wishes)

    monkeypatch.setattr(runs, "train", noted)
    one = asked(tmp_path, prune=prune)
    study, trial = begun(one)
    run_trial(one, study, trial)
    assert [type(watcher) for watcher in watched] == [Pruner] * prune
    assert type(study.pruner).__name__ == ("MedianPruner" if prune else "NopPruner")


@pytest.mark.parametrize("words", ["lin:0.05:2", "lin:-1:0.5"])
def test_both_ends_of_a_range_are_tried_before_the_first_trial(words: str) -> None:
    with pytest.raises(UserError, match=r"label_smoothing\.amount is (2|-1)"):
        tune("digits", "+label_smoothing", f"methods.label_smoothing.amount={words}", trials=1, quiet=True)
    assert not list(Path().rglob("recipe.yaml"))


def test_whole_numbers_are_whole_and_the_best_recipe_has_no_folder_of_its_own() -> None:
    words = ["run_dir=mine", "steps=int:2:3", "log_every=int:1000000:2000000"]  # which 1e+06 would not be
    found, folder = tune("line", *words, by="mse", trials=1, sampler="random", quiet=True)
    assert found.best.words[0] in ("steps=2", "steps=3")
    assert 1_000_000 <= int(found.best.words[1].removeprefix("log_every=")) <= 2_000_000
    best = yaml.safe_load((folder / "best.yaml").read_text(encoding="utf-8"))
    assert best.get("run_dir") is None
    assert best["name"] == "line-tuned"
    assert resolve(str(folder / "best.yaml"), []).steps == best["steps"]


def test_a_folder_keeps_one_tuning_which_one_at_a_time_goes_on_with() -> None:
    def line(*words: str) -> Any:
        return tune("line", *words, by="mse", trials=1, sampler="random", out="one", quiet=True)

    line(*WORDS)
    with pytest.raises(UserError, match="one keeps the tuning of something else; allowed: another --out"):
        line("steps=5", WORDS[1])
    with locked(Path("one")), pytest.raises(InUse):
        line(*WORDS)
    assert len(json.loads(Path("one/tuning.json").read_text(encoding="utf-8"))["trials"]) == 1


@pytest.mark.parametrize("setting", ["trials", "workers"])
def test_nobody_and_nothing_cannot_tune(setting: str) -> None:
    with pytest.raises(UserError, match=f"{setting} is 0; allowed: a whole number from 1"):
        tune("line", *WORDS, by="mse", quiet=True, **{setting: 0})  # type: ignore[arg-type]
