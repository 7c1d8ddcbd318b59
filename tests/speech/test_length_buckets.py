"""Batches by a budget: everything once, nothing too large, resumable anywhere, and little padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from locution.errors import UserError
from locution.speech.length_buckets import audio_places, buckets, budgeted, padding_share
from locution.speech.projectors import build_projector, projector_kinds
from locution.speech.utterances import Utterances


def lengths(count: int = 300, seed: int = 0) -> list[int]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(5, 120, (count,), generator=draw).tolist()


def utterances(tokenizer: Any, **settings: Any) -> Utterances:
    frames = [torch.zeros(length, 4) for length in lengths()]
    texts = ["one " * (1 + length // 20) for length in lengths()]
    return Utterances(frames, texts, tokenizer, [2], **settings)


@pytest.mark.parametrize("budget", [125, 400, 3000, 10**6])
def test_every_utterance_comes_once_and_no_batch_is_too_large(tokenizer: Any, budget: int) -> None:
    data = utterances(tokenizer, token_budget=budget)
    assert [data.sizes[row] for row in range(3)] == [n + len(data.tokens[row]) for row, n in enumerate(lengths()[:3])]
    for epoch in range(3):
        batches = data.order(epoch, seed=1)
        assert sorted(row for rows in batches for row in rows) == list(range(300))
        assert len(batches) == data.steps()
        assert all(len(rows) * max(int(data.sizes[row]) for row in rows) <= budget for rows in batches)
    for batch in data.epoch(0, seed=1):
        padded = batch.inputs["frames"].shape[1] + batch.inputs["text"].shape[1]
        assert padded >= int((batch.inputs["lengths"] + batch.inputs["text_lengths"]).max())


def test_epochs_differ_and_repeat_and_can_be_taken_up_anywhere(tokenizer: Any) -> None:
    data = utterances(tokenizer, token_budget=600)
    whole = list(data.epoch(4, seed=2))
    for skip in (0, 1, 7, len(whole)):
        rest = list(data.epoch(4, seed=2, skip=skip))
        assert len(rest) == len(whole) - skip
        for one, other in zip(whole[skip:], rest, strict=True):
            assert torch.equal(one.inputs["lengths"], other.inputs["lengths"])
            assert torch.equal(one.targets, other.targets)
    assert data.order(4, 2) == data.order(4, 2)
    assert data.order(4, 2) != data.order(5, 2)
    assert data.order(4, 2) != data.order(4, 3)
    plain = utterances(tokenizer, token_budget=600, shuffle=False)
    assert plain.order(0, 0) == plain.order(1, 1)


def test_companions_change_from_epoch_to_epoch(tokenizer: Any) -> None:
    data = utterances(tokenizer, token_budget=600)
    together = {frozenset(rows) for rows in data.order(0, 0)} & {frozenset(rows) for rows in data.order(1, 0)}
    assert len(together) < 0.2 * data.steps()


def test_padding_is_what_it_is_and_little(tokenizer: Any) -> None:
    assert padding_share([[0, 1]], [3, 1]) == pytest.approx(2 / 6)
    budget = utterances(tokenizer, token_budget=2000)
    plain = utterances(tokenizer, batch_size=24)
    rows = list(range(300))
    unsorted = padding_share([rows[i : i + 24] for i in range(0, 300, 24)], plain.sizes)
    assert budget.padding() < 0.2 < unsorted
    exact = sum(len(batch) * int(budget.sizes[batch].max()) for batch in budget.order(0, 0))
    assert budget.padding() == pytest.approx(1 - int(budget.sizes.sum()) / exact)


def test_too_small_a_budget_is_refused_and_says_what_is_needed(tokenizer: Any) -> None:
    with pytest.raises(UserError, match=r"data.token_budget is 50; allowed: a whole number from 12\d"):
        utterances(tokenizer, token_budget=50)
    assert buckets([], 10) == []
    assert budgeted([], 0, 0) == []


@pytest.mark.parametrize("kind", sorted(projector_kinds()))
def test_audio_takes_as_many_places_as_the_projector_makes(kind: str) -> None:
    wanted = sorted(set(lengths(60)) | {16, 17})
    torch.manual_seed(0)
    projector = build_projector(kind, 16, 16, gain=1.0)
    before = {name: value.clone() for name, value in projector.state_dict().items()}
    said = audio_places(projector, wanted, 16)
    with torch.no_grad():
        exact = torch.stack([projector(torch.zeros(1, n, 16), torch.tensor([n]))[1][0] for n in wanted])
    assert (said >= exact).all()
    assert ((said - exact) <= 3 + 0.1 * exact).all()
    few = wanted[::3]
    assert torch.equal(audio_places(projector, few, 16), exact[::3])
    assert all(torch.equal(value, before[name]) for name, value in projector.state_dict().items())
