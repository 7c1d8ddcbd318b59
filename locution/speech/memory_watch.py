"""The forecast of a run's memory, said where training begins, and beside it the peak where it ends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from locution.engine.observer import Observer, Record
from locution.reporting.units import memory
from locution.speech.attention import kernels_used
from locution.speech.audio import SAMPLE_RATE
from locution.speech.memory import Forecast, forecast
from locution.speech.recogniser import Recogniser
from locution.speech.utterances import Utterances

if TYPE_CHECKING:
    from locution.engine import Engine


class MemoryForecast(Observer):
    """The peak memory of a run is the most that was in use at any moment; a forecast says it before training begins.

    Says how much the largest batch of the first epoch will take and which kernels compute attention. On CUDA the
    measured peak stands beside it when training ends. A stream, whose batches nobody knows, is not forecast.
    """

    name: ClassVar[str] = "memory_forecast"

    def __init__(self, train: Any, *, quiet: bool = False) -> None:
        self.train, self.quiet = train, quiet
        self.forecast: Forecast | None = None
        self.lines: list[str] = []

    def start(self, engine: Engine) -> None:
        """Forecast, on the device and in the precision of the run."""
        recogniser = engine.model
        if not isinstance(recogniser, Recogniser):
            return
        self.lines = [kernels_used(recogniser.encoder, recogniser.language_model, engine.precision)]
        if isinstance(self.train, Utterances):
            rows, frames, tokens = largest(self.train, recogniser.frame_rate, engine.seed)
            self.forecast = forecast(
                recogniser,
                batch=rows,
                frames=frames,
                tokens=tokens,
                accumulate=engine.accumulate,
                states=states(engine.turns[0].optimizer.param_groups[0]),
                autocast=engine.autocast if engine.precision == "bf16" else None,
            )
            there = available(engine.device)
            fits = "" if self.forecast.total <= there else "; it will not fit at once: batches will be cut finer"
            self.lines.append(f"memory {self.forecast.line(there)}{fits}.")
        if engine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(engine.device)
        if not self.quiet and engine.group.first:
            for line in self.lines:
                print(line, file=sys.stderr)

    def finish(self, record: Record, reason: str) -> None:
        """Put the measured peak beside the forecast, where the device counts it."""
        if self.forecast is not None and torch.cuda.is_available():
            self.lines.append(f"memory peak: {memory(float(torch.cuda.max_memory_allocated()))}, measured.")


def largest(train: Utterances, frame_rate: float, seed: int) -> tuple[int, int, int]:
    """Find the largest batch of the first epoch: its utterances, its frames and its tokens, padding included."""
    found = (0, 0, 0)
    for rows in train.order(0, seed):
        count = int(train.frame_counts[rows].max())
        frames = count if train.sound == "frames" else int(count / SAMPLE_RATE * frame_rate) + 1
        batch = (len(rows), frames, max(len(train.tokens[row]) for row in rows))
        found = max(found, batch, key=lambda one: one[0] * (one[1] + one[2]))
    return found


def states(group: dict[str, Any]) -> int:
    """Count the numbers that an optimizer keeps for each parameter, by the settings of a group.

    >>> states({"betas": (0.9, 0.95)}), states({"momentum": 0.9}), states({"momentum": 0.0})
    (2, 1, 0)
    """
    return 2 if "betas" in group else int(bool(group.get("momentum")))


def available(device: torch.device) -> float:
    """Measure the memory of a device, in bytes: of the accelerator, or else of this machine."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
