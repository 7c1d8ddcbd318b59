"""Tasks one after another: each is looked back on once, at its end, stopped and resumed or not."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Method, Observer, Record, Stop, TaskSequence, TensorBatches, Turn
from locution.engine.sequence import close, supplied
from locution.errors import UserError


@dataclass
class LookBack(Method):
    """Keeps what each task's data were, and when it was asked."""

    name: ClassVar[str] = "look_back"
    seen: list[list[float]] = field(default_factory=list)

    def finish(self, model: nn.Module, objective: Any, batches: Iterable[Batch]) -> None:
        self.seen.append(sorted(float(value) for batch in batches for value in batch.inputs))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen = state_dict["seen"]


class StopAt(Observer):
    """Stops behind a step, and keeps what a checkpoint of each record would hold."""

    name = "stop_at"

    def __init__(self, step: int | None) -> None:
        self.at, self.kept = step, []
        self.engine: Engine | None = None

    def start(self, engine: Engine) -> None:
        self.engine = engine

    def watch(self, record: Record) -> Stop | None:
        assert self.engine is not None
        self.kept.append(copy.deepcopy(self.engine.state_dict()))
        return Stop("killed") if record.kind == "step" and record.step == self.at else None

    def finish(self, record: Record, reason: str) -> None:
        assert self.engine is not None
        self.kept.append(copy.deepcopy(self.engine.state_dict()))


TASKS = [torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]), torch.tensor([[5.0], [6.0]])]
EACH = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def tasks() -> TaskSequence:
    return TaskSequence([TensorBatches(x, x, batch_size=1) for x in TASKS], epochs_each=2)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, (output - batch.targets).square().mean()


def engine(*observers: Observer) -> Engine:
    torch.manual_seed(0)
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.001))
    return Engine(nn.Linear(1, 1), turn, [LookBack()], observers=observers, log_every=1, device="cpu")


def seen(trained: Engine) -> list[list[float]]:
    method = trained.methods[0]
    assert isinstance(method, LookBack)
    return method.seen


