"""Killed while it writes a checkpoint: what was said to be safe is there, and nothing is ever unreadable."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest
from train_small import number_of
from zygote import Zygote

from locution.engine.checkpoint import read_checkpoint


def killed_writing(
    zygote: Zygote, folder: Path, caplog: pytest.LogCaptureFixture, times: int, size: int, seed: int
) -> int:
    """Kill a process that writes one checkpoint after another; return how often a write was cut off."""
    source = random.Random(seed)
    cut_off = 0
    for _ in range(times):
        end = zygote.kill_within(0.15, source, "write_for_ever", str(folder), size)
        assert end.code == -9, end.output
        assert "damaged" not in end.output
        cut_off += any((folder / "checkpoints").glob(".*"))
        with caplog.at_level(logging.WARNING):
            kept = read_checkpoint(folder / "checkpoints")
        safe = (folder / "safe").read_text().split() if (folder / "safe").exists() else []
        assert (0 if kept is None else number_of(kept)) >= int(safe[-1] if safe else 0)
        assert not caplog.records
    return cut_off


def test_fifteen_kills_leave_nothing_unreadable(
    zygote: Zygote, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert killed_writing(zygote, tmp_path, caplog, times=15, size=1 << 18, seed=0) > 0


@pytest.mark.long
def test_five_hundred_kills_leave_nothing_unreadable(
    zygote: Zygote, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert killed_writing(zygote, tmp_path, caplog, times=500, size=1 << 19, seed=1) > 100
