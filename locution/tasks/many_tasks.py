"""The task of many tasks at once: each known by its number, judged one by one, and what lies between two of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.waves import WavesData
from locution.engine import TensorBatches
from locution.errors import LocutionError, UserError
from locution.evaluation.intervals import bootstrap
from locution.inference.predict import predict
from locution.models.hypernetwork import Hypernetwork, run_written
from locution.reporting.results import Graph, Metric, RunResults
from locution.tasks.keeping import WeightsKept
from locution.tasks.new_tasks import answers, learn_codes
from locution.tasks.supervised import Supervised
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

SHOWN, STEPS, FINE = 4, 5, 101
QUESTION = re.compile(r"^\s*(\d+)\s*:\s*(\S+)\s*$")


class ManyTasks(WeightsKept):
    """One model for many tasks is told with each example of which task it is, and shares what they have in common.

    The figure is the mean squared error at points that were not learnt from, a mean over tasks with its interval over
    tasks. A hypernetwork is drawn between two tasks as well: what it writes from codes on the way from one to another.

    >>> from locution.recipe import resolve
    >>> ManyTasks().prepare(resolve("waves"), quiet=True).data.describe()
    '100 waves, 8 points of each: 800 to learn from, 5000 to be judged by; each (1,) -> 1 number'

    Reference: J. von Oswald, C. Henning, B. Grewe, J. Sacramento, 2020, "Continual learning with hypernetworks",
    section 2.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data and build the model."""
        data: Dataset = recipe.part("data").load(recipe.seed)
        if not isinstance(data.train, TensorBatches) or not isinstance(data.train.inputs, dict):
            raise UserError(f"{recipe.name}: the data do not say of which task an example is; allowed: waves.")
        return Supervised().job(recipe, data, quiet=quiet)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on every task."""
        data: Dataset = job.data
        held = data.test
        if held is None:
            raise LocutionError(f"{recipe.name} has no test data to judge by.")
        errors = (predict(model, held.inputs).outputs - held.targets).square().flatten(1).mean(1)  # (N,)
        each = by_task(errors, held.inputs["task"])
        note = f"{len(each)} tasks, {len(errors) // len(each)} new points of each"
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        spread = held.targets.float().var(unbiased=False)
        results.metrics = [
            Metric("mse", **bootstrap(each), label="mean squared error", group="", better="lower", note=note),
            Metric("worst", float(each.max()), label="error of the worst task", better="lower", note=note),
            Metric("unlearnt", float(spread), label="error of the mean alone", note=note),
        ]
        results.metrics += of_new_tasks(recipe, model)
        if data.inputs == (1,):
            results.graphs = [wave(model, data, task) for task in range(min(SHOWN, len(each)))]
            results.graphs += between(model)
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer each input: the number of a task, a colon, and the numbers of an example: 3: 0.5"""
        job = self.prepare(recipe, quiet=True)
        model = self.load(recipe, job, folder)
        count = job.data.sizes["tasks"]
        rows = [question(text, count, job.data.inputs[0]) for text in inputs]
        asked = {"task": torch.tensor([task for task, _ in rows]), "x": torch.stack([x for _, x in rows])}
        return [", ".join(f"{value:.4g}" for value in row) for row in predict(model, asked).outputs.tolist()]


def of_new_tasks(recipe: Recipe, model: nn.Module) -> list[Metric]:
    """Judge a hypernetwork on as many tasks that it never saw, of each of which its code alone is learnt."""
    part = recipe.part("data")
    if not isinstance(model, Hypernetwork) or not isinstance(part, WavesData):
        return []
    data, device = replace(part, draw=part.draw + 1).load(recipe.seed), model.spread.device
    parts: list[Any] = [data.train, data.test]
    (x, y), (new_x, new_y) = ([some.inputs["x"], some.targets] for some in parts)
    x, y, new_x, new_y = (some.view(part.tasks, -1, 1).to(device) for some in (x, y, new_x, new_y))
    with torch.no_grad():
        said = answers(model, learn_codes(model, x, y), new_x)
    each = (said - new_y).square().flatten(1).mean(1).cpu()
    note = f"{part.tasks} tasks never seen; of each its code was learnt, {model.codes.embedding_dim} numbers"
    label = "error of new tasks, by a new code alone"
    return [Metric("new_tasks", **bootstrap(each), label=label, group="", better="lower", note=note)]


def question(text: str, tasks: int, size: int) -> tuple[int, Tensor]:
    """Read the number of a task and an example of it.

    >>> question("3: 0.5", tasks=4, size=1)
    (3, tensor([0.5000]))
    """
    found = QUESTION.match(text)
    try:
        values = torch.tensor([float(part) for part in found.group(2).split(",")]) if found else torch.empty(0)
    except ValueError:
        values = torch.empty(0)
    if found is None or len(values) != size or not bool(torch.isfinite(values).all()):
        numbers = "1 finite number" if size == 1 else f"{size} finite numbers"
        raise UserError(f"'{text}' is no question; allowed: TASK: X, such as 3: 0.5, with {numbers}.")
    task = int(found.group(1))
    if task >= tasks:
        raise UserError(f"there is no task {task}; allowed: 0 to {tasks - 1}.")
    return task, values


def by_task(errors: Tensor, task: Tensor) -> Tensor:
    """Take the mean of each task's errors: (N,), (N,) -> (T,).

    >>> by_task(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]))
    tensor([2., 5.])
    """
    sums = torch.zeros(int(task.max()) + 1).index_add(0, task, errors.float())
    return sums / torch.bincount(task)


def wave(model: nn.Module, data: Dataset, task: int) -> Graph:
    """Draw one task: what is true, what was known, and what the model says."""
    parts: list[Any] = [data.test, data.train]
    (true_x, true_y), known = [of_task(part, task) for part in parts]
    fine = torch.linspace(float(true_x.min()), float(true_x.max()), FINE)[:, None]
    said = predict(model, {"task": torch.full((FINE,), task), "x": fine}).outputs[:, 0]
    order = true_x.argsort()
    lines = {"true": (true_x[order].tolist(), true_y[order].tolist()), "model": (fine[:, 0].tolist(), said.tolist())}
    return Graph(f"task {task}", lines, (known[0].tolist(), known[1].tolist()), note="dots: what was learnt from")


def of_task(part: TensorBatches, task: int) -> tuple[Tensor, Tensor]:
    """Pick the points of one task: x (K,), y (K,)."""
    own = part.inputs["task"] == task
    return part.inputs["x"][own, 0], part.targets[own, 0]


def between(model: nn.Module) -> list[Graph]:
    """Draw what a hypernetwork writes from codes on the straight way from task 0 to task 1; nothing for others."""
    if not isinstance(model, Hypernetwork) or len(model.codes.weight) < 2 or model.widths[0] != 1:
        return []
    fine = torch.linspace(-3, 3, FINE, device=model.spread.device)[:, None]
    lines = {}
    with torch.no_grad():
        first, second = model.codes.weight[:2]
        for step in range(STEPS):
            share = step / (STEPS - 1)
            weights = model.write_from(torch.lerp(first, second, share)[None]).expand(FINE, -1)
            lines[f"{share:.0%} of task 1"] = (
                fine[:, 0].tolist(),
                run_written(fine, weights, model.widths)[:, 0].tolist(),
            )
    return [Graph("Between two tasks", lines, note="written from codes on the straight way from task 0 to task 1")]
