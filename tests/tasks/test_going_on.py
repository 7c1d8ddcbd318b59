"""Texts that come piece by piece: together they are the whole, letters come when they are whole."""

from __future__ import annotations

import pytest
import torch

from locution.data.byte_pairs import Tokenizer
from locution.models.language_model import LanguageTransformer
from locution.tasks import going_on
from locution.tasks.abilities import Generation
from locution.tasks.going_on import letters_drawn, went_on


def model() -> LanguageTransformer:
    torch.manual_seed(0)
    return LanguageTransformer(258, context=8, width=16, layers=1, heads=2).eval()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_pieces_are_the_whole_text(place: int) -> None:
    wishes = Generation(length=60, temperature=3.0)
    pieces = list(letters_drawn(model(), Tokenizer([]), "a", wishes, place))
    assert len(pieces) > 10
    assert "".join(pieces) == went_on(model(), Tokenizer([]), "a", wishes, place)
    assert went_on(model(), Tokenizer([]), "a", wishes, place) != went_on(
        model(), Tokenizer([]), "a", wishes, place + 1
    )


def test_a_letter_comes_when_it_is_whole_and_a_broken_one_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer([])
    drawn = [*tokenizer.encode("é\x1b🙂"), tokenizer.encode("é")[0]]
    monkeypatch.setattr(going_on, "going_on", lambda *_, **__: iter(drawn))
    odd = "\N{REPLACEMENT CHARACTER}"
    assert list(letters_drawn(model(), tokenizer, "", Generation(), 0)) == ["é", odd, "🙂", odd]


def test_pieces_come_while_others_are_not_yet_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(*_: object, **__: object) -> object:
        yield 99
        raise AssertionError("the second was drawn before the first was handed out")

    monkeypatch.setattr(going_on, "going_on", drawn)
    assert next(letters_drawn(model(), Tokenizer([]), "", Generation(), 0)) == "a"
