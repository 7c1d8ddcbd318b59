"""Words side by side: as few differences as there can be, each marked for what it is."""

from __future__ import annotations

import io
import random
import re

import pytest
from rich.console import Console

from locution.reporting.results import Metric, RunResults, Utterance
from locution.reporting.tables import print_metrics, print_transcriptions
from locution.reporting.words import aligned, coloured, errors, kind, pairs, ranked, rate


def sentence(rng: random.Random, longest: int = 9) -> str:
    return " ".join(rng.choice("abcde") for _ in range(rng.randrange(longest)))


def test_the_differences_are_as_few_as_the_word_error_rate_counts() -> None:
    levenshtein = pytest.importorskip("rapidfuzz.distance").Levenshtein
    rng = random.Random(0)
    for _ in range(500):
        said, written = sentence(rng), sentence(rng)
        found = pairs(said, written)
        assert sum(kind(pair) != "hit" for pair in found) == levenshtein.distance(said.split(), written.split())
        assert [a for a, _ in found if a is not None] == said.split()
        assert [b for _, b in found if b is not None] == written.split()
        assert (None, None) not in found


def test_among_equals_the_most_hits_win() -> None:
    assert [kind(pair) for pair in pairs("turn the light on", "turn lights on now")].count("hit") == 2


def test_the_worst_comes_first_and_of_equals_the_longest() -> None:
    one = Utterance("one", "a b", "a b")
    listed = [
        one,
        Utterance("two", "a b c", "a b c"),
        Utterance("three", "a", "x y"),
        Utterance("four", "a b", "a"),
    ]
    assert [u.name for u in ranked(listed)] == ["three", "four", "two", "one"]
    assert rate(Utterance("none", "", "made up")) == 2.0
    assert errors("", "") == 0


def test_html_marks_each_kind_and_says_so() -> None:
    drawn = aligned("turn the light on", "turn lights on now")
    kinds = re.findall(r'class="pair (\w+)"', drawn)
    assert kinds == ["hit", "deletion", "substitution", "hit", "insertion"]
    assert 'title="lost"' in drawn
    assert "nothing was said" in aligned("", "")


def test_signs_say_without_colour_what_colour_says() -> None:
    said, written = coloured("turn the light on", "turn lights on now", signs=False)
    assert (said.plain, written.plain) == ("turn the light on", "turn lights on now")
    assert [str(span.style) for span in said.spans] == ["bold red strike", "bold yellow"]


def show(terminal: bool, utterances: list[Utterance], count: int = 10, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, color_system="standard" if terminal else None)
    print_transcriptions(utterances, count, console)
    return file.getvalue()


def test_ten_transcriptions_stand_under_their_references() -> None:
    utterances = [Utterance(f"{n}", f"said {n}", f"said {n}" if n % 2 else f"heard {n}") for n in range(12)]
    plain = show(False, utterances)
    assert plain.count("said  ") == 10 + 0 * len(plain)
    assert "{said} 0" in plain
    assert "{heard} 0" in plain
    assert "said 11" not in plain
    assert "\x1b" not in plain
    assert "\x1b[" in show(True, utterances)
    assert "{" not in show(True, utterances)


def test_silence_is_said_to_be_silence() -> None:
    assert "(nothing)" in show(False, [Utterance("u", "stop", "")])


@pytest.mark.parametrize("odd", ["[red]x[/red]", "[/]", "\x1b[31mred", "[link=http://evil.example]x"])
def test_a_transcript_cannot_colour_the_terminal(odd: str) -> None:
    plain = show(False, [Utterance("u", odd, "y")], width=200)
    assert odd.replace("\x1b", "") in plain.replace("{", "").replace("}", "").replace("\x1b", "")
    assert "\x1b[31m" not in show(True, [Utterance("u", odd, odd)], width=200)


def test_metrics_stand_with_their_intervals() -> None:
    file = io.StringIO()
    metrics = [
        Metric("wer", 0.12, 0.1, 0.14, label="word error [rate]", note="512 utterances"),
        Metric("b", float("nan")),
    ]
    print_metrics(RunResults("speech", metrics=metrics), Console(file=file, width=100))
    out = file.getvalue()
    assert "word error [rate]" in out
    assert "[0.100, 0.140]" in out
    assert "512 utterances" in out
    assert re.search(r"^b\s+–", out, re.MULTILINE)
