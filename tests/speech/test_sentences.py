"""Sentences: repeatable, lower-case, kept apart by split; words take their forms."""

from __future__ import annotations

import re

import pytest

from locution.errors import UserError
from locution.speech.sentences import KINDS, SPLITS, fits, grammar, sentence, slot, split_of
from locution.speech.words import plural, spell_number, spell_ordinal, verb_forms, word_classes


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_is_plain_words_of_its_own_split(kind: str) -> None:
    for split in SPLITS:
        for index in range(40):
            text = sentence(3, split, index, kind)
            assert re.fullmatch(r"[a-z']+( [a-z']+)*", text)
            assert split_of(text) == split
            assert fits(kind, text)


def test_the_same_arguments_give_the_same_sentence_and_others_another() -> None:
    assert sentence(0, "train", 7) == sentence(0, "train", 7)
    first = [sentence(0, "train", index) for index in range(200)]
    assert len(set(first)) > 190
    assert first != [sentence(1, "train", index) for index in range(200)]


def test_no_sentence_is_in_two_splits_in_whatever_order() -> None:
    kept = {split: {tuple(sorted(sentence(0, split, i).split())) for i in range(400)} for split in SPLITS}
    assert not kept["train"] & kept["test"]
    assert not kept["train"] & kept["dev"]
    assert not kept["dev"] & kept["test"]


def test_about_an_eighth_of_the_commands_is_out_of_order() -> None:
    begins = {choice[0].split()[0] for rule in grammar("commands").values() for choice in rule}
    begins |= {word for words in word_classes().values() for word in words}  # slots may begin a sentence
    assert begins
    thanks = [
        t for t in (sentence(0, "train", i) for i in range(3000)) if {"happy", "birthday", "day"} <= set(t.split())
    ]
    shuffled = sum(not text.startswith("happy birthday") for text in thanks)
    assert 0.02 < shuffled / len(thanks) < 0.35


def test_every_slot_of_the_grammars_can_be_filled() -> None:
    import random

    for name in ("commands", "everyday"):
        rules = grammar(name)
        for choices in rules.values():
            for choice in choices:
                for piece in choice:
                    assert "{" not in slot(rules, piece, random.Random(0))


def test_wrong_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'commands'"):
        sentence(0, "train", 0, "command")
    with pytest.raises(UserError, match="Did you mean 'test'"):
        sentence(0, "tests", 0)


@pytest.mark.parametrize(
    ("number", "spoken", "nth"),
    [
        (8, "eight", "eighth"),
        (12, "twelve", "twelfth"),
        (40, "forty", "fortieth"),
        (101, "one hundred one", "one hundred first"),
        (9999, "nine thousand nine hundred ninety nine", "nine thousand nine hundred ninety ninth"),
    ],
)
def test_numbers_are_spelt_as_spoken(number: int, spoken: str, nth: str) -> None:
    assert spell_number(number) == spoken
    assert spell_ordinal(number) == nth


def test_words_take_their_forms() -> None:
    assert [plural(noun) for noun in ("glass", "boy", "lady", "stomach", "knife", "tooth")] == [
        "glasses", "boys", "ladies", "stomachs", "knives", "teeth",
    ]  # fmt: skip
    assert verb_forms("die") == ("die", "dies", "died", "died", "dying")
    assert verb_forms("open") == ("open", "opens", "opened", "opened", "opening")
    assert verb_forms("grab") == ("grab", "grabs", "grabbed", "grabbed", "grabbing")
    assert verb_forms("run_ran_run")[4] == "running"
    assert verb_forms("agree") == ("agree", "agrees", "agreed", "agreed", "agreeing")
    assert verb_forms("have_had_had") == ("have", "has", "had", "had", "having")
    assert verb_forms("be_was_been")[4] == "being"


def test_the_word_list_holds_plain_words_and_enough_of_them() -> None:
    classes = word_classes()
    assert all(re.fullmatch(r"[a-z']+", word) for words in classes.values() for word in words)
    assert len(set(classes["ANY"])) > 5000
    assert not any(re.search(r"(.)\1\1", word) for word in classes["ANY"])
