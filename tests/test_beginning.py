"""A run that begins from another one's weights, and models that are trained once for whoever asks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import locution
from locution import conclusion, runs
from locution.beginning import Opener
from locution.config import to_yaml
from locution.engine import Engine
from locution.engine.lock import InUse
from locution.errors import UserError
from locution.recipe import resolve
from locution.runs import KEPT, Run, kept_model
from locution.tasks.task import Job

SMALL = ["model.widths=[8,8]", "data.limit=64", "epochs=1"]
BEFORE = "digits model.widths=[8,8] data.limit=64 epochs=1"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def kept() -> list[Path]:
    return sorted(path for path in KEPT.glob("*") if path.is_dir())


def test_training_begins_from_the_weights_of_the_run_that_is_named() -> None:
    first = locution.train("digits", *SMALL, quiet=True)
    before = load_file(first.folder / "model.safetensors")
    still = locution.train("digits", *SMALL, "optimizer.lr=1e-12", f"start={first.folder}", quiet=True)
    after = load_file(still.folder / "model.safetensors")
    assert all(torch.allclose(before[name], after[name], atol=1e-7) for name in before)
    fresh = locution.train(
        "digits", *SMALL, "optimizer.lr=1e-12", f"start={first.folder}", "fresh=layers.6", quiet=True
    )
    other = load_file(fresh.folder / "model.safetensors")
    assert torch.allclose(before["layers.0.weight"], other["layers.0.weight"], atol=1e-7)
    assert not torch.allclose(before["layers.6.weight"], other["layers.6.weight"], atol=1e-3)


def test_a_recipe_that_is_named_is_trained_once_with_the_runs_own_seed(capsys: pytest.CaptureFixture[str]) -> None:
    locution.train("digits", *SMALL, f"start={BEFORE}", "seed=3")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"first: {BEFORE}, trained once and kept in {kept()[0]}"
    assert sum(line.startswith("run: ") for line in said) == 1
    weights = kept()[0] / "model.safetensors"
    written = weights.stat().st_mtime_ns
    locution.train("digits", *SMALL, f"start={BEFORE}", "seed=3")
    assert "first:" not in capsys.readouterr().out
    assert weights.stat().st_mtime_ns == written
    assert [path.name.rpartition("-")[2] for path in kept()] == ["3"]
    locution.train("digits", *SMALL, f"start={BEFORE} seed=9", "seed=3", quiet=True)
    assert [path.name.rpartition("-")[2] for path in kept()] == ["3", "9"]


def test_what_was_trained_for_another_is_the_run_it_would_be_alone() -> None:
    torch.set_num_threads(1)
    model = kept_model(BEFORE, seed=0, quiet=True)
    assert not model.training
    alone = locution.train("digits", *SMALL, quiet=True)
    own = load_file(alone.folder / "model.safetensors")
    assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())


def test_one_that_was_interrupted_is_gone_on_with() -> None:
    kept_model(BEFORE, seed=0, quiet=True)
    whole = load_file(kept()[0] / "model.safetensors")
    for name in ("results.json", "model.safetensors"):
        (kept()[0] / name).unlink()
    model = kept_model(BEFORE, seed=0, quiet=True)
    assert all(torch.equal(whole[name], tensor) for name, tensor in model.state_dict().items())


def test_two_processes_that_want_the_same_train_it_once() -> None:
    code = "from locution.runs import kept_model; kept_model({!r}, seed=0, quiet=True)".format(
        "digits model.widths=[8] data.limit=64 epochs=20"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(one.communicate(timeout=120)[1], one.returncode) for one in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert len(kept()) == 1


def test_a_run_with_frozen_layers_answers_alone_from_its_folder() -> None:
    """What training began from and left alone is kept beside what it moved: the other run is not needed any more."""
    words = [*SMALL, f"start={BEFORE}", "fresh=layers.6", "+freeze.layers=layers.0"]
    run = locution.train("digits", *words, quiet=True)
    moved, left = (load_file(run.folder / name) for name in ("model.safetensors", "frozen.safetensors"))
    assert set(left) == {"layers.0.weight", "layers.0.bias"}
    assert not set(left) & set(moved)
    start = kept_model(BEFORE, seed=0, quiet=True).state_dict()
    assert all(torch.equal(left[name], start[name]) for name in left)
    shutil.rmtree(KEPT)
    again = locution.Run.open(run.folder)
    assert again.evaluate().metrics[0].value == again.results["metrics"]["accuracy"]["value"]
    job = again.job()
    model = again.load(job)
    said = again.predict(["test:0", "test:1"])
    answers = model(job.data.test.inputs[:2]).argmax(1).tolist()
    assert [int(line.split()[0]) for line in said] == answers
    assert not KEPT.exists()


def test_faults_are_one_line() -> None:
    Path("own.yaml").write_text(
        "task: classification\ndata: {name: digits}\nmodel: {name: mlp}\nobjective: {name: cross_entropy}\n"
        "optimizer: {name: adamw}\nepochs: 1\nstart: own.yaml\n"
    )
    with pytest.raises(UserError, match=r"'own.yaml' starts from itself; allowed: "):
        locution.train("own.yaml", quiet=True)
    assert not list(Path("runs").glob("own*/*/recipe.yaml"))
    with pytest.raises(UserError, match=r"layers.0.weight is \(8, 64\) where training starts from and \(16, 64\) here"):
        locution.train("digits", "model.widths=[16,8]", f"start={BEFORE}", quiet=True)
    with pytest.raises(UserError, match=r"'layer.0' is no layer that could begin anew"):
        locution.train("digits", *SMALL, f"start={BEFORE}", "fresh=layer.0", quiet=True)
    with pytest.raises(UserError, match=r"'digitz' is no recipe. Did you mean 'digits'"):
        locution.train("digits", "start=digitz", quiet=True)


def test_a_digest_names_what_is_trained_and_nothing_else() -> None:
    plain = resolve("digits").digest()
    assert plain == resolve("digits", ["seed=4", "run_dir=x", "trackers=[tensorboard]"]).digest()
    assert plain != resolve("digits", ["optimizer.lr=0.1"]).digest()
    assert plain != resolve("digits", ["+sam"]).digest()


def test_weights_of_another_kind_are_refused_whole() -> None:
    first = locution.train("digits", *SMALL, quiet=True)
    path = first.folder / "model.safetensors"
    damaged = {name: tensor for name, tensor in load_file(path).items() if name != "layers.0.bias"}
    save_file(damaged, path)
    with pytest.raises(locution.errors.LocutionError, match=r"layers.0.bias on one side only"):
        locution.train("digits", *SMALL, f"start={first.folder}", quiet=True)


def test_the_time_that_others_models_take_is_not_the_runs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 17.0, 20.0, 21.0])
    monkeypatch.setattr("locution.beginning.time.perf_counter", lambda: next(now))
    opener = Opener({"a": torch.nn.Identity()}.__getitem__)
    opener("a")
    with pytest.raises(KeyError):
        opener("b")
    assert opener.seconds == 8.0


def test_a_run_counts_the_seconds_of_its_own_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    true_judge = conclusion.judge

    def judge(run: Run, job: Job, engine: Engine, seconds: float, *, quiet: bool) -> None:
        told.append(seconds)
        true_judge(run, job, engine, seconds, quiet=quiet)

    def late(self: Opener, where: str) -> torch.nn.Module:
        self.seconds += 1000.0
        return self.open_model(where)

    monkeypatch.setattr(conclusion, "judge", judge)
    monkeypatch.setattr(Opener, "__call__", late)
    locution.train("digits", *SMALL, "+distillation", f"+distillation.teacher={BEFORE}", quiet=True)
    assert told[-1] < -900.0, "a thousand seconds of opening are taken off"


def test_a_run_that_could_not_be_trained_is_tried_again_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refused(recipe: str, *words: str, quiet: bool) -> Run:
        asked.append(next(word for word in words if word.startswith("run_dir=")))
        raise UserError("it cannot be")

    monkeypatch.setattr(runs, "train", refused)
    for where in ("digits/noisy", "digits/noisy", "digits/noisy epochs=2"):
        with pytest.raises(UserError, match="it cannot be"):  # not: that it starts from itself
            kept_model(where, seed=4, quiet=True)
    first, again, other = (Path(word.partition("=")[2]) for word in asked)
    assert first == again != other
    assert first.parent == KEPT
    assert first.name.startswith("digits-noisy-")
    assert first.name.endswith("-seed-4")


def written(folder: str | Path, name: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    text = to_yaml(resolve("line").settings()) if name == "recipe.yaml" else "{}"
    (Path(folder) / name).write_text(text, encoding="utf-8")


def test_a_folder_that_another_process_took_a_moment_before_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def train(recipe: str, *words: str, quiet: bool) -> None:
        asked.append("train")
        written(words[-1].removeprefix("run_dir="), "recipe.yaml")  # by the other
        raise UserError("the folder is there already")

    def resume(folder: Path, *, quiet: bool) -> None:
        asked.append("resume")
        if len(asked) == 2:
            raise InUse("the other is at it")
        written(folder, "results.json")

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "resume", resume)
    monkeypatch.setattr("locution.runs.time.sleep", lambda seconds: None)
    assert runs.kept_run("line", 3, quiet=True).folder.name.endswith("-seed-3")
    assert asked == ["train", "resume", "resume"]
    assert capsys.readouterr().out == "", "quiet"


def test_one_that_cannot_be_gone_on_with_is_refused_and_not_announced_as_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = KEPT / f"line-{resolve('line').digest()}-seed-3"
    written(folder, "recipe.yaml")
    asked: list[Path] = []

    def resume(folder: Path, *, quiet: bool) -> None:
        asked.append(folder)
        assert len(asked) == 1, "not again without end"
        raise UserError("it is of another version")

    monkeypatch.setattr(runs, "resume", resume)
    with pytest.raises(UserError, match="it is of another version"):
        runs.kept_run("line", 3, quiet=False)
    assert asked == [folder]
    assert capsys.readouterr().out == "", "it is gone on with, not trained first"


def test_opening_a_model_leaves_the_threads_of_this_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def job(self) -> None:
            torch.set_num_threads(1)

        def load(self, job: None) -> torch.nn.Module:
            return torch.nn.Identity()

    monkeypatch.setattr(runs, "kept_run", lambda where, seed, quiet: Other())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        kept_model("other threads=1", seed=0, quiet=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_folder_that_bears_a_recipes_name_and_is_no_run_stands_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int, bool]] = []

    def trained(where: str, seed: int, quiet: bool) -> Run:
        asked.append((where, seed, quiet))
        raise UserError("asked for by its recipe")

    Path("digits").mkdir()
    monkeypatch.setattr(runs, "kept_run", trained)
    with pytest.raises(UserError, match="asked for by its recipe"):
        kept_model("digits", seed=3, quiet=True)
    assert asked == [("digits", 3, True)]


def test_a_method_opens_models_of_the_runs_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def opened(where: str, *, seed: int, quiet: bool) -> torch.nn.Module:
        seeds.append((where, seed))
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    monkeypatch.setattr(runs, "kept_model", opened)
    words = ["steps=1", "data.limit=64", "model.widths=[8]", "seed=5"]
    locution.train("digits", *words, "+distillation", "+distillation.teacher=other", quiet=True)
    assert set(seeds) == {("other", 5)}
