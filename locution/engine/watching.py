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


class Watch:
    """Keeps the losses on the device and looks at them every `every` steps, so that no other step waits for it."""

    def __init__(self, engine: Engine, every: int, measure_every: int | None) -> None:
        self.engine, self.every, self.measure_every = engine, max(1, every), measure_every
        self.losses: list[Tensor] = []
        self.sum, self.count, self.examples, self.gradients = 0.0, 0, 0, 0
        self.values: dict[str, float] = {}
        self.begun, self.before, self.last = time.perf_counter(), 0.0, math.nan

    def start(self) -> None:
        """Tell everyone that training begins."""
        self.begun = time.perf_counter()
        for observer in self.engine.observers:
            observer.start(self.engine)

    def due(self) -> bool:
        """Say whether the step that is being taken is one that is logged: every so many, and the last."""
        number = self.engine.number
        return number % self.every == 0 or number + 1 == self.engine.limit

    def gradient(self) -> None:
        """Let observers measure the gradients before anyone corrects them."""
        for observer in self.engine.observers:
            self.values.update(observer.gradient(self.engine.model, self.engine.now))

    def step(self, loss: Tensor, examples: int) -> None:
        """Take note of a finished step; look closer if it is one that is logged."""
        engine = self.engine
        self.losses.append(loss)
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
        if not self.losses:
            return
        losses = torch.stack(self.losses).double().tolist()
        self.losses.clear()
        for offset, loss in enumerate(losses):
            if not math.isfinite(loss):
                step = self.engine.number - len(losses) + offset
                raise LocutionError(
                    f"the loss became {loss} at step {step}; usual causes: a learning rate too high, "
                    "a bad example, bf16 overflow. Try +clipping or a tenth of the learning rate."
                )
        self.sum, self.count, self.last = self.sum + sum(losses), self.count + len(losses), losses[-1]

    def record(self, kind: str, loss: float) -> Record:
        """Write down this moment."""
        engine = self.engine
        rate = float(engine.turns[0].optimizer.param_groups[0]["lr"])
        seconds = self.before + time.perf_counter() - self.begun
        return Record(kind, engine.number, engine.epoch, loss, rate, self.examples, seconds, dict(self.values))

    def tell(self, kind: str, loss: float) -> None:
        """Show everyone the record, and pass on a wish to stop."""
        record = self.record(kind, loss)
        self.values.clear()
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
        return {"sum": self.sum, **counted, "seconds": seconds, "last": self.last}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """Take it back."""
        self.sum, self.count, self.examples = kept["sum"], kept["count"], kept["examples"]
        self.before, self.last, self.gradients = kept["seconds"], kept["last"], kept.get("gradients", 0)
