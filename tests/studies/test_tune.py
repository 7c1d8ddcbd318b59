"""Tuning: trials that go on where they were left, diverge without harm, end early, and leave a recipe behind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import locution
from locution import runs
from locution.cli import run as command
from locution.engine import Record
from locution.engine.checkpoint import read_checkpoint
from locution.errors import LocutionError, UserError
from locution.studies.space import Dimension
from locution.studies.trials import Pruned, Pruner, Trial
from locution.studies.tune import Tuning, tune, work
from locution.studies.tuning_page import write_page

LINE = ["line", "steps=20", "optimizer.lr=log:0.0001:0.1"]
DIGITS = ["digits", "epochs=2", "data.limit=64", "model.widths=[8]", "optimizer.lr=log:0.001:0.1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def line(trials: int, **wishes: Any) -> Tuning:
    wishes = {"by": "mse", "sampler": "tpe", "quiet": True, **wishes}
    return tune(*LINE, trials=trials, **wishes)[0]


def figures(found: Tuning) -> list[tuple[tuple[str, ...], float, str]]:
    return [(one.words, one.value, one.state) for one in found.trials]


def test_asked_again_with_more_trials_it_goes_on_as_if_it_had_never_stopped() -> None:
    first = line(9, out="a")
    assert figures(line(14, out="a")) == figures(line(14, out="b"))
    assert figures(first) == figures(line(14, out="a"))[:9]
    assert len(line(3, out="a").trials) == 14  # what is done stays


def test_a_trial_that_was_interrupted_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = line(5, out="whole")
    true_train, count = runs.train, 0

    def train(*words: str, **wishes: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return true_train(*words, **wishes)

    monkeypatch.setattr(runs, "train", train)
    with pytest.raises(KeyboardInterrupt):
        line(5, out="cut")
    again = line(5, out="cut")
    assert figures(again) == figures(whole)
    assert all(one.state == "done" for one in again.trials)


def test_a_trial_that_diverges_is_a_bad_place_and_not_the_end() -> None:
    found = tune("line", "steps=40", "optimizer.lr=log:0.01:1e6", trials=8, by="mse", sampler="tpe", quiet=True)[0]
    failed = [one for one in found.trials if one.state == "failed"]
    assert failed
    assert all("the loss became" in one.why and math.isinf(one.value) for one in failed)
    assert math.isfinite(found.best.value)
    assert len(found.trials) == 8


def test_where_all_trials_fail_the_reason_is_said() -> None:
    with pytest.raises(LocutionError, match="no trial came to its end: the loss became"):
        tune("line", "steps=40", "optimizer.lr=log:1e6:1e8", trials=2, by="mse", quiet=True)


def test_the_best_recipe_trains_to_the_best_trials_figure() -> None:
    found, folder = tune(*DIGITS, trials=3, sampler="random", quiet=True)
    assert found.by == "development_loss"
    values = [one.value for one in found.trials if one.state == "done"]
    assert found.best.value == min(values)
    best = locution.train(str(folder / "best.yaml"), quiet=True)
    last = [json.loads(one) for one in (best.folder / "metrics.jsonl").read_text().splitlines()]
    assert [one["development_loss"] for one in last if "development_loss" in one][-1] == found.best.value
    assert yaml.safe_load((folder / "best.yaml").read_text())["optimizer"]["lr"] == float(
        found.best.words[0].partition("=")[2]
    )
    assert best.recipe.name == "digits-tuned"


def test_a_figure_of_the_test_set_may_be_asked_for_and_is_remarked_upon() -> None:
    found = tune(*DIGITS, trials=2, by="accuracy", sampler="random", quiet=True)[0]
    assert found.better == "higher"
    assert found.best.value == max(one.value for one in found.trials)
    assert 0 < found.best.value <= 1
    assert any("test set" in one for one in found.remarks)


def test_what_cannot_be_is_refused_before_the_first_trial_or_behind_it() -> None:
    with pytest.raises(UserError, match=r"'optimizer.lrr' is no key. Did you mean 'optimizer.lr'"):
        tune("line", "optimizer.lrr=log:0.1:1", quiet=True)
    with pytest.raises(UserError, match="'samm' is no method"):
        tune("line", "+samm?", quiet=True)
    assert not list(Path("runs").glob("tune/*/runs/*"))
    with pytest.raises(UserError, match="holds out no development set to tune by; allowed: --by with one of mse"):
        tune(*LINE, trials=2, quiet=True)
    with pytest.raises(UserError, match=r"'msee' is no figure of this recipe. Did you mean 'mse'"):
        tune(*LINE, trials=2, by="msee", quiet=True)
    line(2, out="one")
    with pytest.raises(UserError, match="one keeps the tuning of something else"):
        tune("line", "optimizer.lr=log:0.1:1", by="mse", out="one", quiet=True)


def test_two_workers_share_the_trials() -> None:
    found = line(5, workers=2)
    assert [one.number for one in found.trials] == list(range(5))
    assert all(one.state == "done" for one in found.trials)
    assert len({one.words for one in found.trials}) == 5


class Asked:
    """Stands for optuna's trial: says to end from a step on."""

    def __init__(self, bad_from: int) -> None:
        self.bad_from, self.said = bad_from, []

    def report(self, value: float, step: int) -> None:
        self.said.append((value, step))

    def should_prune(self) -> bool:
        return self.said[-1][1] >= self.bad_from


