"""Progress: drawn on a terminal, plain in a log, silent when asked; and it changes no weight."""

from __future__ import annotations

import io
import sys
from functools import partial

import pytest
import torch
from rich.console import Console
from torch import nn

from locution.engine.loop import Engine, Turn
from locution.engine.observer import Record
from locution.errors import UserError
from locution.reporting.bars import Bar, bar
from locution.reporting.line_log import LineLog
from locution.reporting.progress import Progress


def screen(terminal: bool, width: int = 100) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=width, color_system=None), file


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(step: int, kind: str = "step", **values: float) -> Record:
    return Record(kind, step, step // 10, 1.0 / step, 0.1, 32 * step, 0.5 * step, values)


def train(observer: object, steps: int = 40, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    data = [(torch.ones(4, 2) * n, torch.ones(4, 1)) for n in range(10)]

    def objective(model: nn.Module, batch: object) -> tuple[object, torch.Tensor]:
        output = model(batch.inputs)  # type: ignore[attr-defined]
        return output, ((output - batch.targets) ** 2).mean()  # type: ignore[attr-defined]

    turn = Turn(objective, partial(torch.optim.SGD, lr=1e-3))
    observers = [] if observer is None else [observer]
    engine = Engine(nn.Linear(2, 1), turn, observers=observers, device="cpu", **settings)  # type: ignore[arg-type]
    return engine.fit(data, steps=steps).model


def test_a_log_gets_a_line_every_tenth_and_no_control_codes() -> None:
    console, file = screen(terminal=False)
    train(Progress("toy", console=console), steps=200, log_every=1)
    lines = file.getvalue().splitlines()
    assert "\x1b" not in file.getvalue()
    assert len(lines) == 10
    assert [line.split()[1] for line in lines] == [f"{10 * n}" for n in range(1, 11)]
    assert all(word in lines[3] for word in ("toy", "40 %", "step 80/200", "loss", "lr 0.001", "examples/s", "left"))
    assert "finished" in lines[-1]


def test_a_slow_log_gets_a_line_every_few_seconds() -> None:
    console, file = screen(terminal=False)
    clock = Clock()
    with Bar("slow", 1000, console=console, every=5.0, clock=clock) as shown:
        for _ in range(20):
            clock.now += 1.0
            shown.advance()
    assert len(file.getvalue().splitlines()) == 4 + 1  # at 5, 10, 15 and 20 seconds, and the end


def test_a_terminal_gets_one_bar_that_is_redrawn() -> None:
    console, file = screen(terminal=True)
    train(Progress("toy", console=console), log_every=1)
    out = file.getvalue()
    assert "\x1b[" in out  # it moves the cursor back
    last = out.split("toy")[-1]
    assert "100 %" in last
    assert "finished" in last
    assert "loss" in last
    assert out.endswith("\x1b[?25h")  # the cursor is shown again


def test_a_narrow_terminal_is_enough() -> None:
    console, file = screen(terminal=True, width=40)
    train(Progress("toy", console=console), log_every=1)
    assert "100 %" in file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_is_quiet(terminal: bool) -> None:
    console, file = screen(terminal)
    train(Progress("toy", quiet=True, console=console), log_every=1)
    with bar("work", 3, quiet=True, console=console) as shown:
        shown.advance()
    assert file.getvalue() == ""


def test_it_shows_what_others_measured() -> None:
    console, file = screen(terminal=False)
    progress = Progress("toy", console=console)
    progress.bar = Bar("toy", 10, console=console).start()
    progress.watch(record(1, gradient_norm=2.5))
    progress.watch(record(2, "epoch", development_loss=0.25))
    progress.watch(record(3))
    assert "grad 2.5" in file.getvalue().splitlines()[0]
    assert "held-out 0.2500" in file.getvalue().splitlines()[2]  # it stays until measured again


def test_the_rate_counts_what_it_is_told_to_count() -> None:
    by_example = Progress(per_example=3.0)
    assert by_example.rate(record(1)) is None
    assert by_example.rate(record(3)) == pytest.approx(64 * 3.0)  # 64 examples of 3 units in one second
    by_value = Progress(counted="audio_seconds")
    by_value.rate(record(1, audio_seconds=10.0))
    assert by_value.rate(record(2, audio_seconds=25.0)) == pytest.approx(30.0)
    with pytest.raises(UserError, match=r"progress\.per_example is 0"):
        Progress(per_example=0)


def test_the_time_left_is_that_of_the_last_minute() -> None:
    clock = Clock()
    shown = Bar("work", 1000, quiet=True, clock=clock).start()
    assert shown.seconds_left() is None
    for done in range(1, 101):  # slow: one a second
        clock.now += 1.0
        shown.update(done)
    assert shown.seconds_left() == pytest.approx(900.0)
    for done in range(101, 701):  # then ten a second, for a minute
        clock.now += 0.1
        shown.update(done)
    assert shown.seconds_left() == pytest.approx(30.0, rel=0.05)


def test_a_resumed_bar_starts_where_it_left_off() -> None:
    clock = Clock()
    console, file = screen(terminal=False)
    shown = Bar("work", 100, console=console, clock=clock).start(done=50)
    clock.now = 1.0
    shown.update(60)
    assert shown.seconds_left() == pytest.approx(4.0)  # ten a second since it was started, not sixty
    assert "60 %" in file.getvalue()


def test_an_interrupted_bar_gives_the_terminal_back() -> None:
    console, file = screen(terminal=True)

    def work() -> None:
        with Bar("work", 10, console=console) as shown:
            shown.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert "stopped" in file.getvalue()
    assert file.getvalue().endswith("\x1b[?25h")


def test_a_bar_within_a_bar_does_no_harm() -> None:
    console, file = screen(terminal=True)
    with Bar("outer", 2, console=console) as outer, Bar("inner", 2, console=console) as inner:
        inner.advance(2)
        outer.advance(2)
    assert "outer" in file.getvalue()


def test_an_unknown_total_is_counted() -> None:
    console, file = screen(terminal=False)
    with Bar("stream", None, console=console) as shown:
        for _ in range(1234):
            shown.advance()
    assert file.getvalue().startswith("stream  1,234  in ")


@pytest.mark.parametrize("make", [Progress, LineLog, lambda: Progress(quiet=True)])
def test_watching_changes_no_weight(make: object, capsys: pytest.CaptureFixture[str]) -> None:
    plain, watched = train(None, log_every=3), train(make(), log_every=3)  # type: ignore[operator]
    for one, other in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.fixture
def line() -> nn.Module:
    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.b = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
            self.unseen = nn.Parameter(torch.zeros(3))

    return Line()


def test_the_line_log_prints_the_line_recipe_to_the_letter(line: nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.arange(5.0)

    def objective(model: nn.Module, batch: object) -> tuple[None, torch.Tensor]:
        return None, ((model.w * x + model.b - (2 * x + 1)) ** 2).mean()  # type: ignore[operator]

    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05), parameters=lambda model: [model.w, model.b])  # type: ignore[list-item]
    Engine(line, turn, observers=[LineLog()], log_every=200, device="cpu").fit([x], steps=1000)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step    0  loss  33.0000  w 1.4000  b 0.5000"
    assert lines[1] == "step  200  loss   0.0000  w 2.0002  b 0.9994"
    assert lines[-1] == "step  999  loss   0.0000  w 2.0000  b 1.0000"
    assert len(lines) == 6


def test_by_default_the_bar_leaves_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("work", 2) as shown:
        shown.advance(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "work" in captured.err
    assert sys.stdout is not None
