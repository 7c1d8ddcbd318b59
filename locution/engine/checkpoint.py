"""When a checkpoint is written: every so many steps or seconds, and when training ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from locution.engine.checkpoint_files import checkpoints, read_checkpoint, write_checkpoint
from locution.engine.observer import Observer, Record
from locution.errors import require

if TYPE_CHECKING:
    from locution.engine.loop import Engine

__all__ = ["Checkpoints", "checkpoints", "read_checkpoint", "write_checkpoint"]


@dataclass
class Checkpoints(Observer):
    """A checkpoint is the state of training kept on disk, from which it goes on exactly as if never stopped.

    It holds the weights that train, the state of optimizers, methods and observers, and the place in the
    data: what a killed run needs to reach the same final weights to the bit. Write it rarely enough that it
    costs little and often enough that a crash loses little.

    Parameters
    ----------
    folder: where to keep them. every_steps, every_seconds: how far apart, whichever comes first; None: never.
        Both are looked at only when a record is taken (`log_every`). One more is written when training ends,
        also on a signal. keep: how many to hold; the ones before the last serve if it is damaged.

    >>> import tempfile
    >>> import torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     one = write_checkpoint(folder, {"w": torch.tensor([0.5]), "step": 1}, label="step-1")
    ...     two = write_checkpoint(folder, {"w": torch.tensor([0.25]), "step": 2}, label="step-2")
    ...     _ = (two / "tensors.safetensors").write_bytes(b"damaged")
    ...     [path.name for path in checkpoints(folder)], read_checkpoint(folder)
    (['000002-step-2', '000001-step-1'], {'w': tensor([0.5000]), 'step': 1})

    Reference: Thanumalayan Pillai et al., 2014, "All file systems are not created equal: on the complexity of
    crafting crash-consistent applications", section 2 (why a rename needs its file and its folder flushed).
    """

    folder: str | Path = "checkpoints"
    every_steps: int | None = None
    every_seconds: float | None = 60.0
    keep: int = 2
    name: ClassVar[str] = "checkpoints"
    engine: Engine | None = field(default=None, init=False, repr=False)
    written: tuple[int, int, int, int] | None = field(default=None, init=False, repr=False)
    step: int = field(default=0, init=False, repr=False)
    then: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        require(self.keep >= 1, "checkpoints.keep", self.keep, "a whole number from 1, usually 2")
        steps, seconds = self.every_steps, self.every_seconds
        require(steps is None or steps >= 1, "checkpoints.every_steps", steps, "a whole number from 1")
        require(seconds is None or seconds >= 0, "checkpoints.every_seconds", seconds, "seconds, from 0")

    def start(self, engine: Engine) -> None:
        """Begin to count from here."""
        self.engine, self.step, self.then = engine, engine.number, time.monotonic()

    def watch(self, record: Record) -> None:
        """Write a checkpoint if one is due."""
        engine = self.engine
        if engine is None or (record.kind == "step" and self._more_comes(engine)):
            return
        steps = self.every_steps is not None and record.step - self.step >= self.every_steps
        if steps or (self.every_seconds is not None and time.monotonic() - self.then >= self.every_seconds):
            self.write(engine)

    def _more_comes(self, engine: Engine) -> bool:
        """Say whether a measurement or the end follows at this very step: they belong into the checkpoint."""
        every = engine.watch.measure_every
        return engine.number == engine.limit or (every is not None and engine.number % every == 0)

    def finish(self, record: Record, reason: str) -> None:
        """Write the last one, however training ended."""
        if self.engine is not None:
            self.write(self.engine)

    def write(self, engine: Engine) -> None:
        """Write a checkpoint of this moment, in the first process only, unless it is there already."""
        place = (engine.number, engine.epoch, engine.step_in_epoch, engine.closed)
        self.step, self.then = engine.number, time.monotonic()
        if place == self.written or not engine.group.first:
            return
        write_checkpoint(self.folder, engine.state_dict(), label=f"step-{engine.number}", keep=self.keep)
        self.written, self.then = place, time.monotonic()
