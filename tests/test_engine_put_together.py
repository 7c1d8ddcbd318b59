"""What a recipe asks of its engine arrives there, who watches it, and what is read back of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from locution.beginning import build_engine, build_task, read_recipe
from locution.engine import Engine, Observer
from locution.engine.checkpoint import Checkpoints
from locution.engine.run_folder import RunFolder
from locution.errors import LocutionError, UserError
from locution.recipe import resolve
from locution.reporting.progress import Progress
from locution.reporting.trackers import JSONLines
from locution.runs import prepare


def put_together(where: Path, *words: str, quiet: bool = True, **wishes: Any) -> Engine:
    recipe = resolve("line", words)
    job = replace(prepare(recipe, build_task(recipe), quiet=True), **wishes)
    return build_engine(
        recipe, job, RunFolder.create("line", where, "name: line"), lambda _: nn.Identity(), quiet=quiet
    )


def test_the_engine_is_as_the_recipe_says(tmp_path: Path) -> None:
    words = ["seed=7", "accumulate=3", "precision=bf16", "device=cpu", "log_every=4", "measure_every=5", "+clipping"]
    engine = put_together(tmp_path / "run", *words, "checkpoint_every=11")
    assert (engine.seed, engine.accumulate, engine.precision, engine.compile) == (7, 3, "bf16", False)
    assert engine.device == torch.device("cpu")
    assert (engine.watch.every, engine.watch.measure_every) == (4, 5)
    assert [method.name for method in engine.methods] == ["clipping"]
    last = engine.observers[-1]
    assert isinstance(last, Checkpoints), "what others hold belongs in a checkpoint"
    assert last.every_seconds == 11


class Watching(Observer):
    """Does nothing; stands for a tracker too."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("speaks", [False, True])
def test_the_tasks_own_observers_the_trackers_and_a_bar_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool, speaks: bool
) -> None:
    asked = []

    def part(kind: str, name: str) -> type:
        asked.append((kind, name))
        return Watching

    recipe = replace(resolve("line", []), trackers=("tensorboard",))
    job = replace(prepare(recipe, build_task(recipe), quiet=True), observers=[Watching()], speaks=speaks)
    folder = RunFolder.create("line", tmp_path / "run", "name: line")
    monkeypatch.setattr("locution.beginning.part", part)
    observers = build_engine(recipe, job, folder, lambda _: nn.Identity(), quiet=quiet).observers
    kinds = [Watching, JSONLines, Watching, *([] if quiet or speaks else [Progress]), Checkpoints]
    assert [type(one) for one in observers] == kinds
    assert observers[0] is job.observers[0]
    assert asked == [("tracker", "tensorboard")]
    assert [one.folder for one in observers if isinstance(one, Watching)] == [None, folder.path]


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("name: [", LocutionError, r"recipe\.yaml is damaged: "),
        ("- line", LocutionError, r"recipe\.yaml is damaged: it holds no settings"),
        ("name: line\nmodel: {_target_: os.system}", UserError, r"model\._target_ asks for code by its import path"),
    ],
)
def test_a_recipe_that_cannot_be_read_back_is_one_line(
    tmp_path: Path, text: str, kind: type[LocutionError], says: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(kind, match=says) as refused:
        read_recipe(tmp_path)
    assert "\n" not in str(refused.value)
