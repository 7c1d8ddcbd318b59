"""Texts to repeat: of the wanted kind and length, and the same for the same draw."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from locution.errors import UserError
from locution.speech.babble import SHARES, Texts, fill, shuffled

SENTENCES = ["go home", "turn on the light", "what a lovely day it is today"]


def test_kinds_come_in_their_shares() -> None:
    draw = random.Random(0)
    texts = Texts(SENTENCES)
    drawn = [texts.draw(draw, 29) for _ in range(4000)]
    whole, silent = drawn.count(SENTENCES[2]), drawn.count("")
    # three standard errors; a shuffle gives the sentence itself about never
    assert abs(whole / 4000 - SHARES["sentence"]) < 3 * (0.6 * 0.4 / 4000) ** 0.5
    assert abs(silent / 4000 - SHARES["silence"]) < 3 * (0.04 * 0.96 / 4000) ** 0.5
    scrambled = sum(Counter(text.split()) == Counter(SENTENCES[2].split()) for text in drawn) - whole
    assert abs(scrambled / 4000 - SHARES["shuffled"]) < 3 * (0.14 * 0.86 / 4000) ** 0.5


@pytest.mark.parametrize("kind", ["babble", "letters", "word"])
def test_made_up_texts_keep_to_the_length(kind: str) -> None:
    texts = Texts(SENTENCES)
    for seed in range(200):
        text = texts.draw(random.Random(seed), 20, kind)
        assert 1 <= len(text) <= 20
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz' ")
        assert text == text.strip() == texts.draw(random.Random(seed), 20, kind)


@pytest.mark.parametrize(
    ("length", "allowed"),
    [(1, {"go home"}), (8, {"go home"}), (20, {"turn on the light"}), (500, {SENTENCES[2]})],
)
def test_a_sentence_of_about_the_length_is_found(length: int, allowed: set[str]) -> None:
    texts = Texts(SENTENCES)
    assert {texts.near(random.Random(seed), length) for seed in range(20)} == allowed


def test_shuffling_keeps_the_words() -> None:
    assert Counter(shuffled("a b c d e f", random.Random(0)).split()) == Counter("abcdef")


def test_a_first_word_that_is_too_long_is_cut() -> None:
    assert fill(lambda draw: "abcdef", random.Random(0), 4) == "abcd"


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match="sentences"):
        Texts([])
    with pytest.raises(UserError, match="songs"):
        Texts(SENTENCES, {"songs": 1.0})
