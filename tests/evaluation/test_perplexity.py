"""Perplexity and bits per byte: closed forms, and every token asked for once with what is before it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.evaluation.perplexity import bits_per_byte, in_passages, perplexity, token_bytes, token_surprise
from locution.models.language_model import LanguageTransformer


class Knows(nn.Module):
    """Expects the token after the last with a chance that grows with what it was shown: (n + 1) of 100."""

    def forward(self, tokens: Tensor) -> Tensor:
        chance = (torch.arange(tokens.shape[1]) + 2.0) / 100
        scores = ((1 - chance) / 49).log()[:, None].repeat(1, 50)
        places = torch.arange(tokens.shape[1])
        scores[places, (tokens[0] + 1) % 50] = chance.log()
        return scores[None]


def test_surprise_is_that_of_a_model_whose_chances_are_known() -> None:
    text = torch.arange(11) % 50
    chances = (-token_surprise(Knows(), text, context=4, step=2)).exp() * 100
    assert [round(float(chance)) for chance in chances] == [2, 3, 4, 5, 4, 5, 4, 5, 4, 5]
    side_by_side = (-token_surprise(Knows(), text, context=4, step=4)).exp() * 100
    assert [round(float(chance)) for chance in side_by_side] == [2, 3, 4, 5, 2, 3, 4, 5, 4, 5]


def test_within_the_context_surprise_is_that_of_the_whole_text_at_once() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(20, 12, 8, layers=1, heads=2).eval()
    text = torch.randint(20, (13,))
    whole = nn.functional.cross_entropy(model(text[None, :-1])[0], text[1:], reduction="none")
    torch.testing.assert_close(token_surprise(model, text, 12).float(), whole.detach())


def test_perplexity_and_bits_have_closed_forms() -> None:
    even, counts = torch.full((6,), 10 * math.log(8.0)), torch.full((6,), 10)
    assert perplexity(even, counts)["value"] == pytest.approx(8.0)
    assert bits_per_byte(even, torch.full((6,), 15))["value"] == pytest.approx(2.0)  # 30 bits for 15 bytes
    nats, tokens = torch.tensor([10.0, 40.0]), torch.tensor([10, 10])
    assert perplexity(nats, tokens)["value"] == pytest.approx(math.exp(2.5))  # over tokens, no mean of perplexities
    sizes = torch.tensor([5, 45])
    assert bits_per_byte(nats, sizes)["value"] == pytest.approx(1 / math.log(2))


def test_the_interval_holds_the_figure_and_narrows_with_more_passages() -> None:
    nats = 10 + torch.randn(400, generator=torch.Generator().manual_seed(0))
    few, many = (perplexity(nats[:count], torch.full((count,), 5)) for count in (20, 400))
    for found in (few, many):
        assert found["low"] < found["value"] < found["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_passages_add_up_to_the_whole() -> None:
    for size in range(1, 30):
        values = torch.arange(float(size))
        parts = in_passages(values, 5)
        assert float(parts.sum()) == float(values.sum())
        counts = in_passages(torch.ones(size), 5)
        assert float(counts.sum()) == size
        assert size < 5 or float(counts.min()) >= 3
        assert float(counts.max()) <= 7


def test_bytes_are_counted_of_all_tokens_but_the_first() -> None:
    assert token_bytes(torch.tensor([3, 0, 2, 1]), [0, 1, 4, 9]).tolist() == [0.0, 4.0, 1.0]


def test_a_text_too_short_is_one_line() -> None:
    with pytest.raises(UserError, match="a text of 1 tokens came to be judged by; allowed: from 2"):
        token_surprise(Knows(), torch.tensor([1]), context=4)
