"""Signals inside one process: what is asked of the engine, and when the process leaves at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Turn
from locution.engine.checkpoint import Checkpoints, checkpoints
from locution.engine.distributed import Group
from locution.engine.observer import Record, Stop
from locution.engine.signals import Signals, stopping_by_signal


@contextmanager
def leaves_with(code: int) -> Iterator[None]:
    """Expect the block to leave the process with this exit code."""
    with pytest.raises(SystemExit) as leaving:
        yield
    assert leaving.value.code == code


class At:
    """An objective that sends this process signals at some of its steps."""

    def __init__(self, when: dict[int, signal.Signals]) -> None:
        self.when, self.step = when, 0

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        self.step += 1
        if self.step in self.when:
            os.kill(os.getpid(), self.when[self.step])
        output = model(batch.inputs)
        return output, output.square().mean()


def engine(objective: At, *observers: Checkpoints) -> Engine:
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
    return Engine(nn.Linear(2, 1), turn, observers=observers, log_every=1000, device="cpu")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_step_ends_a_checkpoint_follows_and_the_code_is_the_usual(
    tmp_path: Path, number: signal.Signals, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    made = engine(At({3: number}), Checkpoints(tmp_path))
    with leaves_with(code), stopping_by_signal() as signals:
        signals.attach(made)
        made.fit([torch.ones(4, 2)], steps=100)
        assert made.number == 3
        signals.leave_if_asked("runs/x")
    assert [path.name for path in checkpoints(tmp_path)] == ["000001-step-3"]
    said = capfd.readouterr().err
    assert said.splitlines() == [
        f"{number.name}: stopping after this step, with a checkpoint; Ctrl-C stops at once",
        f"stopped by {number.name}; go on with: locution train --resume runs/x",
    ]


def test_the_block_itself_leaves_with_the_code() -> None:
    made = engine(At({1: signal.SIGTERM}))
    with leaves_with(143), stopping_by_signal() as signals:
        signals.attach(made)
        made.fit([torch.ones(4, 2)], steps=5)


def test_a_second_ctrl_c_stops_at_once() -> None:
    class Twice(At):
        def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("still here")

    made = engine(Twice({}))
    with leaves_with(130), stopping_by_signal() as signals:
        signals.attach(made)
        made.fit([torch.ones(4, 2)], steps=5)


def test_a_second_sigterm_changes_nothing() -> None:
    class Twice(At):
        def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().__call__(model, batch)

    made = engine(Twice({1: signal.SIGTERM}))
    with leaves_with(143), stopping_by_signal() as signals:
        signals.attach(made)
        made.fit([torch.ones(4, 2)], steps=5)
        assert made.number == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_before_training_a_signal_leaves_at_once(number: signal.Signals, code: int) -> None:
    with leaves_with(code), stopping_by_signal() as signals:
        signals.attach(engine(At({})))
        os.kill(os.getpid(), number)
        raise AssertionError("still here")


def test_after_training_a_signal_leaves_at_once() -> None:
    made = engine(At({}))
    with leaves_with(143), stopping_by_signal() as signals:
        signals.attach(made)
        made.fit([torch.ones(4, 2)], steps=2)
        signals.leave_if_asked()
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("still here")


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), stopping_by_signal():
        raise KeyError
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_nothing_is_touched() -> None:
    seen: list[object] = []

    def work() -> None:
        with stopping_by_signal():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


class Pair(Group):
    """A group of two in which the other process has, or has not, been signalled."""

    def __init__(self, other: float) -> None:
        super().__init__(rank=0, world=2)
        object.__setattr__(self, "other", other)

    def add(self, value: Tensor) -> Tensor:
        return value + self.other  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("mine", "other", "stops"), [(0, 0, False), (0, 1, True), (1, 0, True), (1, 1, True)]
)
def test_processes_of_a_group_stop_together(mine: int, other: int, stops: bool) -> None:
    made, signals = engine(At({})), Signals()
    made.group = Pair(other)
    signals.start(made)
    if mine:
        signals.handle(signal.SIGTERM, None)
    assert made.stopping == ""  # not before the others know
    wish = signals.watch(Record("step", 1, 0, 0.0, 0.1, 0, 0.0))
    assert (wish == Stop("SIGTERM")) == stops
    assert signals.code == (143 if stops else 0)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_child_that_was_forked_off_while_training(number: signal.Signals, status: int) -> None:
    with stopping_by_signal() as signals:
        signals.start(engine(At({})))
        child = os.fork()
        if not child:
            os.kill(os.getpid(), number)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
        assert signals.came is None
