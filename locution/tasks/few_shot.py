"""The task of learning over tasks: judged by how soon a task it never met is learnt from a few examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset, first_batch
from locution.engine import Batch, TensorBatches, Turn
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap
from locution.gradients.norms import GradientNorms
from locution.models.few_shot import FewShot
from locution.models.shapes import explained, shape_of
from locution.reporting.results import Graph, Metric, RunResults
from locution.tasks.keeping import WeightsKept
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

STEPS = (1, 0, 5, 10)  # steps of adaptation after which the model is judged; the first is the headline
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
MANY = 100  # tasks that adapt side by side
TASK = re.compile(r"^(test|development):(\d+)$")
TAKES = "points and questions, such as '0=1.5 1=3.2 ? 2 4', or test:3 for a task held out"


class FewShotTask(WeightsKept):
    """Meta-learning trains over many small tasks, so that a new one is learnt from a few examples in a few steps.

    Each example of a batch is a task: a few examples with answers, and questions. The trained model is judged on tasks
    held out: after 0, 1, 5 and 10 steps of gradient descent on a task's examples, how wrong are its answers? Each
    number of steps has the learning rate that is best on the development tasks, whatever the model, so that nothing is
    won by the choice of it. Errors are mean squares for values, the share that is wrong for classes; intervals are over
    tasks. Without a method that adapts, the model answers the questions of all tasks as if they were one: plain
    pretraining.

    >>> from locution.recipe import resolve
    >>> job = FewShotTask().prepare(resolve("sinusoids"))
    >>> job.data.describe()
    'waves without end: 200 to tune on, 600 to be judged by; each (1,) -> 1 number'

    Reference: C. Finn, P. Abbeel, S. Levine, 2017, "Model-agnostic meta-learning for fast adaptation of deep
    networks", section 2.1.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the tasks and build the model."""
        data: Dataset = recipe.part("data").load(recipe.seed)
        batch = first_batch(data)
        if not isinstance(batch.inputs, dict) or "support" not in batch.inputs:
            name = recipe.data.get("name")
            raise UserError(f"data '{name}' holds examples; allowed: data of tasks, such as sinusoids.")
        network: nn.Module = recipe.part("model").build(data.inputs, data.outputs)
        with explained(network.eval()), torch.no_grad():
            said = network(torch.zeros(2, *data.inputs))
        if not isinstance(said, Tensor) or said.shape != (2, data.outputs):
            what = f"model '{recipe.model.get('name')}' answers two examples with {shape_of(said)}"
            raise UserError(f"{what}; allowed: {(2, data.outputs)}, as of model mlp.")
        model = FewShot(network)
        with explained(model.eval()), torch.no_grad():
            model(batch.rows(0, 1).inputs)
        turn = Turn(recipe.part("objective"), recipe.part("optimizer").build)
        return Job(model, [turn], data.train, [GradientNorms()], data, unit="tasks")

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Let the model adapt to each task held out, and measure its answers."""
        data: Dataset = job.data
        assert isinstance(model, FewShot)
        assert data.test is not None
        assert data.development is not None
        rates = tune(model, data.development)
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        tasks = whole(data.test, model)
        for steps in STEPS:
            found = bootstrap(errors(model, tasks, [steps], rates[steps])[0])
            best = f"; learning rate {rates[steps]:g}, the best on {len(data.development)} others" if steps else ""
            results.metrics.append(
                Metric(
                    f"error_after_{steps}",
                    **found,
                    label=f"error after {steps} step{'' if steps == 1 else 's'}",
                    group="error",
                    better="lower",
                    note=f"{len(tasks)} tasks held out{best}",
                )
            )
        if data.inputs == (1,):
            results.graphs = [graph(model, tasks.rows(row, row + 1), row, rates) for row in range(3)]
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Adapt to each task with the most steps there are and answer it: points and questions, or a task held out."""
        job = self.prepare(recipe, quiet=True)
        asked = [read_task(text, job.data) for text in inputs]
        model, steps = self.load(recipe, job, folder), max(STEPS)
        assert isinstance(model, FewShot)
        rate = tune(model, job.data.development)[steps]
        with torch.no_grad():
            return [said(model.after(one.inputs, [steps], rate)[0][0], one) for one in asked]


def whole(held: TensorBatches, model: nn.Module | None = None) -> Batch:
    """Take all tasks held out as one batch, brought to where the model is."""
    tasks = Batch(held.inputs, held.targets)
    return tasks if model is None else tasks.to(next(model.parameters()).device)


