"""Sequence labelling: its figures against hand counts, its pictures, and a memory that gates hold and others do not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from locution.data.copying import memoryless_loss
from locution.errors import UserError
from locution.models.recurrent import RecurrentModel
from locution.recipe import resolve
from locution.reporting.results import Drawn
from locution.runs import train
from locution.tasks.gate_pictures import gate_pictures
from locution.tasks.sequence_labelling import SequenceLabelling, figures, frequencies

SMALL = ["data.delay=4", "data.items=2", "data.letters=4", "data.train=2000", "data.test=200", "data.development=50"]


def test_frequencies_are_shares_and_leave_out_what_is_ignored() -> None:
    targets = torch.tensor([[0, 2], [0, -100], [1, 2]])
    expected = torch.tensor([[2 / 3, 1 / 3, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(frequencies(targets, 3), expected)


def test_figures_are_those_counted_by_hand() -> None:
    targets = torch.tensor([[0, 1], [0, 0], [0, 1], [0, 0]])  # the first step is always the same
    chances = frequencies(targets, 2)
    scores = torch.tensor([[0.0, -9], [-9.0, 0]]).expand(4, 2, 2)  # says 0, then 1
    found = {metric.name: metric for metric in figures(scores, targets, chances, "four")}
    assert found["accuracy"].value == 0.5  # of the second steps
    assert found["whole_sequences"].value == 0.5
    assert found["memoryless"].value == pytest.approx(math.log(2) / 2, abs=1e-3)
    low, high = math.log1p(math.exp(-9)), 9 + math.log1p(math.exp(-9))
    assert found["cross_entropy"].value == pytest.approx((low + (low + high) / 2) / 2, abs=1e-3)
    assert all(metric.low <= metric.value <= metric.high for metric in found.values() if metric.low is not None)


def test_where_every_answer_is_always_the_same_there_is_no_accuracy() -> None:
    targets = torch.zeros(3, 2, dtype=torch.int64)
    found = [m.name for m in figures(torch.zeros(3, 2, 2), targets, frequencies(targets, 2), "")]
    assert found == ["cross_entropy", "memoryless", "whole_sequences"]


def test_an_lstm_says_again_what_it_heard(tmp_path: Path) -> None:
    """Who remembers nothing has a loss of 2 ln 4 / 8 = 0.347."""
    for kind, epochs in (("lstm", 12), ("rnn", 1)):
        words = [*SMALL, f"model.kind={kind}", f"model.forget={int(kind == 'lstm')}", "model.hidden=32"]
        words += [f"epochs={epochs}", "optimizer.lr=0.02", f"run_dir={tmp_path / kind}"]
        run = train("copying", *words, quiet=True)
        metrics = run.results["metrics"]
        assert metrics["memoryless"]["value"] == pytest.approx(memoryless_loss(4, 2, 4), rel=0.02)
        report = (tmp_path / kind / "report.html").read_text()
        assert "Surprise, step by step" in report
        assert ("How far the gates are open" in report) == (kind == "lstm")
        if kind == "lstm":
            assert metrics["cross_entropy"]["value"] < 0.02 * memoryless_loss(4, 2, 4)
            (answer,) = run.predict(["test:0"])
            assert len(answer.split()) == 8
            assert set(answer.split()) <= set("abcd_")


@pytest.mark.long
def test_a_plain_network_does_not_at_the_same_budget(tmp_path: Path) -> None:
    """From orthogonal weights it does over few letters and a short silence; over those of the recipe it cannot."""
    losses = {}
    for kind in ("lstm", "rnn"):
        words = [f"model.kind={kind}", f"model.forget={int(kind == 'lstm')}", f"run_dir={tmp_path / kind}"]
        losses[kind] = train("copying", *words, quiet=True).results["metrics"]["cross_entropy"]["value"]
    assert losses["lstm"] < 0.1 * losses["rnn"]
    assert losses["rnn"] > 0.5 * memoryless_loss(8, 5, 10)


def test_data_and_models_of_another_kind_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="no sequences with a class for each step; allowed: copying"):
        SequenceLabelling().prepare(resolve("adding", ["task=sequence_labelling"]), quiet=True)
    with pytest.raises(UserError, match=r"one for each of 8 steps \(reads: all\)"):
        SequenceLabelling().prepare(resolve("copying", [*SMALL, "model.reads=last"]), quiet=True)


@pytest.mark.parametrize("name", ["linear", "vae", "autoencoder", "flow", "pointer"])
def test_a_model_that_answers_with_something_else_is_refused_before_training(name: str) -> None:
    recipe = resolve("copying", [f"model={{name: {name}}}", "data.train=20", "data.test=4"])
    with pytest.raises(UserError, match=r"the model answers one sequence with .*; allowed: \(1, 20, 9\), one for each"):
        SequenceLabelling().prepare(recipe, quiet=True)


def test_gates_are_drawn_for_rows_of_pictures_too_and_for_nothing_else() -> None:
    drawn = gate_pictures(RecurrentModel(kind="gru").build((1, 8, 8), 10), torch.rand(3, 1, 8, 8))
    assert list(drawn.graphs[0].lines) == ["reset gate", "update gate"]
    assert all(0 <= value <= 1 for _, values in drawn.graphs[0].lines.values() for value in values)
    assert drawn.galleries[0].pictures.shape == (1, 2, 32, 8)
    assert gate_pictures(RecurrentModel(kind="rnn").build((7, 3), 2), torch.rand(3, 7, 3)) == Drawn()
    assert gate_pictures(torch.nn.Linear(3, 2), torch.rand(3, 3)) == Drawn()
