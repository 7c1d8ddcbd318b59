"""How the loop talks to its observers: seldom, and in records."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from locution.engine.modes import train_mode
from locution.engine.observer import Record
from locution.errors import LocutionError

if TYPE_CHECKING:
    from locution.engine.loop import Engine
    from locution.engine.turn import Turn


class Watch:
    """Keeps the losses on the device and looks at them every `every` steps, so that no other step waits for it.

    The loss of a record is that of the last turn that acts at every step. Of several turns each also has a value of its
    own, "loss/NAME": its mean since the record before.
    """

    def __init__(self, engine: Engine, every: int, measure_every: int | None) -> None:
        self.engine, self.every, self.measure_every = engine, max(1, every), measure_every
        self.losses: list[list[Tensor]] = [[] for _ in engine.turns]
        self.window: dict[str, list[float]] = {}  # of each of several turns: the sum of its losses, and how many
        self.sum, self.count, self.examples, self.gradients = 0.0, 0, 0, 0
        self.values: dict[str, float] = {}
        self.begun, self.before, self.last = time.perf_counter(), 0.0, math.nan

    def start(self) -> None:
        """Tell everyone that training begins."""
        self.begun = time.perf_counter()
        for observer in self.engine.observers:
            observer.start(self.engine)

    def due(self, turn: Turn) -> bool:
        """Say whether a turn acts for the last time before a step is logged: one of so many, or the last of all."""
        number, limit = self.engine.number, self.engine.limit
        return -number % self.every < turn.every or (limit is not None and limit - 1 - number < turn.every)

    def gradient(self, turn: Turn) -> None:
        """Let observers measure the gradients of a turn before anyone corrects them."""
        for observer in self.engine.observers:
            for name, value in observer.gradient(self.engine.model, self.engine.now).items():
                alone = not turn.label or "/" in name  # what is of one layer is of one turn
                self.values[name if alone else f"{turn.label}_{name}"] = value

    def step(self, losses: list[Tensor | None], examples: int) -> None:
        """Take note of a finished step; look closer if it is one that is logged."""
        engine = self.engine
        for seen, loss in zip(self.losses, losses, strict=True):
            if loss is not None:
                seen.append(loss)
        self.examples += examples
        if (engine.number - 1) % self.every == 0 or engine.number == engine.limit:
            self.flush()
            self.tell("step", self.last)
        if self.measure_every and engine.number % self.measure_every == 0:
            self.measure()
        if engine.number == engine.limit:
            engine.stop("finished")

    def epoch(self) -> None:
        """Take note of a finished epoch."""
        if self.measure_every is None:
            self.measure()
        engine = self.engine
        if engine.number == engine.limit or (engine.last_epoch is not None and engine.epoch >= engine.last_epoch):
            engine.stop("finished")

    def measure(self) -> None:
        """Let observers measure the model, asleep, and tell everyone."""
        self.flush()
        engine, mean = self.engine, self.sum / max(1, self.count)
        record = self.record("epoch", mean)
        engine.model.eval()
        with torch.no_grad():
            for observer in engine.observers:
                self.values.update(observer.measure(engine.model, record))
        train_mode(engine.model)
        self.sum, self.count = 0.0, 0
        self.tell("epoch", mean)

    def flush(self) -> None:
        """Fetch the losses since the last time; a loss that is no number ends training with a clear line."""
        found = [torch.stack(seen).cpu().double().tolist() if seen else [] for seen in self.losses]
        self.check(found)
        main = next((turn for turn in reversed(self.engine.turns) if turn.every == 1), self.engine.turns[0])
        for turn, seen, losses in zip(self.engine.turns, self.losses, found, strict=True):
            if not losses:
                continue
            seen.clear()
            if turn is main:
                self.sum, self.count, self.last = self.sum + sum(losses), self.count + len(losses), losses[-1]
            if turn.label:
                before, count = self.window.get(turn.label, (0.0, 0))
                self.window[turn.label] = [before + sum(losses), count + len(losses)]

    def check(self, found: list[list[float]]) -> None:
        """Refuse losses that are no numbers; say whose was the first, and at which step it came."""
        bad = []
        for place, (turn, losses) in enumerate(zip(self.engine.turns, found, strict=True)):
            newest = self.engine.number - self.engine.number % turn.every - 1  # the step at which it last acted
            steps = range(newest - turn.every * (len(losses) - 1), newest + 1, turn.every)
            bad += [(step, place, loss) for step, loss in zip(steps, losses, strict=True) if not math.isfinite(loss)]
        if bad:
            step, place, loss = min(bad, key=lambda one: one[:2])
            label = self.engine.turns[place].label
            raise LocutionError(
                f"the loss{f' of the {label}' if label else ''} became {loss} at step {step}; usual causes: a learning "
                "rate too high, a bad example, bf16 overflow. Try +clipping or a tenth of the learning rate."
            )

    def record(self, kind: str, loss: float) -> Record:
        """Write down this moment."""
        engine = self.engine
        rate = float(engine.turns[0].optimizer.param_groups[0]["lr"])
        seconds = self.before + time.perf_counter() - self.begun
        values = {f"loss/{name}": total / count for name, (total, count) in self.window.items()} | self.values
        return Record(kind, engine.number, engine.epoch, loss, rate, self.examples, seconds, values)

    def tell(self, kind: str, loss: float) -> None:
        """Show everyone the record, and pass on a wish to stop."""
        record = self.record(kind, loss)
        self.values.clear()
        self.window.clear()
        for observer in self.engine.observers:
            stop = observer.watch(record)
            if stop is not None:
                self.engine.stop(stop.reason)

    def finish(self, reason: str) -> None:
        """Tell everyone that training is over, with a last measurement if there were steps since the one before."""
        self.flush()
        if reason == "finished" and self.count:
            self.measure()
        record = self.record("end", self.last)
        for observer in self.engine.observers:
            observer.finish(record, reason)

    def state_dict(self) -> dict[str, Any]:
        """Hold what the records go on from."""
        self.flush()
        seconds = self.before + time.perf_counter() - self.begun
        counted = {"count": self.count, "examples": self.examples, "gradients": self.gradients}
        kept = {"sum": self.sum, **counted, "seconds": seconds, "last": self.last}
        return kept | ({"window": {name: list(pair) for name, pair in self.window.items()}} if self.window else {})

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """Take it back."""
        self.sum, self.count, self.examples = kept["sum"], kept["count"], kept["examples"]
        self.before, self.last, self.gradients = kept["seconds"], kept["last"], kept.get("gradients", 0)
        self.window = {name: list(pair) for name, pair in kept.get("window", {}).items()}
