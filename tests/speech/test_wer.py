"""Word error rate against a plain dynamic programme."""

from __future__ import annotations

import random

import pytest

from locution.errors import UserError
from locution.speech.confusions import confusions, homophone_errors
from locution.speech.homophones import homophones
from locution.speech.normalise import normalise
from locution.speech.wer import WordErrors, align, word_error_rate, word_errors


def distance(said: list[str], written: list[str]) -> int:
    """Wagner and Fischer's recurrence, as written in the paper."""
    table = [[0] * (len(written) + 1) for _ in range(len(said) + 1)]
    for i in range(len(said) + 1):
        for j in range(len(written) + 1):
            if not i or not j:
                table[i][j] = i + j
                continue
            change = table[i - 1][j - 1] + (said[i - 1] != written[j - 1])
            table[i][j] = min(change, table[i - 1][j] + 1, table[i][j - 1] + 1)
    return table[-1][-1]


def sentences(seed: int) -> tuple[str, str]:
    draw = random.Random(seed)
    return tuple(" ".join(draw.choices("abcde", k=draw.randint(0, 12))) for _ in range(2))


@pytest.mark.parametrize("seed", range(200))
def test_equals_the_dynamic_programme(seed: int) -> None:
    said, written = sentences(seed)
    found = word_errors(said, written)
    assert found.errors == distance(said.split(), written.split())
    assert found.words == len(said.split())
    assert found.words - found.deletions + found.insertions == len(written.split())


@pytest.mark.parametrize("seed", range(50))
def test_the_alignment_reads_as_both_sentences_and_has_as_many_errors(seed: int) -> None:
    said, written = sentences(seed)
    pairs = align(said, written)
    assert " ".join(p.said for p in pairs if p.said is not None) == said
    assert " ".join(p.written for p in pairs if p.written is not None) == written
    kinds = [pair.kind for pair in pairs]
    counts = WordErrors(
        len(said.split()), kinds.count("substitution"), kinds.count("deletion"), kinds.count("insertion")
    )
    assert counts == word_errors(said, written)


def test_the_rate_of_a_corpus_weighs_by_words() -> None:
    result = word_error_rate(["a b c d e f g h i", "j"], ["a b c d e f g h i", "k"])
    assert result.value == pytest.approx(1 / 10)  # not the mean of 0 and 1
    assert result.low <= result.value <= result.high
    assert [one.errors for one in result.utterances] == [0, 1]


def test_the_interval_narrows_as_one_over_the_root_of_the_number() -> None:
    def width(repeats: int) -> float:
        found = word_error_rate(["a b", "c d"] * repeats, ["a b", "c x"] * repeats, samples=2000)
        return found.high - found.low

    assert width(50) / width(800) == pytest.approx(4.0, rel=0.15)
    expected = 2 * 1.96 * 0.25 / 1600**0.5  # each utterance's rate is 0 or 1/2, deviation 1/4
    assert width(800) == pytest.approx(expected, rel=0.1)


def test_both_sides_are_normalised_and_empty_transcripts_count() -> None:
    assert word_error_rate(["Don't stop!"], ["don’t stop"]).value == 0.0
    assert word_error_rate(["one two"], [""]).counts == WordErrors(2, 0, 2, 0)
    assert word_error_rate(["one", ""], ["one", "two three"]).value == 2.0
    with pytest.raises(UserError, match="2 references came with 1"):
        word_error_rate(["a", "b"], ["a"])
    with pytest.raises(UserError, match="hold no word"):
        word_error_rate(["", "..."], ["a", ""])


def test_confusions_and_homophones() -> None:
    said, written = ["come here now", "two cats", "a b"], ["come hear now", "to hats", "a"]
    assert confusions(said, written) == {("here", "hear"): 1, ("two", "to"): 1, ("cats", "hats"): 1}
    assert homophone_errors(said, written) == {("here", "hear"): 1, ("two", "to"): 1}
    assert homophones("through", "threw")
    assert not homophones("lead", "red")  # groups do not merge through a word with two sounds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("rock 'n' roll", "rock n roll"),
        ("the dogs' tails", "the dogs tails"),
        ("it’s", "it's"),
        ("twenty-one", "twenty one"),
        ("snake_case  \t\n x", "snake case x"),
        ("ﬁne Å", "fine å"),
        ("", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected
    assert normalise(expected) == expected  # a second time changes nothing
