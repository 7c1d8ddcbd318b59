"""Runs on other machines: what is sent is a whole recipe, what comes back is a whole run, or a reason."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from locution.cli import run as command
from locution.errors import UserError
from locution.studies.compare import compare
from locution.studies.remote import pack, train_elsewhere, unpack


class RayError(Exception):
    """What Ray raises where a machine is lost."""


def ray_like(monkeypatch: pytest.MonkeyPatch, lose: int = -1) -> list[Any]:
    """Stand in for Ray: tasks are done when they are waited for, the last first; one of them may be lost."""
    log: list[Any] = []
    module = ModuleType("ray")

    def remote(**needs: Any) -> Callable[[Any], Any]:
        log.append(needs)
        return lambda function: SimpleNamespace(remote=lambda *sent: SentTask(function, sent))

    class SentTask:
        def __init__(self, function: Any, sent: tuple[str, ...]) -> None:
            self.function, self.sent, self.number = function, sent, len(log)
            assert all(isinstance(one, str) for one in sent), "text travels, and nothing else"

    def get(task: SentTask) -> Any:
        if task.number == lose:
            raise RayError("the node died\nand more")
        return task.function(*task.sent)

    module.__dict__.update(
        exceptions=SimpleNamespace(RayError=RayError),
        is_initialized=lambda: False,
        init=lambda **_: log.append("init"),
        shutdown=lambda: log.append("shutdown"),
        cancel=lambda task, force: log.append("cancel"),
        wait=lambda tasks, num_returns: (tasks[-1:], tasks[:-1]),
        remote=remote,
        get=get,
    )
    monkeypatch.setitem(sys.modules, "ray", module)
    return log


def test_other_machines_give_what_this_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("line", "steps=20", "slow: optimizer.lr=0.001")
    log = ray_like(monkeypatch)
    there, folder = compare(*words, seeds=2, on="ray", out=tmp_path / "there", quiet=True)
    here, _ = compare(*words, seeds=2, out=tmp_path / "here", quiet=True)
    assert [one.differences for one in there.effects] == [one.differences for one in here.effects]
    assert log == ["init", *[{"max_calls": 1, "num_cpus": 1, "num_gpus": 0}] * 4, "shutdown"]
    run = folder / "runs" / sorted(os.listdir(folder / "runs"))[0] / "seed-1"
    assert {"results.json", "report.html", "model.safetensors", "metrics.jsonl"} <= set(os.listdir(run))
    assert f"run_dir: {run}" in (run / "recipe.yaml").read_text()
    assert command(["evaluate", str(run), "--json"]) == 0, "the run is whole"
    again, _ = compare(*words, seeds=2, out=tmp_path / "there", quiet=True)
    assert again.effects[0].memory == there.effects[0].memory, "each had a process of its own"


def test_a_machine_that_is_lost_is_a_run_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray_like(monkeypatch, lose=3)
    words = ("line", "steps=5", "lost: log_every=2", "slow: optimizer.lr=0.001")
    found, _ = compare(*words, seeds=2, on="ray", out=tmp_path, quiet=True)
    assert found.failures["lost, seed 0"] == "its machine or its process was lost: the node died"
    assert list(found.failures) == ["lost, seed 0"]
    (slow,) = [one for one in found.effects if one.name == "slow"]
    assert slow.failed == 0


def test_a_study_that_is_refused_cancels_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ray_like(monkeypatch)
    with pytest.raises(UserError, match="odd: 'nowhere'"):
        compare("line", "steps=2", "odd: start=nowhere", seeds=2, on="ray", out=tmp_path, quiet=True)
    assert log[-4:] == ["cancel", "cancel", "cancel", "shutdown"]


def test_without_ray_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"allowed: pip install 'locution\[ray\]', or --workers N"):
        compare("line", "steps=2", "+sam", seeds=2, on="ray", out=tmp_path, quiet=True)
    with pytest.raises(UserError, match="on is 'mars'; allowed: ray"):
        compare("line", "steps=2", "+sam", seeds=2, on="mars", out=tmp_path, quiet=True)


def test_a_run_that_fails_there_says_why_here() -> None:
    settings = json.dumps({"task": "regression", "data": {"name": "line"}, "optimizer": {"name": "sgd", "lr": 1e9}})
    recipe = json.loads(settings) | {"model": {"name": "linear"}, "objective": {"name": "mse"}, "steps": 300}
    code, why, data = train_elsewhere(json.dumps(recipe))  # JSON is YAML too
    assert (code, data) == (1, b"")
    assert "the loss became" in why


def test_what_comes_back_is_unpacked_whole_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "results.json").write_text("{}")
    (tmp_path / "run" / "checkpoints" / "heavy").write_text("x")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "begun").write_text("before")
    unpack(pack(tmp_path / "run"), tmp_path / "there")
    assert sorted(path.name for path in (tmp_path / "there").rglob("*")) == ["results.json"]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        entry = tarfile.TarInfo("../outside")
        archive.addfile(entry, io.BytesIO())
    with pytest.raises(tarfile.FilterError):
        unpack(made.getvalue(), tmp_path / "there")
    assert not (tmp_path / "outside").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "there"], "nothing half is left"
    assert (tmp_path / "there" / "results.json").is_file()
