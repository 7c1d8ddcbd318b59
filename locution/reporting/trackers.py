"""Trackers write down every record: `metrics.jsonl` always, others by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from locution.engine.durable import disk_errors
from locution.engine.metrics_file import cut_metrics
from locution.engine.observer import Observer, Record

if TYPE_CHECKING:
    from locution.engine.loop import Engine

FILE = "metrics.jsonl"


def flat(record: Record) -> dict[str, Any]:
    """Write a record as one flat mapping; a measured value never covers up one of the record's own fields.

    A number that JSON cannot hold (infinite, or no number) becomes None.

    >>> flat(Record("step", 1, 0, 0.5, 0.1, 32, 0.25, {"gradient_norm": math.inf, "step": 9.0}))
    {'kind': 'step', 'step': 1, 'epoch': 0, 'loss': 0.5, 'learning_rate': 0.1, 'examples': 32,
     'seconds': 0.25, 'gradient_norm': None}
    """
    line: dict[str, Any] = {
        "kind": record.kind,
        "step": record.step,
        "epoch": record.epoch,
        "loss": record.loss,
        "learning_rate": record.learning_rate,
        "examples": record.examples,
        "seconds": round(record.seconds, 6),
    }
    for name, value in record.values.items():
        line.setdefault(name, value)
    for name, value in line.items():
        if isinstance(value, float) and not math.isfinite(value):
            line[name] = None
    return line


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Read the records of `metrics.jsonl`; a line that was cut off by a crash, and all after it, is left out.

    `path` is the file or the run folder; where there is none, the list is empty.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    records: list[dict[str, Any]] = []
    if not path.is_file():
        return records
    with path.open("rb") as file:
        for raw in file:
            try:
                record = json.loads(raw)
            except ValueError:
                return records
            if not raw.endswith(b"\n") or not isinstance(record, dict):
                return records
            records.append(record)
    return records


class JSONLines(Observer):
    """A tracker keeps what was measured; this one writes a line of JSON for each record to `metrics.jsonl`.

    Each line is handed to the operating system as it is written, so a killed process loses none. When a run
    is resumed, lines from after its checkpoint are cut off first.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tracker = JSONLines(folder)
    ...     tracker.begin(0, 0)
    ...     _ = tracker.watch(Record("step", 1, 0, 0.5, 0.1, 32, 0.25, {"gradient_norm": 2.0}))
    ...     read_metrics(folder)[0]["gradient_norm"]
    2.0
    """

    name: ClassVar[str] = "jsonl"

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE
        self.open = False

    def start(self, engine: Engine) -> None:
        """Begin; in a group of processes only the first writes."""
        if engine.group.first:
            self.begin(engine.number, engine.epoch)

    def begin(self, step: int, epoch: int) -> None:
        """Begin to write, after a step: what the file holds of later ones is cut off."""
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        cut_metrics(self.path, step, epoch)
        self.open = True

    def watch(self, record: Record) -> None:
        """Write the record."""
        self.write(flat(record))

    def write(self, line: dict[str, Any]) -> None:
        """Write one line. The file is not held open: whatever ends the process, nothing is left to close."""
        if self.open:
            with disk_errors(self.path), self.path.open("ab") as file:
                file.write(json.dumps(line).encode("ascii") + b"\n")

    def finish(self, record: Record, reason: str) -> None:
        """Write down why training ended."""
        self.write({**flat(record), "reason": reason})
        self.open = False
