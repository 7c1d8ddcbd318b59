"""What a model can do of every task, looked at each time that it has learnt one more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.engine import Observer, Record, TensorBatches
from locution.inference.predict import predict


def answered(model: nn.Module, held: TensorBatches, among: Sequence[int] = ()) -> Tensor:
    """Say which examples a model answers right (N,), 1 or 0; among some of the classes alone, where they are given.

    >>> held = TensorBatches(torch.tensor([[0.1, 0.2, 0.9], [0.8, 0.3, 0.0]]), torch.tensor([1, 1]))
    >>> answered(nn.Identity(), held), answered(nn.Identity(), held, among=[0, 1])
    (tensor([0, 0], dtype=torch.uint8), tensor([1, 0], dtype=torch.uint8))
    """
    outputs = predict(model, held.inputs).outputs  # (N, C)
    if among:
        others = torch.ones(outputs.shape[1], dtype=torch.bool)
        others[list(among)] = False
        outputs = outputs.masked_fill(others, -torch.inf)
    right: Tensor = outputs.argmax(1) == held.targets.cpu()
    return right.to(torch.uint8)


class EveryTask(Observer):
    """Watches what is left of the tasks before, and what is there of those to come, after each task is learnt.

    tasks: in their order; each has a test set. epochs_each: epochs a task. `right` has a row for each task that has
    been learnt: which test examples of every task were then answered right. At the end of each epoch the accuracy on
    the development set of each task is recorded too, as "accuracy_on_task_1" and so on.
    """

    name: ClassVar[str] = "every_task"

    def __init__(self, tasks: Sequence[Dataset], epochs_each: int) -> None:
        self.tasks, self.epochs_each = list(tasks), epochs_each
        self.right: list[list[Tensor]] = []

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """At the end of each epoch; where it is the last one of a task, fill a row."""
        learnt = record.epoch // self.epochs_each
        if learnt == len(self.right) + 1 <= len(self.tasks):
            self.right.append(self.row(model))
        found = {}
        for number, task in enumerate(self.tasks, start=1):
            if task.development is not None:
                share = answered(model, task.development).double().mean()
                found[f"accuracy_on_task_{number}"] = float(share)
        return found

    def row(self, model: nn.Module) -> list[Tensor]:
        """Let a model answer the test examples of every task."""
        return [answered(model, task.test) for task in self.tasks if task.test is not None]

    def state_dict(self) -> dict[str, Any]:
        """Hold the rows."""
        return {"right": [list(row) for row in self.right]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.right = [[one.cpu() for one in row] for row in state_dict.get("right", ())]
