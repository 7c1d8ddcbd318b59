"""Charts and sections of speech: bars as long as their rates, dots where they belong, everything said in words too."""

from __future__ import annotations

import re

import pytest

from locution.evaluation.calibration import Bin
from locution.reporting import speech_sections
from locution.reporting.charts import WIDTH, scale
from locution.reporting.results import Table
from locution.reporting.speech_charts import HEAD, MARGIN, SIDE, SQUARE, kinds_chart, kinds_key, reliability_chart
from locution.reporting.speech_results import KindsOfError, SpeechFindings


def test_bars_are_as_long_as_the_rates_and_follow_each_other() -> None:
    rows = [KindsOfError("clean", 100, 5, 3, 2), KindsOfError("noise", 50, 20, 0, 5), KindsOfError("", 10, 0, 0, 0)]
    drawn = kinds_chart(rows, alt="errors")
    bars = [tuple(map(float, one)) for one in re.findall(r'<rect width="([\d.]+)".*? x="([\d.]+)"', drawn)]
    x = scale(0.0, 0.5 * 1.04, SIDE, WIDTH - SIDE)
    expected = [(0.05, 0.0), (0.03, 0.05), (0.02, 0.08), (0.4, 0.0), (0.1, 0.4)]
    assert len(bars) == 5, "no bar for none"
    for (wide, start), (share, before) in zip(bars, expected, strict=True):
        assert wide == pytest.approx(x(share) - x(0.0), abs=0.06)
        assert start == pytest.approx(x(before), abs=0.06)
    assert "clean: 5 taken for another word of 100" in drawn
    assert ">all<" in drawn
    assert kinds_key().count("<rect") == 3


def test_dots_stand_on_the_diagonal_where_confidence_is_right() -> None:
    drawn = reliability_chart([Bin(0.25, 0.25, 0.1, 0.4, 10), Bin(1.0, 0.5, 0.4, 0.6, 40)], alt="reliability")
    dots = [tuple(map(float, one)) for one in re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', drawn)]
    left, right = MARGIN, SQUARE - 10
    assert dots[0][0] == pytest.approx(left + 0.25 * (right - left), abs=0.06)
    low, high = SQUARE - MARGIN + HEAD, HEAD + 10
    assert dots[0][1] == pytest.approx(low + 0.25 * (high - low), abs=0.06)
    assert dots[1][0] == pytest.approx(right)
    assert dots[1][2] == 8.0, "the fullest bin has the largest dot"
    assert dots[0][2] == 5.5, "a quarter of the answers: half the reach"


def test_sections_are_left_out_where_there_is_nothing_to_show() -> None:
    assert speech_sections.shown(None) == []
    assert speech_sections.shown(SpeechFindings()) == [None] * 4
    only = SpeechFindings(words=[Table("Lost", ["word", "times"], []), Table("Made up", ["word"], [["<i>a</i>"]])])
    shown = [one for one in speech_sections.shown(only) if one is not None]
    assert [one.anchor for one in shown] == ["words"]
    assert "Lost" not in shown[0].body
    assert "&lt;i&gt;a&lt;/i&gt;" in shown[0].body


def test_charts_say_in_words_what_they_show() -> None:
    found = SpeechFindings(kinds=[KindsOfError('"<b>', 10, 1, 0, 0)], sureness=[Bin(0.9, 0.5, 0.4, 0.6, 3)])
    sections = {one.anchor: one.body for one in speech_sections.shown(found) if one is not None}
    assert "&quot;&lt;b&gt;: word error rate 0.100, 1 words taken for others" in sections["conditions"]
    assert "90 % sure, 50 % right" in sections["confidence"]
    assert "<b>:" not in sections["conditions"]
