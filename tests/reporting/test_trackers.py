"""Trackers: every record once, also over a crash; others by name, offline unless asked."""

from __future__ import annotations

import copy
import json
import math
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from locution.engine.loop import Engine, Turn
from locution.engine.observer import Observer, Record, Stop
from locution.errors import LocutionError, UserError
from locution.reporting import tensorboard, weights_and_biases
from locution.reporting.tensorboard import TensorBoard
from locution.reporting.trackers import JSONLines, read_metrics
from locution.reporting.weights_and_biases import WeightsAndBiases, pick_mode
from locution.vocabulary.lookup import part


def record(step: int, kind: str = "step", **values: float) -> Record:
    return Record(kind, step, 0, 1.0 / step, 0.1, 32 * step, 0.25, values)


class Halt(Observer):
    """Keeps the state at one step and ends training at a later one, as a crash would."""

    name = "halt"

    def __init__(self, keep: int, end: int) -> None:
        self.keep, self.end, self.kept = keep, end, None

    def start(self, engine: Engine) -> None:
        self.engine = engine

    def watch(self, record: Record) -> Stop | None:
        if record.kind == "step" and record.step == self.keep:
            self.kept = copy.deepcopy(self.engine.state_dict())
        if record.step == self.end:
            raise KeyboardInterrupt
        return None


def engine(*observers: Observer) -> Engine:
    torch.manual_seed(0)

    def objective(model: nn.Module, batch: Any) -> tuple[Any, torch.Tensor]:
        output = model(batch.inputs)
        return output, (output**2).mean()

    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
    return Engine(nn.Linear(2, 1), turn, observers=observers, log_every=1, device="cpu")


DATA = [torch.ones(2, 2) * n for n in range(1, 5)]  # four steps an epoch


def without_time(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder)]


@pytest.mark.parametrize("keep", [3, 4, 5, 7, 8])
def test_a_resumed_run_writes_each_record_once(tmp_path: Path, keep: int) -> None:
    engine(JSONLines(tmp_path / "whole")).fit(DATA, epochs=3)
    halt = Halt(keep, min(keep + 3, 11))
    with pytest.raises(KeyboardInterrupt):
        engine(JSONLines(tmp_path / "cut"), halt).fit(DATA, epochs=3)
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "step", "st')  # the crash came in the middle of a line
    again = engine(JSONLines(tmp_path / "cut"))
    assert halt.kept is not None
    kept = {**halt.kept, "observers": {}}
    again.load_state_dict(kept)
    again.fit(DATA, epochs=3)
    assert without_time(tmp_path / "cut") == without_time(tmp_path / "whole")


def test_a_record_is_one_line_of_json_on_disk_at_once(tmp_path: Path) -> None:
    tracker = JSONLines(tmp_path)
    tracker.begin(0, 0)
    tracker.watch(record(1, gradient_norm=math.inf, note=math.nan))
    text = (tmp_path / "metrics.jsonl").read_text()
    line = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert text.count("\n") == 1
    assert line["gradient_norm"] is None
    assert line["note"] is None
    assert line["step"] == 1


def test_the_end_says_why(tmp_path: Path) -> None:
    engine(JSONLines(tmp_path)).fit(DATA, steps=3)
    last = read_metrics(tmp_path)[-1]
    assert (last["kind"], last["step"], last["reason"]) == ("end", 3, "finished")


def test_what_is_not_there_is_empty_and_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n[1]\n{"step": 2}\n')
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_a_disk_that_is_full_is_one_clear_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    tracker = JSONLines("/dev")
    tracker.path, tracker.open = Path("/dev/full"), True
    with pytest.raises(LocutionError, match="/dev/full could not be written"):
        tracker.watch(record(1))


class Writer:
    made: ClassVar[list[Writer]] = []

    def __init__(self, folder: str, purge_step: int | None = None) -> None:
        self.folder, self.purge_step, self.closed = folder, purge_step, False
        self.scalars: list[tuple[str, float, int]] = []
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def add_text(self, name: str, text: str, step: int) -> None:
        self.ended = text

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake_tensorboard(monkeypatch: pytest.MonkeyPatch) -> type[Writer]:
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: object())
    monkeypatch.setattr(Writer, "made", [])
    return Writer


