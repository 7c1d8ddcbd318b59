"""How learning from preferences is judged: figures, tables and curves on few pairs whose numbers are known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.data.byte_pairs import END, Tokenizer
from locution.data.dataset import Dataset
from locution.data.preferences import Asked, Pairs
from locution.engine import Record, TensorBatches
from locution.engine.random import generator
from locution.inference.generate import go_on
from locution.losses.preferences import DPO, RewardLoss
from locution.models.language_model import LanguageTransformer
from locution.recipe import resolve
from locution.tasks import answering, reference
from locution.tasks.answering import GOES_ON, answers
from locution.tasks.preference import PreferenceTask
from locution.tasks.preference_judged import by_kinds, figures, side_by_side, spread, surprises
from locution.tasks.reference import Reference, judged

BEFORE = torch.tensor([[-6.0, -3.0], [-4.0, -4.0], [-5.0, -2.0]])
NOW = torch.tensor([[-2.0, -8.0], [-4.0, -4.0], [-5.0, -3.0]])
KINDS = [("whole", "elsewhere"), ("whole", "rambling"), ("whole", "rambling")]


def data() -> Dataset:
    """Three pairs of five tokens, of which those of the better answer are 2, 1 and 4, and of the worse 3."""
    answer = torch.zeros(3, 2, 5, dtype=torch.bool)
    for row, count in enumerate((2, 1, 4)):
        answer[row, 0, 5 - count :], answer[row, 1, 1:4] = True, True
    draw = torch.Generator().manual_seed(0)
    parts = [{"tokens": torch.randint(9, (3, 2, 5), generator=draw), "answer": answer} for _ in range(3)]
    begins = ["One  \n two", "three", "three"]
    train = Pairs(parts[0], 2, Asked(begins, KINDS), answer=6)
    held = [TensorBatches(part, batch_size=2, shuffle=False) for part in parts[1:]]
    return Dataset(train, *held, inputs=(5,), outputs=300, reader=SimpleNamespace(tokenizer=Tokenizer([])))


def test_a_tie_is_no_answer_ahead_and_gains_are_measured_from_before() -> None:
    found = {one.name: one.value for one in figures(DPO(beta=0.5), NOW, BEFORE)}
    # margins now 6, 0, -2 and before -3, 0, -3
    assert found == pytest.approx({"preferred": 2 / 3, "margin": 0.5 * 10 / 3, "gain": 10 / 3})
    assert {one.name: one.value for one in figures(RewardLoss(), NOW, BEFORE)}["preferred"] == pytest.approx(1 / 3)


def test_the_surprise_is_that_at_the_preferred_answers_a_token_now_and_before() -> None:
    now, before = surprises(NOW, BEFORE, data())
    assert (now.name, before.name) == ("surprise", "surprise_before")
    assert now.value == pytest.approx((2 / 2 + 4 / 1 + 5 / 4) / 3)
    assert before.value == pytest.approx((6 / 2 + 4 / 1 + 5 / 4) / 3)
    assert (now.better, before.better) == ("lower", "")


def test_kinds_of_answers_are_counted_each_by_itself() -> None:
    rows = by_kinds(NOW, data()).rows
    assert [list(row) for row in rows] == [
        ["whole", "elsewhere", 1, "1.000", "6.000"],
        ["whole", "rambling", 2, "0.000", "-1.000"],
    ]


def test_curves_rise_to_one_over_what_was_before_and_after_or_over_each_kind() -> None:
    objective = DPO(beta=0.5)
    drawn = spread(objective, NOW, BEFORE, objective.rewards(NOW, BEFORE), data())
    third = pytest.approx([1 / 3, 2 / 3, 1.0])
    assert drawn.lines == {"before": ([-3.0, -3.0, 0.0], third), "after": ([-2.0, 0.0, 6.0], third)}
    kinds = spread(RewardLoss(), NOW, BEFORE, NOW, data()).lines
    assert {name: list(across) for name, (across, _) in kinds.items()} == {
        "whole": [-5.0, -4.0, -2.0],
        "elsewhere": [-8.0],
        "rambling": [-4.0, -3.0],
    }


def test_answers_stand_behind_their_question_first_the_one_before() -> None:
    def written(text: str) -> list[int]:
        return [*Tokenizer([]).encode(text), END]

    before, after = (torch.tensor([written(word) for word in words]) for words in (("a", "b"), ("c", "d")))
    found = side_by_side(before, after, data())
    assert [list(row) for row in found.rows] == [["One two", "a", "c"], ["three", "b", "d"]]
    assert list(found.columns) == ["question", "before", "after"]


class Noisy(nn.Module):
    """What comes next depends on the last token alone, and in training on chance."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.randn(9, 9, generator=torch.Generator().manual_seed(1)))
        self.dropout = nn.Dropout(0.5)
        self.most = 0

    def forward(self, tokens: Tensor) -> Tensor:
        self.most = max(self.most, len(tokens))
        found: Tensor = self.dropout(self.scores[tokens])
        return found


