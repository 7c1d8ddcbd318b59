"""The task of learning one task after another: what it measures, what it keeps, what it refuses."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution import runs
from locution.data.dataset import Dataset
from locution.engine import Engine, Observer, Record, Stop, TensorBatches
from locution.engine.random import reseed, stream_key
from locution.errors import LocutionError, UserError
from locution.recipe import Recipe, resolve
from locution.reporting.matrices import heat_table
from locution.reporting.results import Matrix
from locution.runs import Run
from locution.tasks.continual import Continual
from locution.tasks.continual_judged import judge_tasks
from locution.tasks.every_task import EveryTask, answered
from locution.tasks.task import Job

SMALL = ("data.limit=200", "model.widths=[32]", "epochs=10")


def trained(words: tuple[str, ...] = (), recipe: str = "digits/permuted") -> tuple[Recipe, Job, Engine, Continual]:
    """Train without a folder."""
    resolved, task = resolve(recipe, [*SMALL, *words]), Continual()
    reseed(stream_key(resolved.seed, "weights"), torch.device("cpu"))
    job = task.prepare(resolved)
    methods = resolved.built_methods()
    engine = Engine(job.model, job.turns, methods, observers=job.observers, seed=resolved.seed, device="cpu")
    return resolved, job, engine.fit(job.batches, epochs=resolved.epochs), task


def right(model: nn.Module, held: Any) -> Tensor:
    with torch.no_grad():
        return (model(held.inputs).argmax(1) == held.targets).float()


# What it measures ------------------------------------------------------------------------------------------


def test_the_matrix_is_what_the_model_could_do_after_each_task() -> None:
    recipe, job, engine, task = trained()
    matrix = torch.tensor(task.evaluate(recipe, job, engine.trained()).matrices[0].values)
    assert matrix.shape == (5, 5)
    tests = [one.test for one in job.data.tasks.values()]
    for learnt in (1, 3):  # train so far alone, and look
        again = Continual()
        reseed(stream_key(recipe.seed, "weights"), torch.device("cpu"))
        before = again.prepare(recipe)
        Engine(before.model, before.turns, seed=recipe.seed, device="cpu").fit(before.batches, epochs=2 * learnt)
        expected = [float(right(before.model.eval(), test).mean()) for test in tests]
        assert matrix[learnt - 1].tolist() == pytest.approx(expected)
    assert matrix[4].tolist() == pytest.approx([float(right(engine.model.eval(), test).mean()) for test in tests])


def test_figures_follow_from_the_matrix_and_lie_in_their_intervals() -> None:
    recipe, job, engine, task = trained()
    results = task.evaluate(recipe, job, engine.trained())
    a = torch.tensor(results.matrices[0].values, dtype=torch.float64)
    found = {metric.name: metric for metric in results.metrics}
    assert list(found) == ["average_accuracy", "forgetting", "backward_transfer", "learning_accuracy"]
    assert found["average_accuracy"].value == pytest.approx(float(a[4].mean()))
    assert found["forgetting"].value == pytest.approx(float((a[:4, :4].amax(0) - a[4, :4]).mean()))
    assert found["learning_accuracy"].value == pytest.approx(float(a.diagonal().mean()))
    assert all(one.low < one.value < one.high for one in found.values())  # type: ignore[operator]
    assert [one.better for one in found.values()] == ["higher", "lower", "higher", "higher"]
    assert [len(xs) for xs, _ in results.graphs[0].lines.values()] == [5, 4, 3, 2, 1]


def test_at_the_end_of_each_epoch_every_task_is_tried_on_its_development_set() -> None:
    _, job, engine, _ = trained()
    watched = next(one for one in job.observers if isinstance(one, EveryTask))
    found = watched.measure(engine.model, Record("epoch", 70, 10, 0.0, 0.0, 0, 0.0))
    for number, one in enumerate(job.data.tasks.values(), start=1):
        assert found[f"accuracy_on_task_{number}"] == pytest.approx(float(right(engine.model, one.development).mean()))
    assert len(watched.right) == 5, "a task is looked back on once"


def test_where_tasks_have_classes_of_their_own_it_is_judged_with_the_task_told_too() -> None:
    recipe, job, engine, task = trained(recipe="digits/split")
    model = engine.trained()
    told = {metric.name: metric for metric in task.evaluate(recipe, job, model).metrics}["average_accuracy_told"]
    shares = []
    for place, one in enumerate(job.data.tasks.values()):
        with torch.no_grad():
            pair = model(one.test.inputs)[:, 2 * place : 2 * place + 2]
        shares.append(float((pair.argmax(1) + 2 * place == one.test.targets).float().mean()))
    assert told.value == pytest.approx(sum(shares) / 5)
    named = [
        metric.name for metric in task.evaluate(*trained(("data.scenario=domain",), "digits/split")[:2], model).metrics
    ]
    assert "average_accuracy_told" not in named


def test_the_last_row_is_that_of_the_model_that_leaves_training() -> None:
    ones = torch.ones(4, 2)
    data = Dataset(
        TensorBatches(ones, torch.zeros(4).long()), test=TensorBatches(ones, torch.zeros(4).long()), labels=("a", "b")
    )
    whole = Dataset(data.train, tasks={"1": data, "2": data}, labels=data.labels)
    watched = EveryTask([data, data], 1)
    watched.right = [[torch.tensor([1, 1, 1, 0], dtype=torch.uint8)] * 2, [torch.zeros(4, dtype=torch.uint8)] * 2]
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([9.0, 0.0]))
    found = judge_tasks("", whole, watched, model)
    assert found.matrices[0].values == [[0.75, 0.75], [1.0, 1.0]]
    watched.right.pop()
    assert judge_tasks("", whole, watched, model).matrices[0].values == [[1.0]], "stopped behind the first task"


def test_answers_are_sought_among_the_classes_that_are_given() -> None:
    held = TensorBatches(torch.eye(3), torch.tensor([0, 1, 1]))
    assert answered(nn.Identity(), held).tolist() == [1, 1, 0]
    assert answered(nn.Identity(), held, [1, 2]).tolist() == [0, 1, 0]
    assert answered(nn.Identity(), held, [0, 1]).tolist() == [1, 1, 0]


# The claim -------------------------------------------------------------------------------------------------


def test_consolidation_keeps_what_plain_training_forgets() -> None:
    def figures(*words: str) -> dict[str, float]:
        recipe, job, engine, task = trained(("data.tasks=3", "data.limit=0", "epochs=15", "model.widths=[400]", *words))
        return {one.name: one.value for one in task.evaluate(recipe, job, engine.trained()).metrics}

    plain, held = figures("seed=100"), figures("seed=100", "+ewc")
    assert plain["forgetting"] > held["forgetting"] + 0.1
    assert held["average_accuracy"] > plain["average_accuracy"] + 0.05
    assert plain["learning_accuracy"] > 0.85


def test_the_same_data_may_be_learnt_all_at_once() -> None:
    recipe = resolve("digits/permuted", [*SMALL, "task=classification"])
    job = runs.prepare(recipe, runs.build_task(recipe), quiet=True)
    assert isinstance(job.batches, TensorBatches)
    assert len(job.batches) == 5 * 200


# What it keeps ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("continual") / "run"
    runs.train("digits/permuted", *SMALL, "+ewc", f"run_dir={place}", quiet=True)
    return place


def test_a_run_keeps_its_matrix_and_can_be_judged_again(folder: Path) -> None:
    kept = json.loads((folder / "results.json").read_text())
    again = Run.open(folder).evaluate()
    assert {one.name: one.as_json() for one in again.metrics} == kept["metrics"]
    assert kept["better"]["forgetting"] == "lower"
    page = (folder / "report.html").read_text()
    assert "Accuracy on every task after each" in page
    assert "What is left of each task" in page
    (answer,) = Run.open(folder).predict(["test:0"])
    assert answer.split()[0] in set("0123456789")


def test_a_run_that_lost_its_matrix_says_so(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(folder, copied)
    (copied / "tasks.safetensors").unlink()
    with pytest.raises(LocutionError, match=r"tasks\.safetensors is missing; without it nobody knows"):
        Run.open(copied).evaluate()


class StopAt(Observer):
    """Stops after a step, and keeps what a checkpoint would hold."""

    name = "stop_at"

    def __init__(self, step: int) -> None:
        self.at, self.kept = step, {}

    def start(self, engine: Engine) -> None:
        self.engine = engine

    def watch(self, record: Record) -> Stop | None:
        if record.kind == "step" and record.step == self.at:
            self.kept = copy.deepcopy(self.engine.state_dict())
            return Stop("killed")
        return None


@pytest.mark.parametrize("at", [20, 28, 29])
def test_what_was_seen_of_earlier_tasks_is_in_the_checkpoint(at: int) -> None:
    """Stopped amid the second task, on its last step and behind it: of two epochs of seven steps each."""
    recipe, job, engine, task = trained(("+ewc",))
    expected = task.evaluate(recipe, job, engine.trained())

    def build(*observers: Observer) -> tuple[Job, Engine, Continual]:
        again = Continual()
        reseed(stream_key(recipe.seed, "weights"), torch.device("cpu"))
        new = again.prepare(recipe)
        watching = [*new.observers, *observers]
        methods = recipe.built_methods()
        return new, Engine(new.model, new.turns, methods, observers=watching, device="cpu", log_every=1), again

    stop = StopAt(at)
    first, stopped, _ = build(stop)
    stopped.fit(first.batches, epochs=10)
    second, resumed, again = build()
    resumed.load_state_dict(stop.kept)
    resumed.fit(second.batches, epochs=10)
    found = again.evaluate(recipe, second, resumed.trained())
    assert found.matrices == expected.matrices
    assert [str(one) for one in found.metrics] == [str(one) for one in expected.metrics]


def test_a_heat_map_escapes_what_it_shows() -> None:
    drawn = heat_table(Matrix("", ["<i>"], ["<b>", "ok"], [[2.0, -1.0]]))
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert "--v:100.0%" in drawn
    assert "--v:0.0%" in drawn


# What it refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        ("digits", ("task=continual",), "data 'digits' is no sequence of tasks with classes; allowed: permuted_digits"),
        ("digits/permuted", ("epochs=12",), "epochs is 12; allowed: a multiple of the 5 tasks, such as 10"),
        ("digits/permuted", ("epochs=1",), "epochs is 1; allowed: a multiple of the 5 tasks, such as 5"),
        ("digits/permuted", ("steps=100",), "steps is 100; allowed: epochs"),
        ("digits/permuted", ("measure_every=5",), "measure_every is 5; allowed: null"),
        ("digits/permuted", ("data.test=0.0",), "is no sequence of tasks"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(recipe: str, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        Continual().prepare(resolve(recipe, words))
    assert "\n" not in str(error.value)


def test_a_run_that_learnt_no_task_cannot_be_judged() -> None:
    recipe = resolve("digits/permuted", SMALL)
    task = Continual()
    job = task.prepare(recipe)
    with pytest.raises(LocutionError, match="stopped before it had learnt its first task"):
        task.evaluate(recipe, job, job.model)
