"""Ctrl-C and SIGTERM at any moment: a checkpoint within five seconds, the usual exit code, no orphan."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest
from zygote import End, Zygote

from locution.engine.checkpoint import checkpoints, read_checkpoint

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def check(end: End, number: int) -> None:
    """Hold an end against what is promised."""
    assert end.code == CODES[signal.Signals(number)], end.output
    assert end.after_signal < 5.0
    assert not end.orphans
    assert "Traceback" not in end.output


def signalled(zygote: Zygote, folder: Path, times: int, number: signal.Signals) -> None:
    """Stop a training at random moments, so many times; at the end it is as if it had never been stopped."""
    source = random.Random(int(number))
    reference = folder / "reference"
    reference.mkdir()
    assert zygote.run("train", str(reference)).code == 0
    expected = json.loads((reference / "outcome.json").read_text())
    stops = runs = 0
    while stops < times:
        run = folder / f"run-{runs}"
        runs += 1
        run.mkdir()
        while stops < times and not (run / "outcome.json").exists():
            (run / "trace.jsonl").unlink(missing_ok=True)
            moment = source.uniform(0, 0.4)
            end = zygote.run("train", str(run), [], 0.01, signals=[(moment, number)], once=run / "trace.jsonl")
            if end.code == 0:
                break
            check(end, number)
            stops += 1
            kept = read_checkpoint(run / "checkpoints")
            assert kept["position"]["step"] == int((run / "stopped_at").read_text())
            assert not list((run / "checkpoints").glob(".*"))
        if not (run / "outcome.json").exists():
            assert zygote.run("train", str(run)).code == 0
        assert json.loads((run / "outcome.json").read_text()) == expected


@pytest.mark.parametrize("number", CODES)
def test_stopped_three_times(zygote: Zygote, tmp_path: Path, number: signal.Signals) -> None:
    signalled(zygote, tmp_path, 3, number)


@pytest.mark.long
@pytest.mark.parametrize("number", CODES)
def test_stopped_fifty_times(zygote: Zygote, tmp_path: Path, number: signal.Signals) -> None:
    signalled(zygote, tmp_path, 50, number)


@pytest.mark.parametrize("number", CODES)
def test_stopped_while_the_data_are_prepared(zygote: Zygote, tmp_path: Path, number: signal.Signals) -> None:
    check(zygote.run("prepare_data", str(tmp_path), signals=[(0, number)], once=tmp_path / "ready"), number)


def test_a_second_ctrl_c_ends_a_long_step_at_once(zygote: Zygote, tmp_path: Path) -> None:
    twice = [(0.0, signal.SIGINT), (0.1, signal.SIGINT)]
    end = zygote.run("long_step", str(tmp_path), signals=twice, once=tmp_path / "ready")
    check(end, signal.SIGINT)


@pytest.mark.parametrize("number", CODES)
def test_a_loaders_workers_end_too(zygote: Zygote, tmp_path: Path, number: signal.Signals) -> None:
    end = zygote.run("with_workers", str(tmp_path), signals=[(0.05, number)], once=tmp_path / "ready")
    check(end, number)
    assert len(checkpoints(tmp_path / "checkpoints")) == 1