def test_a_model_is_asked_asleep_about_a_few_pairs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = Noisy().train(), data().test.inputs  # type: ignore[union-attr]
    monkeypatch.setattr(reference, "AT_ONCE", 2)
    found = judged(model, DPO(), inputs)
    assert (model.most, model.training) == (4, True)  # two answers each
    torch.testing.assert_close(found, DPO().judged(model.eval(), inputs).detach())
    assert not found.requires_grad


def test_the_curve_of_training_is_that_of_the_pairs_to_tune_on_measured_from_the_reference() -> None:
    some, objective, model = data(), DPO(beta=0.5), Noisy()
    watch = Reference(some, objective)
    watch.kept = {"development": BEFORE, "test": torch.full((3, 2), 99.0), "train": torch.full((3, 2), -99.0)}
    now = judged(model, objective, some.development.inputs)  # type: ignore[union-attr]
    ahead = 0.5 * ((now - BEFORE)[:, 0] - (now - BEFORE)[:, 1])
    found = watch.measure(model, Record("epoch", 1, 1, 0.0, 0.1, 1, 0.0))
    assert found["margin"] == pytest.approx(float(ahead.mean()), rel=1e-5)
    assert found["preferred"] == pytest.approx(float((ahead > 0).float().mean()))


def test_each_question_is_answered_behind_an_end_by_draws_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    some, tokenizer, asked = data(), Tokenizer([]), []
    model: Any = LanguageTransformer(len(tokenizer), context=32, width=16, layers=1, heads=2).eval()

    def noted(model: Any, tokens: list[int], *rest: Any, **settings: Any) -> list[int]:
        asked.append(tokens)
        return go_on(model, tokens, *rest, **settings)

    monkeypatch.setattr(answering, "go_on", noted)
    found = answers(model, some)
    assert not torch.equal(found[1], found[2])  # the same question twice
    for row, text in enumerate(some.train.asked.begins):  # type: ignore[attr-defined]
        assert asked[row] == [END, *tokenizer.encode(text)]  # as every question began in training
        draw = generator(0, "answers", row)
        told = go_on(model, asked[row], 6, draw, temperature=answering.TEMPERATURE)
        padded = [*told, *[END] * (6 - len(told)), GOES_ON if len(told) == 6 else END]
        assert found[row].tolist() == padded


def test_a_text_is_judged_behind_an_end_where_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            return (tokens + 1).cumsum(1).float()

    task, tokenizer = PreferenceTask(), Tokenizer([])
    monkeypatch.setattr(task, "opened", lambda *_: (Counting(), tokenizer))
    texts = ["ab", "c"]
    sums = [sum(token + 1 for token in [END, *tokenizer.encode(text)]) for text in texts]
    assert task.predict(resolve("texts/reward"), Path(), texts) == [f"{one:.3f}" for one in sums]
