"""From who was right after each task to the figures, the matrix and the pictures of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.evaluation.forgetting import (
    Figure,
    average_accuracy,
    backward_transfer,
    forgetting,
    learning_accuracy,
    matrix_of,
    over_examples,
)
from locution.reporting.results import Graph, Matrix, Metric, RunResults
from locution.tasks.every_task import EveryTask, answered

Statistic = Callable[[Tensor], Tensor]
FIGURES: dict[str, tuple[Statistic, str, str]] = {
    "average_accuracy": (average_accuracy, "higher", "after the last task"),
    "forgetting": (forgetting, "lower", "from the best to the end"),
    "backward_transfer": (backward_transfer, "higher", "from when each was learnt to the end"),
    "learning_accuracy": (learning_accuracy, "higher", "when each had just been learnt"),
}


def judge_tasks(title: str, data: Dataset, watched: EveryTask, model: nn.Module) -> RunResults:
    """Judge a model that has learnt one task after another.

    The last row is that of the model as it leaves training, the others were measured as training went on. Of a run
    that stopped early, the tasks that it has learnt are judged.
    """
    learnt = len(watched.right)
    names, tasks = list(data.tasks)[:learnt], watched.tasks[:learnt]
    last = watched.row(model)
    right = [row[:learnt] for row in (*watched.right[:-1], last)]
    sizes = sorted({len(one) for one in last})
    some = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    paired = same_examples(tasks)
    results = RunResults(title)
    for name, (statistic, better, note) in FIGURES.items():
        figure = over_examples(right, statistic, paired=paired)
        results.metrics.append(metric(name, figure, better=better, note=f"{learnt} tasks x {some} examples, {note}"))
    results.metrics += told(tasks, model, paired)
    results.matrices = [drawn_matrix(names, matrix_of(right))]
    results.graphs = [fading(names, matrix_of(right))]
    return results


def same_examples(tasks: Sequence[Dataset]) -> bool:
    """Say whether all tasks are judged by the same examples, changed in another way in each."""
    targets = [task.test.targets for task in tasks if task.test is not None]
    return all(torch.equal(one, targets[0]) for one in targets)


def told(tasks: Sequence[Dataset], model: nn.Module, paired: bool) -> list[Metric]:
    """Judge the model once more where it is told the task, if tasks have classes of their own."""
    held = [task.test for task in tasks if task.test is not None]
    classes = [sorted(set(one.targets.tolist())) for one in held]
    if len(classes) < 2 or all(one == classes[0] for one in classes):
        return []
    row = [answered(model, one, among) for one, among in zip(held, classes, strict=True)]
    figure = over_examples([row] * len(row), average_accuracy, paired=paired)
    note = "after the last task, each answer sought among its task's classes"
    return [metric("average_accuracy_told", figure, label="average accuracy, task told", better="higher", note=note)]


def metric(name: str, figure: Figure, **words: str) -> Metric:
    """Put a figure and its interval under its name."""
    return Metric(name, figure["value"], figure["low"], figure["high"], **words)


def drawn_matrix(names: Sequence[str], matrix: Tensor) -> Matrix:
    """Set the accuracies out: a row after each task, a column for each."""
    rows = [f"after {name}" for name in names]
    note = "rows: once this task has been learnt; columns: accuracy on this task's test examples"
    return Matrix("Accuracy on every task after each", rows, list(names), matrix.tolist(), note)


def fading(names: Sequence[str], matrix: Tensor) -> Graph:
    """Draw how the accuracy on each task goes on from when it was learnt."""
    count = len(names)
    lines = {
        f"task {name}": ([float(after + 1) for after in range(task, count)], matrix[task:, task].tolist())
        for task, name in enumerate(names)
    }
    return Graph("What is left of each task", lines, across="tasks learnt", note="accuracy on its test examples")


def print_matrix(results: RunResults) -> None:
    """Print the matrix of a run."""
    from rich.console import Console
    from rich.table import Table

    for one in results.matrices:
        shown = Table(title=one.title, title_justify="left", show_edge=False, box=None, pad_edge=False)
        shown.add_column("")
        for name in one.columns:
            shown.add_column(name, justify="right")
        for name, values in zip(one.rows, one.values, strict=True):
            shown.add_row(name, *[f"{value:.3f}" for value in values])
        Console().print(shown)
