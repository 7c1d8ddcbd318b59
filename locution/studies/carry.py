"""Carrying out the runs of a study: one after the other, or several at a time in processes of their own."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from locution.engine.lock import InUse
from locution.errors import LocutionError, UserError

T = TypeVar("T")
ALONE = ".alone"  # marks a run that had a process to itself: only then is its peak of memory its own
GRACE = 60.0  # seconds in which a run that is asked to stop writes its checkpoint
DONE, FAILED, REFUSED = 0, 1, 2  # the exit codes of the command line


@dataclass(frozen=True)
class Planned:
    """One run of a study: which variant, which seed, the words that make it and the folder that keeps it."""

    variant: str
    seed: int
    recipe: str
    words: tuple[str, ...]
    folder: Path

    @property
    def done(self) -> bool:
        """Say whether it has come to its end."""
        return (self.folder / "results.json").is_file()

    @property
    def begun(self) -> bool:
        """Say whether it was begun, so that nothing refused it."""
        return (self.folder / "recipe.yaml").is_file()

    @property
    def title(self) -> str:
        """Name it for people."""
        return f"{self.variant}, seed {self.seed}"


Ended = tuple[Planned, int, str]
"""A run that has ended, with the exit code that a command would have, and the line that says why."""


def run_one(one: Planned) -> tuple[int, str]:
    """Train one run, go on with it, or find it done; returns an exit code and, if it is not 0, why.

    Where another process trains this very run, its end is waited for.
    """
    from locution.studies.preload import runs  # with all that a first training would spend its time on importing

    try:
        with contextlib.redirect_stdout(io.StringIO()), hushed():
            while not one.done:
                begun = one.begun
                try:
                    if begun:
                        runs.resume(one.folder, quiet=True)
                    else:
                        runs.train(one.recipe, *one.words, quiet=True)
                except InUse:
                    time.sleep(0.2)
                except UserError:
                    if begun or not one.begun:  # else another process has just begun it
                        raise
    except LocutionError as error:
        return error.exit_code, str(error)
    except Exception as error:  # whatever it is, the other runs can still be compared
        return FAILED, f"{type(error).__name__}: {error}"
    return DONE, ""


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keep the warnings of single runs from the terminal: each run has them in its own report.

    >>> with hushed():
    ...     logging.getLogger("locution").isEnabledFor(logging.WARNING)
    False
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def one_by_one(left: Sequence[Planned]) -> Generator[Ended]:
    """Carry out runs in this process."""
    for one in left:
        yield (one, *run_one(one))


def alone(one: Planned) -> tuple[int, str]:
    """Train one run where nothing else runs, and say so beside it: its peak of memory is its own."""
    code, why = run_one(one)
    if code == DONE:
        (one.folder / ALONE).touch()
    return code, why


def in_processes(
    left: Sequence[T],
    workers: int,
    carry_out: Callable[[T], tuple[int, str]] = alone,  # type: ignore[assignment]
    tick: Callable[[], None] | None = None,
) -> Generator[tuple[T, int, str]]:
    """Carry out runs in so many processes at a time, each run in one of its own.

    carry_out: what a process does, a function of a module; returns an exit code and, if it is not 0, why. tick: called
    five times a second while processes run. However this ends, no process stays behind: a run that is stopped writes a
    checkpoint first and can be gone on with, and where this process is killed the others notice and stop by themselves.
    """
    fresh: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        fresh.set_forkserver_preload(["locution.studies.preload"])  # torch is imported once, not once a run
    waiting = list(reversed(left))
    running: list[tuple[Any, Connection, T]] = []
    with terminable():
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    one = waiting.pop()
                    ours, theirs = fresh.Pipe(duplex=False)
                    process = fresh.Process(target=work, args=(carry_out, one, theirs, dict(os.environ)))
                    running.append((process, ours, one))  # first: whatever comes now, it is known
                    process.start()
                    theirs.close()
                ended = wait([process.sentinel for process, _, _ in running], 0.2 if tick else None)
                if tick:
                    tick()
                for entry in [entry for entry in running if entry[0].sentinel in ended]:
                    process, ours, one = entry
                    running.remove(entry)
                    process.join()
                    yield (one, *verdict(process.exitcode, ours))
        finally:
            stop([process for process, _, _ in running if process.pid is not None])


def work(carry_out: Callable[[T], tuple[int, str]], one: T, pipe: Connection, environment: dict[str, str]) -> None:
    """Be the process of one run: say how it ended."""
    os.setsid()  # Ctrl-C reaches the study alone, which then asks its runs to stop
    os.environ.update(environment)  # the process that this one is forked from may be older than the settings
    threading.Thread(target=follow_parent, daemon=True).start()
    code, why = carry_out(one)
    pipe.send((code, why[:2000]))


def follow_parent() -> None:
    """Stop this process, with a checkpoint, when the one that began it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def verdict(code: int, pipe: Connection) -> tuple[int, str]:
    """Read how a process ended; one that could not say so has failed.

    >>> ours, theirs = multiprocessing.Pipe(duplex=False)
    >>> theirs.close()
    >>> verdict(-9, ours)
    (1, 'its process was ended by SIGKILL; usual cause: too little memory for so many workers')
    """
    with contextlib.suppress(EOFError, OSError):
        if pipe.poll():
            said: tuple[int, str] = pipe.recv()
            return said
    if -code == signal.SIGKILL:
        return FAILED, "its process was ended by SIGKILL; usual cause: too little memory for so many workers"
    number = -code if code < 0 else code - 128
    known = number in set(signal.Signals)
    return FAILED, f"its process was ended by {signal.Signals(number).name if known else f'exit code {code}'}"


def stop(processes: Sequence[Any]) -> None:
    """Ask processes to stop and wait for their checkpoints; a second Ctrl-C, or the time, ends them at once."""
    try:
        for process in processes:
            process.terminate()
        end = time.monotonic() + GRACE
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a block as Ctrl-C does, so that what it began is cleared away.

    >>> with terminable():
    ...     signal.getsignal(signal.SIGTERM) is leave
    True
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(number: int, frame: FrameType | None) -> None:
    """Take SIGTERM as a wish to leave."""
    raise SystemExit(128 + number)
