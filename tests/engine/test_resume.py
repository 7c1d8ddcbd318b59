"""Exact resume inside one process: stopped anywhere and gone on with, it ends where it would have ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Observer, Record, Stop, TensorBatches, Turn
from locution.engine.checkpoint import read_checkpoint, write_checkpoint
from locution.engine.pack import pack
from locution.errors import LocutionError, UserError
from locution.losses.basic import MSE
from locution.vocabulary.lookup import part

sys.path.insert(0, str(Path(__file__).parents[1]))

from methods_alone import METHODS, common
from methods_alone import data as data_of
from methods_alone import engine as on_problem

N, F, C = 38, 6, 3


class StopAt(Observer):
    """Stops training once at a step."""

    name = "stop_at"

    def __init__(self, step: int | None) -> None:
        self.step = step

    def watch(self, record: Record) -> Stop | None:
        return Stop("for the test") if record.kind == "step" and record.step == self.step else None


class Seen(Observer):
    """Remembers what was measured, and goes on remembering after a resume."""

    name = "seen"

    def __init__(self) -> None:
        self.losses: list[float] = []

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        return {"last": float(list(model.parameters())[-1].sum())}

    def watch(self, record: Record) -> None:
        self.losses.append(record.values.get("last", record.loss))

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.losses = list(state_dict["losses"])


def data() -> TensorBatches:
    source = torch.Generator().manual_seed(1)
    inputs = torch.randn(N, F, generator=source)
    return TensorBatches(inputs, torch.randint(0, C, (N,), generator=source), batch_size=8)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(F, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, C))


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)  # (N, C)
    return output, nn.functional.cross_entropy(output, batch.targets)


def engine(stop: int | None = None, method: str = "", optimizer: Any = torch.optim.AdamW, **settings: Any) -> Engine:
    methods = [part("method", method)()] if method else []
    turn = Turn(objective, partial(optimizer, lr=0.01))
    observers = [Seen(), StopAt(stop)]
    return Engine(network(), turn, methods, observers=observers, seed=3, device="cpu", log_every=1, **settings)


def tensors(engine: Engine) -> dict[str, Tensor]:
    kept = engine.state_dict()
    found = pack({key: kept[key] for key in ("model", "optimizers", "methods", "observers")})[1]
    weights = {f"trained/{name}": tensor.clone() for name, tensor in engine.trained().state_dict().items()}
    return {name: tensor.detach().clone() for name, tensor in {**found, **weights}.items()}


def check(make: Callable[[int | None], Engine], source: Callable[[], Any], stop: int, folder: Path) -> None:
    """Train through, and train with a stop and a checkpoint in between; compare all tensors to the bit."""
    whole = make(None).fit(source(), epochs=3)
    write_checkpoint(folder, make(stop).fit(source(), epochs=3).state_dict())
    resumed = make(None)
    resumed.load_state_dict(read_checkpoint(folder))
    resumed.fit(source(), epochs=3)
    left, right = tensors(whole), tensors(resumed)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert whole.observers[0].losses == resumed.observers[0].losses  # type: ignore[attr-defined]
    assert whole.number == resumed.number


@pytest.mark.parametrize("stop", [1, 5, 8])  # the first step, the last of an epoch, one within an epoch
def test_each_stop_is_as_if_it_had_not_been(stop: int, tmp_path: Path) -> None:
    check(lambda at: engine(at, accumulate=3), data, stop, tmp_path)


@pytest.mark.parametrize("method", METHODS)  # those of sound: tests/speech/test_augmentation.py
def test_each_method_goes_on_where_it_was(method: str, tmp_path: Path) -> None:
    """On the contract's problem for it: two tasks in turn, texts, pictures, tasks of few examples, ..."""
    problem, parts = common((method,)), 1 if part("method", method).whole_batch else 2

    def make(stop: int | None) -> Engine:
        observers = [Seen(), StopAt(stop)]
        return on_problem([method], problem, noisy=True, observers=observers, seed=3, accumulate=parts)

    check(make, lambda: data_of(16, problem), 7, tmp_path)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop", "Adagrad", "LBFGS", "NAdam"])
def test_each_of_torchs_optimizers_goes_on_where_it_was(optimizer: str, tmp_path: Path) -> None:
    check(lambda at: engine(at, optimizer=getattr(torch.optim, optimizer)), data, 7, tmp_path)


