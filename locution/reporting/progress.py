"""The progress bar of training."""

from __future__ import annotations

import atexit
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console

from locution.engine.observer import Observer, Record
from locution.errors import require
from locution.reporting.bars import Bar

if TYPE_CHECKING:
    from locution.engine.loop import Engine


@dataclass
class Progress(Observer):
    """A progress bar shows while training runs how far it is, how well it goes and how long it still takes.

    It shows epoch and step, loss, learning rate, gradient norm (if an observer measures `gradient_norm`),
    held-out loss (`development_loss`), a rate, and the time left. Off a terminal it prints plain lines.

    Parameters
    ----------
    title: the name of the run. unit: what the rate counts. per_example: how many units an example holds, for
        instance the mean seconds of audio of an utterance. counted: the name of a value that holds the
        running total of units, where an observer measures it; it goes before `per_example`.
    quiet: show nothing. console: where to draw; standard error by default.

    >>> progress = Progress(unit="s of audio", per_example=3.0)
    >>> progress.rate(Record("step", 1, 0, 2.0, 0.1, examples=0, seconds=0.0))
    >>> progress.rate(Record("step", 3, 0, 1.5, 0.1, examples=64, seconds=2.0))
    96.0
    """

    title: str = "training"
    unit: str = "examples"
    per_example: float = 1.0
    counted: str = ""
    quiet: bool = False
    console: Console | None = None
    name: ClassVar[str] = "progress"
    past: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=16), repr=False)
    bar: Bar | None = field(default=None, repr=False)
    figures: dict[str, str] = field(default_factory=dict, repr=False)
    epochs: int | None = None

    def __post_init__(self) -> None:
        require(self.per_example > 0, "progress.per_example", self.per_example, "a number above 0")

    def start(self, engine: Engine) -> None:
        """Open the bar; in a group of processes only the first shows one."""
        self.close()
        self.past.clear()
        self.epochs = engine.last_epoch
        quiet = self.quiet or not engine.group.first
        self.bar = Bar(self.title, engine.limit, quiet=quiet, console=self.console).start(engine.number)
        atexit.register(self.close)  # a run that dies must not leave the terminal without its cursor

    def watch(self, record: Record) -> None:
        """Show the record."""
        if record.kind == "step":
            self.figures["loss"] = f"{record.loss:.4f}"
            self.figures["lr"] = f"{record.learning_rate:.2g}"
        for value, label, form in (("gradient_norm", "grad", ".3g"), ("development_loss", "held-out", ".4f")):
            if value in record.values:
                self.figures[label] = f"{record.values[value]:{form}}"
        rate = self.rate(record)
        if rate is not None:
            self.figures[""] = f"{rate:,.0f} {self.unit}/s"
        if self.bar is not None:
            figures = [f"{label} {value}".strip() for label, value in self.figures.items()]
            self.bar.update(record.step, self.where(record), figures)

    def rate(self, record: Record) -> float | None:
        """Count units a second over the last records; None at the first."""
        done = record.values.get(self.counted, record.examples * self.per_example)
        self.past.append((record.seconds, done))
        (then, before), (now, after) = self.past[0], self.past[-1]
        return (after - before) / (now - then) if now > then and after > before else None

    def where(self, record: Record) -> str:
        """Say the place in words: epoch and step."""
        total = self.bar.total if self.bar is not None else None
        steps = f"{record.step:,}/{total:,}" if total else f"{record.step:,}"
        if self.epochs is None:
            return f"step {steps}"
        epoch = min(record.epoch + (record.kind == "step"), self.epochs)
        return f"epoch {epoch}/{self.epochs}  step {steps}"

    def finish(self, record: Record, reason: str) -> None:
        """Leave the last figures standing."""
        if self.bar is not None:
            self.bar.update(record.step, self.where(record))
        self.close(reason)

    def close(self, reason: str = "stopped") -> None:
        """Close the bar, however training ended: also call it when training was interrupted."""
        if self.bar is not None:
            self.bar.close(reason)
        self.bar = None
        atexit.unregister(self.close)
