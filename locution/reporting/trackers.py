"""Trackers write down every record: `metrics.jsonl` always, others by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

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
    ...     tracker.open(0, 0)
    ...     _ = tracker.watch(Record("step", 1, 0, 0.5, 0.1, 32, 0.25, {"gradient_norm": 2.0}))
    ...     tracker.close()
    ...     read_metrics(folder)[0]["gradient_norm"]
    2.0
    """

    name: ClassVar[str] = "jsonl"

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE
        self.file: IO[str] | None = None

    def start(self, engine: Engine) -> None:
        """Open the file; in a group of processes only the first writes."""
        if engine.group.first:
            self.open(engine.number, engine.epoch)

    def open(self, step: int, epoch: int) -> None:
        """Open the file to go on after a step."""
        self.close()
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            cut_metrics(self.path, step, epoch)
            self.file = self.path.open("a", encoding="utf-8")

    def watch(self, record: Record) -> None:
        """Write the record."""
        self.write(flat(record))

    def write(self, line: dict[str, Any]) -> None:
        """Write one line and hand it over."""
        if self.file is None:
            return
        with disk_errors(self.path):
            self.file.write(json.dumps(line, ensure_ascii=True, separators=(", ", ": ")) + "\n")
            self.file.flush()

    def finish(self, record: Record, reason: str) -> None:
        """Write down why training ended."""
        self.write({**flat(record), "reason": reason})
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
        self.file = None
