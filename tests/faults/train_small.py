"""A small training that may be killed at any moment, and what else the fault tests run apart.

MLP with batch norm and dropout, shuffling, accumulation with a ragged last micro-batch, AdamW, any methods.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Observer, Record, TensorBatches, Turn
from locution.engine.checkpoint import Checkpoints, read_checkpoint, write_checkpoint
from locution.engine.method import Method, ordered
from locution.engine.pack import pack, safetensors_chunks
from locution.engine.random import generator
from locution.engine.run_folder import RunFolder, cut_metrics, write_text
from locution.engine.signals import stopping_by_signal
from locution.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1]))

from methods_alone import METHODS, does_something, made

EXAMPLES, FEATURES, CLASSES, EPOCHS, BATCH = 54, 6, 3, 3, 8
# what asks for tensors in memory, and what compares whole batches: this training has neither
ELSEWHERE = ("curriculum", "coral")


def methods_found() -> list[str]:
    """Name every method that does something for rows of numbers; the others are resumed on problems of their own."""
    able = [name for name in METHODS if does_something(name, "vectors") or does_something(name, "normed")]
    return [name for name in able if name not in ELSEWHERE]


def built(wanted: Sequence[str]) -> list[Method]:
    """Build methods from their defaults; one that cannot stand beside those before it is left out."""
    methods: list[Method] = []
    for name in wanted:
        try:
            methods = ordered([*methods, made(name)])
        except UserError as error:
            if "cannot be combined" not in str(error) and "each ask to come after" not in str(error):
                raise
    return methods


class NumberedBatches:
    """Examples in memory that leave a trace of which were handed out, and when."""

    def __init__(self, trace: Path, pause: float) -> None:
        source = generator(0, "examples")
        self.inputs = torch.randn(EXAMPLES, FEATURES, generator=source)
        self.targets = torch.randint(0, CLASSES, (EXAMPLES,), generator=source)
        other = torch.randn(20, FEATURES, generator=source)
        beside = {"unlabelled": other, "target": other + 1}
        self.numbers = TensorBatches(torch.arange(EXAMPLES), batch_size=BATCH, beside=beside)
        self.trace, self.pause = trace, pause

    def steps(self) -> int | None:
        return self.numbers.steps()

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        with open(self.trace, "a", buffering=1) as trace:
            self.trace.with_name("begun").touch()
            for place, batch in enumerate(self.numbers.epoch(number, seed, skip), start=skip):
                chosen = batch.inputs
                trace.write(json.dumps([number, place, chosen.tolist()]) + "\n")
                time.sleep(self.pause)
                yield replace(batch, inputs=self.inputs[chosen], targets=self.targets[chosen])


class Metrics(Observer):
    """Appends each record to the run's file of metrics."""

    name = "metrics"

    def __init__(self, path: Path) -> None:
        self.path = path

    def watch(self, record: Record) -> None:
        line = {"kind": record.kind, "step": record.step, "epoch": record.epoch, "loss": record.loss.hex()}
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")


def network() -> nn.Module:
    """An MLP whose every part keeps a state or draws random numbers."""
    torch.manual_seed(0)
    hidden = nn.Linear(FEATURES, 16)
    return nn.Sequential(hidden, nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES))


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)  # (N, CLASSES)
    return output, nn.functional.cross_entropy(output, batch.targets)


def fingerprint(state: Any) -> str:
    """Hash all tensors and all numbers of a state."""
    structure, tensors = pack(state)
    digest = hashlib.sha256(json.dumps(structure).encode())
    for chunk in safetensors_chunks(tensors):
        digest.update(chunk)
    return digest.hexdigest()


def outcome(engine: Engine) -> dict[str, str]:
    """Say what training ended with, each part to the bit; records hold the time and are left out."""
    kept = engine.state_dict()
    parts = {name: fingerprint(kept[name]) for name in ("model", "optimizers", "methods")}
    weights: Any = {name: tensor.clone() for name, tensor in engine.trained().state_dict().items()}
    return {**parts, "trained": fingerprint(weights), "steps": str(engine.number)}


