"""Tasks one after another, each looked back on once when it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from locution.engine.batch import Batch
from locution.engine.batches import Batches, placed
from locution.errors import require

if TYPE_CHECKING:
    import torch

    from locution.engine.loop import Engine


class TaskSequence:
    """Tasks one after another: the first few epochs go through the first, the next few through the second, and so on.

    Parameters
    ----------
    tasks: the batches of each. epochs_each: epochs a task; behind them all the last task goes on.

    >>> import torch
    >>> from locution.engine.batches import TensorBatches
    >>> first, second = TensorBatches(torch.zeros(2, 1)), TensorBatches(torch.ones(2, 1))
    >>> sequence = TaskSequence([first, second], epochs_each=3)
    >>> [sequence.task_of(epoch) for epoch in (0, 2, 3, 99)]
    [0, 0, 1, 1]
    """

    def __init__(self, tasks: Sequence[Batches], epochs_each: int) -> None:
        require(len(tasks) >= 1, "tasks", len(tasks), "at least one")
        require(epochs_each >= 1, "epochs_each", epochs_each, "a whole number from 1")
        self.tasks, self.epochs_each = list(tasks), epochs_each

    def task_of(self, epoch: int) -> int:
        """Say which task an epoch is of."""
        return min(epoch // self.epochs_each, len(self.tasks) - 1)

    def steps(self) -> int | None:
        """Count the batches of an epoch, if those of every task have as many."""
        counts = {task.steps() for task in self.tasks}
        return counts.pop() if len(counts) == 1 else None

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through one epoch of the task whose turn it is."""
        return self.tasks[self.task_of(number)].epoch(number, seed, skip)

    def to(self, device: torch.device) -> TaskSequence:
        """Move the data of every task to the device, where it has room for them."""
        return TaskSequence([placed(task, device) for task in self.tasks], self.epochs_each)


def supplied(engine: Engine, source: Batches) -> Batches:
    """Put data that lie in memory onto the device, and let methods change where batches come from."""
    source = placed(source, engine.device)
    for method in engine.seams["data"]:
        source = method.data(source, engine.plan)
    return source


def close_ended(engine: Engine, source: Batches) -> None:
    """Look back on a task, at the end of an epoch, if the next epoch is of another."""
    if isinstance(source, TaskSequence) and source.task_of(engine.epoch) != source.task_of(engine.epoch - 1):
        close(engine, source.tasks[source.task_of(engine.epoch - 1)])


def close(engine: Engine, source: Batches) -> None:
    """End a task: let methods look back at its data, once, in the order of the epoch that would come next."""
    if engine.closed == engine.number or not engine.seams["finish"]:
        return  # done before the run was stopped, or nobody looks back
    for method in engine.seams["finish"]:
        again = (
            batch.to(engine.device) if engine.moves else batch for batch in source.epoch(engine.epoch, engine.seed)
        )
        method.finish(engine.model, engine.turns[0].objective, again)
    engine.closed = engine.number
