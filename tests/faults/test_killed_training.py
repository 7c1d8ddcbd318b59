"""Killed at any moment, with any methods: the same final weights to the bit, each sample once an epoch."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from train_small import EPOCHS, EXAMPLES, methods_found
from zygote import End, Zygote

METHODS = methods_found()


def check_samples(run: Path) -> None:
    """Each batch holds the same samples on every attempt, and each epoch holds every sample once."""
    batches: dict[tuple[int, int], list[int]] = {}
    for line in (run / "trace.jsonl").read_text().splitlines():
        try:
            epoch, place, numbers = json.loads(line)
        except ValueError:
            continue  # the kill came in the middle of the line
        assert batches.setdefault((epoch, place), numbers) == numbers
    for epoch in range(EPOCHS):
        seen = [number for (e, _), numbers in batches.items() if e == epoch for number in numbers]
        assert sorted(seen) == list(range(EXAMPLES))


def check_metrics(run: Path, reference: Path) -> None:
    """No record stands twice, and each says what it says in the run that was never killed."""
    lines, expected = ((path / "metrics.jsonl").read_text().splitlines() for path in (run, reference))
    assert len(lines) == len(set(lines))
    assert lines[: len(expected)] == expected


def attempt(zygote: Zygote, run: Path, methods: Sequence[str], source: random.Random, span: float) -> End:
    """Train, from the last checkpoint if there is one, and be killed at a random moment."""
    begun = run / "begun"
    begun.unlink(missing_ok=True)
    if source.random() < 0.2:
        return zygote.run("train", str(run), methods, signals=[(source.uniform(0, 0.3), signal.SIGKILL)])
    moment = source.uniform(0, span)
    return zygote.run("train", str(run), methods, signals=[(moment, signal.SIGKILL)], once=begun)


def killed(zygote: Zygote, folder: Path, methods: Sequence[str], kills: int, seed: int) -> int:
    """Kill trainings so many times, resume each until it is done, compare; return how many runs it took."""
    source = random.Random(seed)
    reference = folder / "reference"
    reference.mkdir()
    never = zygote.run("train", str(reference), methods, once=reference / "begun")
    assert never.code == 0, never.output
    check_samples(reference)
    runs = done = 0
    while done < kills:
        run = folder / f"killed-{runs}"
        run.mkdir()
        runs += 1
        while not (run / "outcome.json").exists():
            if done < kills:
                end = attempt(zygote, run, methods, source, never.after_signal / 2)
            else:
                end = zygote.run("train", str(run), methods)
            assert end.code == 0 or (end.code == -signal.SIGKILL and done < kills), end.output
            assert "damaged" not in end.output
            done += end.code != 0
        assert json.loads((run / "outcome.json").read_text()) == json.loads((reference / "outcome.json").read_text())
        check_samples(run)
        check_metrics(run, reference)
    return runs


def test_killed_six_times_with_every_method_on(zygote: Zygote, tmp_path: Path) -> None:
    assert METHODS
    assert killed(zygote, tmp_path, METHODS, kills=6, seed=0)


@pytest.mark.long
@pytest.mark.parametrize("name", ["", *METHODS])
def test_killed_ten_times_with_each_method_alone(zygote: Zygote, tmp_path: Path, name: str) -> None:
    assert killed(zygote, tmp_path, [name] if name else [], kills=10, seed=sum(name.encode()))


@pytest.mark.long
def test_killed_two_hundred_times(zygote: Zygote, tmp_path: Path) -> None:
    assert killed(zygote, tmp_path, METHODS, kills=200, seed=1) > 20