def train(path: str, methods: Sequence[str] = (), pause: float = 0.0, every: int = 3) -> None:
    """Train in a run folder, from its last checkpoint if it has one; at the end write down the outcome."""
    torch.set_num_threads(1)
    run = RunFolder(Path(path))
    with run.lock(), stopping_by_signal() as signals:
        observers = [Metrics(run.metrics), Checkpoints(run.checkpoints, every_steps=every)]
        engine = Engine(
            network(),
            Turn(objective, partial(torch.optim.AdamW, lr=0.01)),
            built(methods),
            observers=observers,
            seed=7,
            accumulate=3,
            device="cpu",
            log_every=1,
        )
        kept = read_checkpoint(run.checkpoints)
        if kept is not None:
            engine.load_state_dict(kept)
        place = kept["position"] if kept else {"step": -1, "epoch": -1}
        cut_metrics(run.metrics, place["step"], place["epoch"])
        signals.attach(engine)
        engine.fit(NumberedBatches(run.path / "trace.jsonl", pause), epochs=EPOCHS)
        (run.path / "stopped_at").write_text(str(engine.number))
        signals.leave_if_asked(run.path)
        write_text(run.path / "outcome.json", json.dumps(outcome(engine)))


def prepare_data(path: str) -> None:
    """Be at work on the data, with no engine yet, and say so."""
    with stopping_by_signal():
        (Path(path) / "ready").touch()
        time.sleep(60)


def long_step(path: str) -> None:
    """Be in the middle of a step that takes a minute, and say so."""

    def slow(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        (Path(path) / "ready").touch()
        time.sleep(60)
        return objective(model, batch)

    with stopping_by_signal() as signals:
        engine = Engine(network(), Turn(slow, partial(torch.optim.SGD, lr=0.1)), device="cpu")
        signals.attach(engine)
        engine.fit([(torch.zeros(2, FEATURES), torch.tensor([0, 1]))], steps=1)


def with_workers(path: str) -> None:
    """Train from a loader whose workers are processes of their own."""
    inputs, targets = torch.zeros(64, FEATURES), torch.zeros(64, dtype=torch.long)
    data = torch.utils.data.TensorDataset(inputs, targets)
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork")

    def first(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        (Path(path) / "ready").touch()
        time.sleep(0.01)
        return objective(model, batch)

    with stopping_by_signal() as signals:
        engine = Engine(
            network(),
            Turn(first, partial(torch.optim.SGD, lr=0.1)),
            observers=[Checkpoints(Path(path) / "checkpoints")],
            device="cpu",
        )
        signals.attach(engine)
        engine.fit(loader, epochs=1000)
        signals.leave_if_asked()


def in_a_group(path: str) -> None:
    """Be one of several processes that train together, for a long time."""
    with stopping_by_signal() as signals:
        rank = int(os.environ["RANK"])
        run = RunFolder.create("small", Path(path) / "run", f"rank: {rank}")
        with run.lock():
            observers = [Metrics(run.metrics), Checkpoints(run.checkpoints)]
            turn = Turn(objective, partial(torch.optim.AdamW, lr=0.01))
            engine = Engine(network(), turn, observers=observers, device="cpu", log_every=10)
            signals.attach(engine)
            engine.fit(NumberedBatches(Path(path) / f"trace-{rank}", 0.002), epochs=100_000)
            (Path(path) / f"stopped-{rank}").write_text(str(engine.number))
            signals.leave_if_asked()


def large_state(number: int, size: int) -> dict[str, Any]:
    """A state that says its number everywhere, so that a mixture of two would show."""
    words = [number] * 100
    return {
        "number": number,
        "words": words,
        "tensors": [torch.full((size // 4,), float(number)) for _ in range(4)],
    }


def number_of(state: Any) -> int:
    """Check that a state is all of one number, and say which."""
    number: int = state["number"]
    assert state["words"] == [number] * 100
    assert all(bool((tensor == number).all()) for tensor in state["tensors"])
    return number


def write_for_ever(path: str, size: int) -> None:
    """Write one checkpoint after another, and note each when it is said to be safe."""
    folder = Path(path) / "checkpoints"
    kept = read_checkpoint(folder)
    number = 0 if kept is None else number_of(kept)
    handle = os.open(Path(path) / "safe", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    while True:
        number += 1
        write_checkpoint(folder, large_state(number, size))
        os.write(handle, f"{number}\n".encode())