def record(step: int, **values: float) -> Record:
    return Record("epoch", step, 0, 1.0, 0.1, 0, 0.0, values)


def test_a_pruner_reports_each_measurement_once_and_ends_the_trial_when_told() -> None:
    trial = Asked(bad_from=30)
    pruner = Pruner(trial, "development_loss")
    for step in (10, 10, 20):
        pruner.watch(record(step, development_loss=1 / step))
    pruner.watch(record(25, other=1.0))
    assert trial.said == [(0.1, 10), (0.05, 20)]
    with pytest.raises(Pruned):
        pruner.watch(record(30, development_loss=9.0))


def test_hopeless_trials_are_ended_early() -> None:
    words = ["digits", "epochs=4", "data.limit=64", "model.widths=[8]"]
    found = tune(*words, "optimizer.lr=log:1e-7:0.03", trials=12, sampler="random", quiet=True)[0]
    pruned = [one for one in found.trials if one.state == "pruned"]
    assert pruned
    assert found.best.state == "done"
    assert all(one.value > found.best.value for one in pruned)
    kept = tune(*words, "optimizer.lr=log:1e-7:0.03", trials=7, sampler="random", prune=False, quiet=True)[0]
    assert all(one.state == "done" for one in kept.trials)


def test_what_mattered_is_found() -> None:
    found = tune(
        "line", "steps=20", "optimizer.lr=log:0.0001:0.1", "log_every=50,100", trials=16, by="mse", sampler="random",
        quiet=True,
    )[0]  # fmt: skip
    assert found.importance["optimizer.lr"] > 0.9
    assert sum(found.importance.values()) == pytest.approx(1.0)


def made(values: list[float]) -> Tuning:
    space = [Dimension("optimizer.lr", "log", 1e-3, 1.0), Dimension("sam", "switch")]
    trials = [
        Trial(n, (f"optimizer.lr={10 ** -(1 + n % 3)}", *(["+sam"] if n % 2 else [])), value, "done")
        for n, value in enumerate(values)
    ]
    importance = {"optimizer.lr": 0.8, "sam": 0.2}
    return Tuning("<b>digits</b>", [], space, "development_loss", "lower", "gp", trials, importance)


def test_the_page_shows_all_trials_and_runs_nothing(tmp_path: Path) -> None:
    page = write_page(tmp_path, made([0.5, 0.4, 0.6, math.inf, 0.3, 0.2, 0.45])).read_text()
    assert page.count("<svg") == 3
    assert page.count("<circle") == 7 + 6
    assert "<b>digits</b>" not in page
    assert "&lt;b&gt;digits&lt;/b&gt;" in page
    assert "<script" not in page


