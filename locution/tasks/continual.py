"""Continual learning: one task after another, judged by what is left of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from torch import nn

from locution.data.dataset import Dataset
from locution.engine.sequence import TaskSequence
from locution.engine.weights import read_weights
from locution.errors import LocutionError, UserError
from locution.gradients.norms import GradientNorms
from locution.reporting.results import RunResults
from locution.tasks.abilities import Embedding
from locution.tasks.continual_judged import judge_tasks, print_matrix
from locution.tasks.every_task import EveryTask
from locution.tasks.supervised import Supervised
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

ROWS = "tasks.safetensors"


class Continual:
    """Continual learning meets one task after another, learns each from its own examples alone, and should still know
    the first at the end.

    The data hold several tasks of classes. A recipe's `epochs` are shared out evenly among them; after each task the
    model is tried on the test examples of all. The results say how good it is on average at the end, how much it
    forgot, and how well it learnt each task when its turn came. Where the tasks have classes of their own, they say
    too how good it is when it is told the task, and so has fewer answers to choose from. With `task=classification`
    the same data are learnt all at once.

    >>> from locution.recipe import resolve
    >>> job = Continual().prepare(resolve("digits/split"))
    >>> len(job.batches.tasks), job.batches.epochs_each
    (5, 10)

    Reference: S. Thrun, T. Mitchell, 1995, "Lifelong robot learning"; G. van de Ven, A. Tolias, 2019, "Three scenarios
    for continual learning", section 2.
    """

    def __init__(self) -> None:
        self.supervised = Supervised()
        self.watched: EveryTask | None = None

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the tasks and build the model."""
        job = self.supervised.prepare(recipe, quiet=True)
        data: Dataset = job.data
        tasks = list(data.tasks.values())
        if not tasks or not data.labels or any(task.test is None for task in tasks):
            name = recipe.data.get("name")
            raise UserError(
                f"data '{name}' is no sequence of tasks with classes; allowed: permuted_digits, split_digits."
            )
        each = epochs_each(recipe, len(tasks))
        self.watched = EveryTask(tasks, each)
        sequence = TaskSequence([task.train for task in tasks], each)
        return Job(job.model, job.turns, sequence, [GradientNorms(), self.watched], data)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on every task, beside what it could do after each task before."""
        watched = watcher(job)
        if not watched.right:
            raise LocutionError(f"{recipe.name} stopped before it had learnt its first task; nothing can be judged.")
        results = judge_tasks(recipe.name, job.data, watched, model)
        results.summary, results.data = recipe.describe, {"data": job.data.describe()}
        return results

    def show(self, results: RunResults) -> None:
        """Print the figures with their intervals, and the matrix."""
        self.supervised.show(results)
        print_matrix(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the weights, and who was right after each task."""
        self.supervised.save(recipe, model, folder)
        rows = self.watched.right if self.watched is not None else []
        kept = {f"{after}.{task}": right for after, row in enumerate(rows) for task, right in enumerate(row)}
        save_file(kept, folder / ROWS)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Build the model as training left it, put the weights in, and take back who was right."""
        watched, path = watcher(job), folder / ROWS
        if not path.is_file():
            raise LocutionError(f"{path} is missing; without it nobody knows what was forgotten.")
        kept = read_weights(path)
        tasks = len(watched.tasks)
        after = len(kept) // tasks
        watched.right = [[kept[f"{row}.{task}"] for task in range(tasks)] for row in range(after)]
        return self.supervised.load(recipe, job, folder)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer for each input: a class with its probability. test:0 is the first example of the first task."""
        return self.supervised.predict(recipe, folder, inputs)

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place inputs, or a part of the data of all tasks, where they lie before the last layer."""
        return self.supervised.embed(recipe, folder, inputs, part)


def watcher(job: Job) -> EveryTask:
    """Find who watched the tasks."""
    return next(one for one in job.observers if isinstance(one, EveryTask))


def epochs_each(recipe: Recipe, tasks: int) -> int:
    """Share the epochs of a recipe out among its tasks; refuse what cannot be shared out evenly."""
    if recipe.epochs is None:
        raise UserError(f"steps is {recipe.steps}; allowed: epochs, which are shared out among the {tasks} tasks.")
    if recipe.measure_every is not None:
        raise UserError(f"measure_every is {recipe.measure_every}; allowed: null, for tasks are measured as they end.")
    if recipe.epochs % tasks:
        near = max(tasks, round(recipe.epochs / tasks) * tasks)
        raise UserError(f"epochs is {recipe.epochs}; allowed: a multiple of the {tasks} tasks, such as {near}.")
    return recipe.epochs // tasks