def test_each_task_is_trained_for_its_epochs_and_looked_back_on_at_its_end() -> None:
    order: list[float] = []

    def look(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        order.append(batch.inputs.item())
        return objective(model, batch)

    made = engine()
    made.turns[0].objective = look
    made.fit(tasks(), epochs=6)
    assert [sorted(order[at : at + 4]) for at in (0, 4, 8)] == [[1, 1, 2, 2], [3, 3, 4, 4], [5, 5, 6, 6]]
    assert seen(made) == EACH
    assert tasks().steps() == 2


def test_whatever_checkpoint_training_goes_on_from_no_task_is_looked_back_on_twice() -> None:
    watch = StopAt(None)
    whole = engine(watch).fit(tasks(), epochs=6)
    assert len(watch.kept) > 12
    for kept in watch.kept:
        again = engine()
        kept = copy.deepcopy(kept)
        kept["observers"] = {}
        again.load_state_dict(kept)
        again.fit(tasks(), epochs=6)
        assert seen(again) == EACH
        assert torch.equal(again.model.weight, whole.model.weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", range(1, 12))
def test_stopped_at_any_step_it_goes_on_to_the_bit(step: int) -> None:
    whole = engine().fit(tasks(), epochs=6)
    stop = StopAt(step)
    engine(stop).fit(tasks(), epochs=6)
    again = engine()
    again.load_state_dict(stop.kept[-1] | {"observers": {}})
    again.fit(tasks(), epochs=6)
    assert seen(again) == EACH
    assert torch.equal(again.model.weight, whole.model.weight)  # type: ignore[arg-type]


def test_a_single_source_is_one_task_and_a_second_fit_another() -> None:
    made = engine()
    made.fit(TensorBatches(TASKS[0], TASKS[0]), epochs=2)
    made.fit(TensorBatches(TASKS[1], TASKS[1]), steps=3)
    assert seen(made) == EACH[:2]


def test_tasks_of_unequal_length_have_no_number_of_steps() -> None:
    uneven = TaskSequence([TensorBatches(TASKS[0], batch_size=1), TensorBatches(TASKS[1], batch_size=2)], 1)
    assert uneven.steps() is None
    assert [len(batch) for epoch in range(2) for batch in uneven.epoch(epoch, 0)] == [1, 1, 2]


@dataclass
class Ordered(Method):
    """Keeps the order in which it went through a task, and by which objective."""

    name: ClassVar[str] = "ordered"
    seen: list[float] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    def finish(self, model: nn.Module, objective: Any, batches: Iterable[Batch]) -> None:
        self.seen += [float(value) for batch in batches for value in batch.inputs]
        self.asked.append(objective)


def test_every_method_looks_back_on_all_of_a_task_in_the_order_of_the_epoch_to_come() -> None:
    rows = torch.arange(16.0)[:, None]
    data = TensorBatches(rows, rows, batch_size=4)
    one, other = Ordered(), LookBack()

    def second(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return objective(model, batch)

    turns = [Turn(told, partial(torch.optim.SGD, lr=1e-4)) for told in (objective, second)]
    Engine(nn.Linear(1, 1), turns, [one, other], seed=5, device="cpu").fit(data, epochs=2)
    assert one.seen == [float(value) for batch in data.epoch(2, seed=5) for value in batch.inputs]
    assert one.asked == [objective]
    assert other.seen == [sorted(one.seen)]


def test_the_last_checkpoint_holds_that_the_last_task_was_looked_back_on() -> None:
    watch = StopAt(None)
    made = engine(watch).fit(tasks(), epochs=6)
    assert watch.kept[-1]["methods"]["look_back"]["seen"] == EACH
    assert watch.kept[-1]["position"]["closed"] == made.number == 12


def test_tasks_move_to_the_device_each_and_all() -> None:
    away = torch.device("meta")
    moved = TaskSequence([TensorBatches(x) for x in TASKS], epochs_each=3).to(away)
    assert {task.inputs.device.type for task in moved.tasks} == {"meta"}  # type: ignore[attr-defined]
    assert (len(moved.tasks), moved.epochs_each) == (3, 3)
    there: Any = SimpleNamespace(device=away, seams={"data": [], "finish": [LookBack()]}, plan=None, moves=True)
    assert supplied(there, TensorBatches(TASKS[0])).inputs.device.type == "meta"  # type: ignore[attr-defined]
    seen: list[str] = []

    class Where(Method):
        def finish(self, model: nn.Module, objective: Any, batches: Iterable[Batch]) -> None:
            seen.extend(batch.inputs.device.type for batch in batches)

    there.seams, there.closed, there.number, there.epoch, there.seed = {"finish": [Where()]}, 0, 1, 1, 0
    there.model, there.turns = nn.Identity(), [SimpleNamespace(objective=None)]
    close(there, TensorBatches(TASKS[0], batch_size=1))
    assert seen == ["meta", "meta"]


def test_no_task_and_no_epoch_are_refused() -> None:
    with pytest.raises(UserError, match="tasks is 0; allowed: at least one"):
        TaskSequence([], 1)
    with pytest.raises(UserError, match="epochs_each is 0; allowed: a whole number from 1"):
        TaskSequence([TensorBatches(TASKS[0])], 0)


def test_a_second_task_is_resumed_to_its_own_end() -> None:
    """What is counted from where the second fit began is counted from there after a resume too."""
    second = TensorBatches(TASKS[1], TASKS[1], batch_size=1)
    whole = engine().fit(TensorBatches(TASKS[0], TASKS[0]), epochs=2).fit(second, epochs=3)
    stop = StopAt(4)
    engine(stop).fit(TensorBatches(TASKS[0], TASKS[0]), epochs=2).fit(second, epochs=3)
    again = engine()
    again.load_state_dict(stop.kept[-1] | {"observers": {}})
    again.fit(second, epochs=3)
    assert (again.number, again.epoch) == (whole.number, whole.epoch) == (8, 5)
    assert torch.equal(again.model.weight, whole.model.weight)  # type: ignore[arg-type]