def test_tensorboard_gets_every_curve(tmp_path: Path, fake_tensorboard: type[Writer]) -> None:
    engine(TensorBoard(tmp_path)).fit(DATA, epochs=2)
    [writer] = fake_tensorboard.made
    losses = [(value, step) for name, value, step in writer.scalars if name == "loss"]
    assert [step for _, step in losses] == list(range(1, 9))
    assert [step for name, _, step in writer.scalars if name == "epoch_loss"] == [4, 8]
    assert writer.folder == str(tmp_path / "tensorboard")
    assert (writer.closed, writer.ended, writer.purge_step) == (True, "finished", None)


def test_tensorboard_hides_what_came_after_the_checkpoint(tmp_path: Path, fake_tensorboard: type[Writer]) -> None:
    first = engine()
    first.fit(DATA, steps=6)
    again = engine(TensorBoard(tmp_path))
    again.load_state_dict({**first.state_dict(), "observers": {}})
    again.fit(DATA, steps=8)
    assert fake_tensorboard.made[0].purge_step == 7


class FakeRun:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.lines, self.summary, self.ended = settings, [], {}, False  # type: ignore[var-annotated]
        self.id = settings.get("id") or "abc123"

    def define_metric(self, name: str, step_metric: str) -> None:
        self.step_metric = step_metric

    def log(self, line: dict[str, float]) -> None:
        self.lines.append(line)

    def finish(self) -> None:
        self.ended = True


@pytest.fixture
def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    made: list[FakeRun] = []
    module = types.ModuleType("wandb")
    module.Settings = lambda **settings: settings  # type: ignore[attr-defined]

    def init(**settings: Any) -> FakeRun:
        made.append(FakeRun(settings))
        return made[-1]

    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: object())
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_wandb_is_offline_without_a_key_and_goes_on_under_the_same_name(
    tmp_path: Path, fake_wandb: list[FakeRun]
) -> None:
    first = engine(WeightsAndBiases(tmp_path, config={"lr": 0.1}))
    first.fit(DATA, steps=3)
    run = fake_wandb[0]
    assert run.settings["mode"] == "offline"
    assert run.settings["config"] == {"lr": 0.1}
    assert run.settings["settings"]["disable_git"]
    assert sorted({line["step"] for line in run.lines}) == [1, 2, 3]
    assert run.ended
    assert run.summary == {"ended": "finished"}
    again = engine(WeightsAndBiases(tmp_path))
    again.load_state_dict(first.state_dict())
    again.fit(DATA, steps=4)
    assert fake_wandb[1].settings["id"] == run.id
    assert fake_wandb[1].settings["resume"] == "allow"


def test_wandb_sends_only_when_asked() -> None:
    assert pick_mode(None, {}) == "offline"
    assert pick_mode(None, {"WANDB_API_KEY": "key"}) == "online"
    assert pick_mode(None, {"WANDB_API_KEY": "key", "WANDB_MODE": "offline"}) == "offline"
    assert pick_mode("disabled", {"WANDB_MODE": "online"}) == "disabled"
    with pytest.raises(UserError, match=r"wandb\.mode is 'onlin'; allowed: online, offline, disabled"):
        pick_mode("onlin", {})


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_says_how_to_install_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda module: None)
    with pytest.raises(UserError, match=rf"pip install 'locution\[{name}\]'") as error:
        part("tracker", name)(tmp_path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    assert weights_and_biases.installed is tensorboard.installed


@pytest.mark.parametrize("kind", [JSONLines, TensorBoard, WeightsAndBiases])
def test_only_the_first_of_a_group_writes(
    kind: Any, tmp_path: Path, fake_tensorboard: type[Writer], fake_wandb: list[FakeRun]
) -> None:
    tracker = kind(tmp_path)
    second = types.SimpleNamespace(group=types.SimpleNamespace(first=False), number=0, epoch=0)
    tracker.start(second)
    tracker.watch(record(1))
    tracker.finish(record(1, "end"), "finished")
    assert list(tmp_path.iterdir()) == []
    assert fake_wandb == []
    assert fake_tensorboard.made == []
