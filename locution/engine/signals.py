"""Signals: Ctrl-C and SIGTERM let the step end and a checkpoint be written, then the process leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import distributed

from locution.engine.distributed import Group
from locution.engine.observer import Observer, Record, Stop

if TYPE_CHECKING:
    from locution.engine.loop import Engine

ASKING = (signal.SIGINT, signal.SIGTERM)


class Signals(Observer):
    """Signals turn Ctrl-C (SIGINT) and SIGTERM into a wish to stop: the step ends, a checkpoint follows.

    Before training begins and after it has ended, a signal ends the process at once. A second Ctrl-C always
    does. The exit codes are the usual ones, 128 plus the signal's number: 130 and 143. In a group of
    processes, which a signal may reach at different steps or only in part, all agree at the next record.

    >>> Signals().code
    0
    """

    name: ClassVar[str] = "signals"

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.came: signal.Signals | None = None
        self.process = os.getpid()

    @property
    def code(self) -> int:
        """The exit code that the signal asks for; 0 if none came."""
        return 0 if self.came is None else 128 + self.came

    def attach(self, engine: Engine) -> None:
        """Watch this engine: once it has started, a signal lets its current step end."""
        if self not in engine.observers:
            engine.observers.append(self)

    def start(self, engine: Engine) -> None:
        """From now on a signal lets the current step end."""
        self.engine = engine

    def watch(self, record: Record) -> Stop | None:
        """Agree with the other processes whether a signal came to any of them."""
        engine = self.engine
        if engine is None or engine.group.world == 1:
            return None
        mine = torch.tensor(float(self.came is not None), device=engine.device)
        if not engine.group.add(mine).item():
            return None
        self.came = self.came or signal.SIGTERM
        return Stop(self.came.name)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if os.getpid() != self.process:
            self._in_child(number)
            return
        first = self.came is None
        self.came = self.came or signal.Signals(number)
        if self.engine is None or (number == signal.SIGINT and not first):
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a third Ctrl-C asks nobody
            os.write(2, f"{self.came.name}: stopped\n".encode())
            raise SystemExit(self.code)
        if first:
            line = f"{self.came.name}: stopping after this step, with a checkpoint; Ctrl-C stops at once\n"
            os.write(2, line.encode())  # a way to write that is safe wherever the signal came
            if self.engine.group.world == 1:
                self.engine.stop(self.came.name)

    def _in_child(self, number: int) -> None:
        """In a process that was forked off: while training, Ctrl-C is the parent's affair; else the usual."""
        if number == signal.SIGINT and self.engine is not None:
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def leave_if_asked(self, run: str | Path | None = None) -> None:
        """Once training has ended: leave with the signal's exit code, if one came. Later ones act at once."""
        group = Group() if self.engine is None else self.engine.group
        self.engine = None
        if self.came is None:
            return
        if group.world > 1:  # nobody leaves before the first has written the checkpoint
            group.wait()
            distributed.destroy_process_group()
        if run is not None and group.first:
            print(f"stopped by {self.came.name}; go on with: locution train --resume {run}", file=sys.stderr)
        raise SystemExit(self.code)


@contextmanager
def stopping_by_signal() -> Iterator[Signals]:
    """Let Ctrl-C and SIGTERM stop training gently inside this block; outside the main thread, do nothing.

    >>> before = signal.getsignal(signal.SIGTERM)
    >>> with stopping_by_signal() as signals:
    ...     signal.getsignal(signal.SIGTERM) == signals.handle
    True
    >>> signal.getsignal(signal.SIGTERM) == before
    True
    """
    signals = Signals()
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, signals.handle) for number in ASKING}
    try:
        yield signals
        signals.leave_if_asked()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
