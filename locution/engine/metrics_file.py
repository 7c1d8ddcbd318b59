"""The file of metrics when a run goes on from a checkpoint: no record stands in it twice."""

from __future__ import annotations

import json
from pathlib import Path

from locution.engine.durable import write_text


def cut_metrics(path: str | Path, step: int, epoch: int) -> int:
    """Cut from a file of metrics the records that lie behind a checkpoint, so that none is written twice.

    Kept are the lines whose (step, epoch) is not past the checkpoint's; lines of kind "end" go too, since
    training goes on, and so does a line that was cut off in the middle. Returns how many lines went.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "metrics.jsonl").write_text('{"step": 1}\\n{"step": 2}\\n{"ste')
    ...     cut_metrics(Path(folder) / "metrics.jsonl", 1, 0), (Path(folder) / "metrics.jsonl").read_text()
    (2, '{"step": 1}\\n')
    """
    path = Path(path)
    if not path.is_file():
        return 0
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _belongs(line, step, epoch)]
    if len(kept) < len(lines):
        write_text(path, "".join(kept))
    return len(lines) - len(kept)


def _belongs(line: str, step: int, epoch: int) -> bool:
    """Say whether a line of metrics is whole and not past the checkpoint."""
    try:
        record = json.loads(line)
        place = (int(record["step"]), int(record.get("epoch", 0)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return line.endswith("\n") and record.get("kind") != "end" and place <= (step, epoch)