def errors(model: FewShot, tasks: Batch, steps: Sequence[int], rate: float) -> list[Tensor]:
    """Measure how wrong each task is answered after so many steps, in rising order: for each of them (T,).

    >>> line = FewShot(nn.Linear(1, 1, bias=False))
    >>> _ = nn.init.ones_(line.network.weight)
    >>> one, three = torch.ones(1, 1, 1), torch.full((1, 1, 1), 3.0)
    >>> task = Batch({"support": one, "answers": three, "query": one}, three)
    >>> errors(line, task, [0, 1], 0.1)  # (3 - 1)^2, (3 - 1.4)^2
    [tensor([4.]), tensor([2.5600])]
    """
    parts = []
    with torch.no_grad():
        for start in range(0, len(tasks), MANY):
            some = tasks.rows(start, min(start + MANY, len(tasks)))
            parts.append([wrong(answers, some.targets) for answers in model.after(some.inputs, steps, rate)])
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def wrong(answers: Tensor, targets: Tensor) -> Tensor:
    """Measure each task's answers: the mean of the squares (T, Q, 1), or the share of wrong classes (T, Q) -> (T,)."""
    if targets.is_floating_point():
        return (answers - targets).square().flatten(1).mean(1)
    return (answers.argmax(-1) != targets).float().mean(1)


def tune(model: FewShot, held: TensorBatches) -> dict[int, float]:
    """Find for each number of steps the learning rate of the least error on tasks held out for it."""
    rising, tasks = sorted(STEPS), whole(held, model)
    table = {rate: [float(one.mean()) for one in errors(model, tasks, rising, rate)] for rate in RATES}

    # a rate at which a task runs away has no error to speak of (NaN), and all after it in `RATES` are larger
    return {steps: min(RATES, key=lambda rate: table[rate][column]) for column, steps in enumerate(rising)}


def graph(model: FewShot, task: Batch, number: int, rates: dict[int, float]) -> Graph:
    """Draw a wave, the points that were shown, and what the model says before and after it adapts."""
    order = task.inputs["query"][0, :, 0].argsort()
    x = task.inputs["query"][0, order, 0].tolist()
    lines = {"the wave": (x, task.targets[0, order, 0].tolist())}
    for steps, name in ((0, "before"), (1, "after 1 step"), (max(STEPS), f"after {max(STEPS)} steps")):
        with torch.no_grad():
            answers = model.after(task.inputs, [steps], rates[steps])[0]  # (1, Q, 1)
        lines[name] = (x, answers[0, order, 0].tolist())
    points = (task.inputs["support"][0, :, 0].tolist(), task.inputs["answers"][0, :, 0].tolist())
    return Graph(f"test:{number}", lines, points, note=f"{len(points[0])} points are shown")


def read_task(text: str, data: Dataset) -> Batch:
    """Read a task: `test:3`, or points and questions where inputs and answers are single numbers.

    >>> from locution.data.sinusoids import SinusoidsData
    >>> read_task("0=1.5 1=3 ? 2", SinusoidsData(test=1).load(0)).inputs["query"]
    tensor([[[2.]]])
    """
    held = TASK.match(text)
    if held is not None:
        tasks, row = whole(getattr(data, held.group(1))), int(held.group(2))
        if row >= len(tasks):
            raise UserError(f"{text} is not there; allowed: {held.group(1)}:0 to {held.group(1)}:{len(tasks) - 1}.")
        return tasks.rows(row, row + 1)
    if data.inputs != (1,) or data.outputs != 1:
        raise UserError(f"'{text}' is no task; allowed: test:3 for a task held out.")
    shown, _, asked = text.partition("?")
    try:
        points = torch.tensor([[float(side) for side in point.split("=")] for point in shown.split()])  # (K, 2)
        query = torch.tensor([float(x) for x in asked.split()])  # (Q,)
    except ValueError:
        raise UserError(f"'{text}' is no task; allowed: {TAKES}.") from None
    finite = bool(torch.isfinite(points).all()) and bool(torch.isfinite(query).all())
    if not finite or points.dim() != 2 or points.shape[1] != 2 or not len(query):
        raise UserError(f"'{text}' is no task; allowed: {TAKES}.")
    return Batch({"support": points[None, :, :1], "answers": points[None, :, 1:], "query": query[None, :, None]})


def said(answers: Tensor, task: Batch) -> str:
    """Say the answers of one task (Q, C) in words, and how wrong they are where that is known."""
    if task.targets is None:
        return ", ".join(f"{value:.4g}" for value in answers.flatten().tolist())
    error = float(wrong(answers[None], task.targets))
    if task.targets.is_floating_point():
        return f"mean squared error {error:.4g} on {len(answers)} values"
    return f"{round((1 - error) * len(answers))} of {len(answers)} right"
