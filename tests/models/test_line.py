"""The line learns as it would by hand: the loop's numbers are those of plain arithmetic."""

from __future__ import annotations

import pytest
import torch

from locution.data.line import LineData
from locution.engine import Engine, Observer, Record, Turn
from locution.inference.predict import predict
from locution.losses.basic import MSE
from locution.models.linear import LineModel
from locution.models.parameters import scalars
from locution.optimizers.basic import SGD


class Diary(Observer):
    name = "diary"

    def start(self, engine: Engine) -> None:
        self.model, self.lines = engine.model, []

    def watch(self, record: Record) -> None:
        if record.kind == "step":
            now = scalars(self.model)
            self.lines.append(f"{record.step - 1} {record.loss:.4f} {now['w']:.4f} {now['b']:.4f}")


def by_hand(steps: int, rate: float = 0.05) -> list[tuple[float, float, float]]:
    w = b = 0.0
    points = [(float(x), 2.0 * x + 1.0) for x in range(5)]
    lines = []
    for _ in range(steps):
        away = [(w * x + b - y, x) for x, y in points]
        loss = sum(d * d for d, _ in away) / 5
        w, b = w - rate * 2 * sum(d * x for d, x in away) / 5, b - rate * 2 * sum(d for d, _ in away) / 5
        lines.append((loss, w, b))
    return lines


def test_the_line_prints_the_numbers_that_were_promised() -> None:
    data = LineData().load(seed=0)
    model, diary = LineModel().build(data.inputs, data.outputs), Diary()
    Engine(model, Turn(MSE(), SGD(lr=0.05).build), observers=[diary], log_every=200).fit(data.train, steps=1000)
    assert diary.lines[0] == "0 33.0000 1.4000 0.5000"
    assert diary.lines[1] == "200 0.0000 2.0002 0.9994"
    assert diary.lines[-1] == "999 0.0000 2.0000 1.0000"
    assert predict(model, torch.tensor([[10.0]])).outputs.item() == pytest.approx(21.0, abs=1e-4)


def test_each_step_is_that_of_plain_arithmetic() -> None:
    data = LineData().load(seed=0)
    diary = Diary()
    turn = Turn(MSE(), SGD(lr=0.05).build)
    Engine(LineModel().build((1,), 1), turn, observers=[diary], log_every=1).fit(data.train, steps=50)
    assert diary.lines == [f"{n} {loss:.4f} {w:.4f} {b:.4f}" for n, (loss, w, b) in enumerate(by_hand(50))]
