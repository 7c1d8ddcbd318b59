"""Differences and intervals of word error rates against what can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from locution.errors import UserError
from locution.speech.breakdown import broken_down, by_length, rows_of
from locution.speech.calibrated import surest, transcript_probability
from locution.speech.generate import Written
from locution.speech.paired import paired_difference
from locution.speech.wer import Table, by_speaker, error_table, rate_of


def table(words: list[int], errors: list[int]) -> Table:
    zeros = [0] * len(words)
    return np.array([words, errors, zeros, zeros]).T


def test_pairing_takes_out_what_is_hard_for_both() -> None:
    draw = np.random.default_rng(0)
    words = draw.integers(5, 15, 400)
    hard = draw.integers(0, 5, 400)  # what both get wrong
    more = draw.random(400) < 0.2  # what the second gets wrong besides
    one, other = table(words.tolist(), hard.tolist()), table(words.tolist(), (hard + more).tolist())
    found = paired_difference(one, other)
    assert found.value == pytest.approx(-more.sum() / words.sum())
    assert found.one == pytest.approx(hard.sum() / words.sum())
    assert found.other - found.one == pytest.approx(-found.value)
    deviation = np.sqrt(400) * (more - more.sum() / words.sum() * words).std() / words.sum()  # linearised ratio
    assert found.high - found.low == pytest.approx(2 * 1.96 * deviation, rel=0.08)
    alone = rate_of(one, samples=2000)
    assert (alone.high - alone.low) > 3 * (found.high - found.low)
    assert found.clear
    assert found.lower == 1.0
    assert (found.fewer, found.more, found.equal) == (more.sum(), 0, 400 - more.sum())
    back = paired_difference(other, one)
    assert (back.value, back.lower, back.more) == (-found.value, 0.0, more.sum())


def test_equal_runs_differ_in_nothing() -> None:
    same = table([4, 5, 6], [1, 0, 2])
    found = paired_difference(same, same)
    assert (found.value, found.low, found.high, found.lower, found.equal) == (0.0, 0.0, 0.0, 0.5, 3)
    assert not found.clear


def test_other_utterances_are_refused() -> None:
    for other in (table([4, 5], [0, 0]), table([4, 5, 7], [0, 0, 0])):
        with pytest.raises(UserError, match="different utterances"):
            paired_difference(table([4, 5, 6], [0, 0, 0]), other)
    with pytest.raises(UserError, match="hold no word"):
        paired_difference(table([0], [1]), table([0], [0]))


def test_speakers_that_differ_widen_the_interval_as_much_as_they_are_fewer() -> None:
    speakers = [f"s{number // 25}" for number in range(2000)]  # 80 speakers, each with 0 to 3 of 8 words wrong
    errors = [(number // 25) % 4 for number in range(2000)]
    found = rate_of(table([8] * 2000, errors), speakers=speakers, samples=4000)
    assert found.by_speaker is not None
    utterance, speaker = found.high - found.low, found.by_speaker[1] - found.by_speaker[0]
    assert speaker / utterance == pytest.approx(25**0.5, rel=0.08)  # 25 utterances of a speaker count as one
    assert speaker == pytest.approx(2 * 1.96 * 1.25**0.5 / 8 / 80**0.5, rel=0.08)  # the variance of 0 to 3 is 1.25


def test_speakers_who_are_not_known_give_no_interval() -> None:
    for speakers in (None, ["a", "a"], ["a", ""]):
        assert rate_of(table([4, 5], [1, 0]), speakers=speakers).by_speaker is None
    assert by_speaker(np.array([[1.0], [2.0], [4.0]]), ["b", "a", "b"]).tolist() == [[2.0], [5.0]]


def test_draws_without_a_word_break_nothing() -> None:
    found = rate_of(table([0, 0, 0, 2], [1, 0, 0, 1]))
    assert found.value == 1.0
    assert np.isfinite([found.low, found.high]).all()
    assert rate_of(table([4], [1]), samples=1).low == 0.25  # too few draws: no interval


def test_breakdowns_add_up_to_the_whole() -> None:
    draw = np.random.default_rng(1)
    whole = table(draw.integers(0, 9, 60).tolist(), draw.integers(0, 4, 60).tolist())
    keys = [str(key) for key in draw.integers(0, 5, 60)]
    parts = broken_down(whole, rows_of(keys), samples=0)
    assert sum(part.counts.words for part in parts.values()) == whole[:, 0].sum()
    seconds = [1.0, 3.0, 3.5, 40.0, 0.0]
    found = by_length(table([1, 2, 3, 4, 5], [1, 0, 3, 0, 0]), seconds, samples=0)
    assert {name: rate.value for name, rate in found.items()} == {"under 2 s": 1.0, "2 to 4 s": 0.6, "15 s and more": 0}


def test_the_surest_are_kept_by_confidence_alone() -> None:
    errors = error_table(["a b", "c d", "e f", "g h"], ["a b", "c x", "y z", "g h"])
    assert surest(errors, [0.9, 0.5, 0.1, 0.8], [1.0, 0.75, 0.5, 0.01]) == [
        (1.0, 3 / 8),
        (0.75, 1 / 6),
        (0.5, 0),
        (0.01, 0),
    ]
    assert transcript_probability(Written("a", "limit", 2, 0.5)) == 0.25  # no end mark was written
    assert transcript_probability(Written("", "end", 0, 0.5)) == 0.5