def test_the_command_prints_the_best_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", *LINE, "--trials", "2", "--by", "mse", "--sampler", "random"]
    assert command(words) == 0
    said = capsys.readouterr().out
    folder = next(Path("runs/tune").iterdir())
    assert f"train it: locution train {folder}/best.yaml" in said
    assert 'locution compare line steps=20 "tuned: optimizer.lr=' in said
    assert command([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 2
    assert command(["tune", "line", "steps=3"]) == 2
    assert capsys.readouterr().err.startswith("locution: nothing varies; allowed:")


@pytest.mark.parametrize("sampler", ["gp", "tpe", "random"])
def test_each_of_few_settings_is_tried_once(sampler: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["steps=10", "optimizer.lr=0.01,0.1", "+clipping?"]
    found = tune("line", *words, trials=9, by="mse", sampler=sampler, quiet=True)[0]
    assert len({one.words for one in found.trials}) == len(found.trials) == 4
    assert found.remarks[-1] == "There are no more than these 4 settings: each was tried once."
    assert capfd.readouterr() == ("", "")
    again = tune("line", *words, trials=9, by="mse", sampler=sampler, quiet=True)[0]
    assert figures(again) == figures(found)


def test_what_a_trial_warns_of_stays_in_its_run(capfd: pytest.CaptureFixture[str]) -> None:
    found, folder = tune("line", "steps=5", "optimizer.lr=lin:5:9", trials=1, by="mse", quiet=True)
    kept = json.loads((folder / "runs" / "trial-0000" / "results.json").read_text())["warnings"]
    assert [one.state for one in found.trials] == ["done"]
    assert "explodes" in kept[0]
    assert capfd.readouterr() == ("", "")


LONG = ["line", "steps=1000000000", "log_every=777", "optimizer.lr=log:0.0001:0.1"]


def until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


@pytest.mark.long
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_with_workers_none_stays_behind_and_the_trials_go_on(way: signal.Signals, tmp_path: Path) -> None:
    words = [
        "tune",
        *LONG,
        "--by",
        "mse",
        "--sampler",
        "tpe",
        "--trials",
        "3",
        "--workers",
        "2",
        "--out",
        str(tmp_path),
    ]
    study = subprocess.Popen(
        [sys.executable, "-m", "locution.cli", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever began the tests may ignore it
    )
    assert until(lambda: len(list(tmp_path.rglob("metrics.jsonl"))) == 2), "two trials train"
    busy = {int(lock.read_text()) for lock in tmp_path.glob("runs/*/.lock") if lock.read_text().strip()}
    assert len(busy) == 2
    os.kill(study.pid, way)
    _, said = study.communicate(timeout=90)
    assert until(lambda: not any(Path(f"/proc/{number}").exists() for number in busy)), "none is left behind"
    if way != signal.SIGKILL:
        assert study.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[way]
        assert "0 of 3 trials are done; the same words go on from here" in said
    begun = sorted(tmp_path.glob("runs/*"))
    assert len(begun) == 2
    steps = {}
    for folder in begun:  # the rest of so long a training is left out
        state = read_checkpoint(folder / "checkpoints")
        assert state is not None, "each trial wrote a checkpoint first"
        steps[folder.name] = state["position"]["step"] + 1
        recipe = folder / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace("steps: 1000000000", f"steps: {steps[folder.name]}"))
    found = tune(*LONG, trials=2, by="mse", sampler="tpe", workers=2, out=tmp_path, quiet=True)[0]
    assert [(one.number, one.state) for one in found.trials] == [(0, "done"), (1, "done")]
    for name, count in steps.items():
        results = json.loads((tmp_path / "runs" / name / "results.json").read_text())
        assert results["cost"]["steps"] == count, "gone on with, not begun again"


def test_what_is_refused_in_a_process_ends_all_in_one_line() -> None:
    with pytest.raises(UserError, match="holds out no development set to tune by; allowed: --by with one of mse"):
        tune(*LINE, trials=4, sampler="random", workers=2, quiet=True)


def test_a_worker_that_is_lost_is_named_and_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(jobs: list[Any], workers: int, *_: Any) -> Iterator[tuple[Any, int, str]]:
        assert len(jobs) == workers == 2
        yield jobs[0], 1, "its process was ended by SIGKILL"
        yield (jobs[1], *work((jobs[1][0], 2)))

    monkeypatch.setattr("locution.studies.tune.in_processes", lost)
    with pytest.raises(LocutionError, match="ended by SIGKILL; 2 of 3 trials are done, the same words go on"):
        line(3, workers=2)