def test_bf16_goes_on_where_it_was(tmp_path: Path) -> None:
    check(lambda at: engine(at, precision="bf16"), data, 7, tmp_path)


def test_a_loader_that_shuffles_goes_on_where_it_was(tmp_path: Path) -> None:
    def loader() -> Any:
        whole = data()
        pairs = torch.utils.data.TensorDataset(whole.inputs, whole.targets)
        return torch.utils.data.DataLoader(pairs, batch_size=8, shuffle=True)

    check(engine, loader, 7, tmp_path)


def test_two_turns_go_on_where_they_were(tmp_path: Path) -> None:
    def make(stop: int | None) -> Engine:
        def first(model: nn.Module) -> list[nn.Parameter]:
            return list(model[0].parameters())  # type: ignore[index]

        def last(model: nn.Module) -> list[nn.Parameter]:
            return list(model[-1].parameters())  # type: ignore[index]

        turns = [
            Turn(objective, partial(torch.optim.Adam, lr=0.01), first),
            Turn(objective, partial(torch.optim.SGD, lr=0.1, momentum=0.9), last),
        ]
        observers = [Seen(), StopAt(stop)]
        return Engine(network(), turns, observers=observers, seed=3, device="cpu", log_every=1)

    check(make, data, 7, tmp_path)


def test_frozen_parts_are_not_in_the_checkpoint(tmp_path: Path) -> None:
    def make(stop: int | None) -> Engine:
        made = engine(stop)
        made.model[0].requires_grad_(False)  # type: ignore[index]
        return made

    check(make, data, 7, tmp_path)
    kept = read_checkpoint(tmp_path)
    assert not [name for name in kept["model"] if name.startswith("0.")]


def test_another_seed_and_another_model_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, engine(3).fit(data(), epochs=1).state_dict())
    other = engine()
    other.seed = 4
    other.load_state_dict(read_checkpoint(tmp_path))
    with pytest.raises(UserError, match="seed is 4; allowed: 3"):
        other.fit(data(), epochs=1)
    other = engine()
    other.model = nn.Sequential(nn.Linear(F, C), nn.Linear(C, C))
    other.load_state_dict(read_checkpoint(tmp_path))
    with pytest.raises(LocutionError, match="the checkpoint is of another model"):
        other.fit(data(), epochs=1)


@pytest.mark.parametrize("budget", [{"steps": 10}, {"epochs": 2}])
def test_a_run_that_is_done_goes_no_further(budget: dict[str, int], tmp_path: Path) -> None:
    whole = engine().fit(data(), **budget)
    write_checkpoint(tmp_path, whole.state_dict())
    again = engine(stop=12)
    again.load_state_dict(read_checkpoint(tmp_path))
    again.fit(data(), **budget)
    assert again.number == whole.number == 10
    assert whole.observers[0].losses == again.observers[0].losses  # type: ignore[attr-defined]


@pytest.mark.parametrize("budget", [{"steps": 10}, {"epochs": 2}])
def test_a_stop_at_the_very_last_step(budget: dict[str, int], tmp_path: Path) -> None:
    whole = engine().fit(data(), **budget)
    write_checkpoint(tmp_path, engine(stop=10).fit(data(), **budget).state_dict())
    again = engine(stop=12)
    again.load_state_dict(read_checkpoint(tmp_path))
    again.fit(data(), **budget)
    assert (again.number, again.epoch) == (whole.number, whole.epoch) == (10, 2)
    assert whole.observers[0].losses == again.observers[0].losses  # type: ignore[attr-defined]


def test_a_run_that_went_further_than_it_is_asked_for_ends_at_once() -> None:
    x = torch.arange(8.0)[:, None]

    def engine() -> Engine:
        torch.manual_seed(0)
        return Engine(nn.Linear(1, 1), Turn(MSE(), partial(torch.optim.SGD, lr=0.01)), device="cpu")

    gone = engine().fit(TensorBatches(x, 2 * x, batch_size=2), steps=9)
    for budget in ({"steps": 5}, {"epochs": 1}):
        again = engine()
        again.load_state_dict(gone.state_dict())
        again.fit(TensorBatches(x, 2 * x, batch_size=2), **budget)
        assert again.number == 9
        assert torch.equal(again.model.weight, gone.model.weight)
