"""The copy memory task against its definition, and the loss of who remembers nothing against a closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from locution.data.copying import CopyingData, copy_memory, memoryless_loss
from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.basic import cross_entropy


def test_letters_come_then_silence_then_a_sign_and_then_they_are_to_be_said() -> None:
    came, said = copy_memory(500, delay=7, items=3, letters=5, stream=generator(0, "test"))
    assert came.shape == said.shape == (500, 13)
    assert torch.equal(came[:, :3], said[:, -3:])
    assert set(came[:, :3].flatten().tolist()) == set(range(5))
    assert (came[:, 3:9] == 5).all()  # six blanks, and the sign is the seventh of the silence
    assert (came[:, 9] == 6).all()
    assert (came[:, 10:] == 5).all()
    assert (said[:, :10] == 5).all()


@pytest.mark.parametrize(("delay", "items", "letters"), [(20, 10, 8), (3, 1, 2), (100, 10, 8)])
def test_who_remembers_nothing_has_the_loss_of_the_closed_form(delay: int, items: int, letters: int) -> None:
    """Who says a blank where one is due, and each letter equally where letters are, is off by exactly this."""
    _, said = copy_memory(50, delay, items, letters, generator(0, "test"))
    scores = torch.full((*said.shape, letters + 1), -math.inf, dtype=torch.float64)
    scores[:, :-items, letters] = 0.0
    scores[:, -items:, :letters] = 0.0
    losses = cross_entropy(scores, said)
    torch.testing.assert_close(losses, torch.full_like(losses, memoryless_loss(delay, items, letters)))


def test_the_papers_length_has_the_papers_baseline() -> None:
    assert memoryless_loss(delay=100) == pytest.approx(10 * math.log(8) / 120)  # Arjovsky et al., section 5.1


def test_inputs_are_one_hot_and_parts_are_other_sequences() -> None:
    part = CopyingData(delay=4, items=3, letters=4, train=30, development=30, test=30)
    one, other = part.load(0), part.load(1)
    assert torch.equal(one.train.inputs, other.train.inputs)
    assert one.train.inputs.shape == (30, 10, 6)
    assert (one.train.inputs.sum(-1) == 1).all()
    assert not torch.equal(one.train.inputs, one.test.inputs)
    assert not torch.equal(one.development.inputs, one.test.inputs)
    assert not torch.equal(
        one.test.inputs, CopyingData(delay=4, items=3, letters=4, test=30, split=1).load(0).test.inputs
    )
    assert one.labels == ("a", "b", "c", "d", "_")
    assert CopyingData(development=0).load(0).development is None


@pytest.mark.parametrize(
    "settings",
    [{"delay": 0}, {"items": 0}, {"letters": 1}, {"letters": 27}, {"train": 0}, {"test": -1}, {"batch_size": 0}],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"data\.\w+ is -?\d+; allowed: a whole number"):
        CopyingData(**settings)
