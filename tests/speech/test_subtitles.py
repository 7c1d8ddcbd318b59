"""Subtitles against the rules of their formats."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from locution.errors import LocutionError, UserError
from locution.speech.subtitles import FORMATS, LINE, cues, srt, tsv, vtt, write_transcripts
from locution.speech.transcript import Segment, Transcript
from locution.speech.word_times import Word

NASTY = ["a --> b", "<b>&amp;</b>\n\n2", "tab\there", "ünï — 你好", "   ", "\r\n", "x" * 200, "1", "WEBVTT"]


def nasty(seed: int) -> Transcript:
    draw, time, segments = np.random.default_rng(seed), 0.0, []
    for _ in range(20):
        start = time + float(draw.uniform(-0.2, 3))
        words = []
        for _ in range(int(draw.integers(0, 30))):
            end = start + float(draw.uniform(0, 0.6))
            words.append(Word(str(draw.choice(["so", "it", "<i>", "-->", "goes"])), start, end))
            start = end + float(draw.choice([0.0, 0.1, 1.5]))
        text = " ".join(word.text for word in words) if words and draw.random() < 0.5 else str(draw.choice(NASTY))
        time = start
        segments.append(Segment(max(0.0, start - 1), start, text, words=tuple(words)))
    return Transcript(f"{seed}.wav", "...", time, segments=tuple(segments))


STAMP = r"(\d{2,}):([0-5]\d):([0-5]\d)[,.](\d{3})"


def seconds(stamp: str) -> float:
    hours, minutes, rest, thousandths = map(int, re.fullmatch(STAMP, stamp).groups())  # type: ignore[union-attr]
    return hours * 3600 + minutes * 60 + rest + thousandths / 1000


def check_times(times: list[tuple[str, str]]) -> None:
    last = 0.0
    for start, end in times:
        assert last <= seconds(start) < seconds(end)
        last = seconds(end)


@pytest.mark.parametrize("seed", range(10))
def test_srt_keeps_its_rules(seed: int) -> None:
    blocks = [block.splitlines() for block in srt(nasty(seed)).strip("\n").split("\n\n")]
    assert [block[0] for block in blocks] == [str(i + 1) for i in range(len(blocks))]
    times = [re.fullmatch(r"(\S+) --> (\S+)", block[1]).groups() for block in blocks]  # type: ignore[union-attr]
    assert all("," in start and "." not in start for start, _ in times)
    check_times(times)
    for block in blocks:
        assert len(block) >= 3
        assert all(line.strip() and "-->" not in line for line in block[2:])


@pytest.mark.parametrize("seed", range(10))
def test_vtt_keeps_its_rules(seed: int) -> None:
    first, *blocks = vtt(nasty(seed)).strip("\n").split("\n\n")
    assert first == "WEBVTT"
    rows = [block.splitlines() for block in blocks]
    check_times([re.fullmatch(r"(\S+) --> (\S+)", row[0]).groups() for row in rows])  # type: ignore[union-attr]
    for row in rows:
        assert len(row) >= 2
        assert not any("<" in line or ">" in line or re.search(r"&(?!amp;|lt;|gt;)", line) for line in row[1:])


@pytest.mark.parametrize("seed", range(10))
def test_a_table_reads_back(seed: int) -> None:
    one = nasty(seed)
    rows = list(csv.reader(tsv(one).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows[0] == ["start", "end", "text"]
    assert all(len(row) == 3 and int(row[0]) <= int(row[1]) for row in rows[1:])


def test_cues_end_at_pauses_and_fit_on_two_lines() -> None:
    words = tuple(Word("word", i * 0.4, i * 0.4 + 0.3) for i in range(100))
    found = cues([Segment(0.0, 40.0, "", words=words)])
    assert sum(text.count("word") for _, _, text in found) == 100
    assert all(end - start <= 7.0 and len(text) <= 2 * LINE for start, end, text in found)
    apart = cues([Segment(0, 9, "", words=(Word("a", 0, 1), Word("b", 1.7, 2), Word("c", 2.9, 3)))])
    assert [text for _, _, text in apart] == ["a b", "c"]


def test_a_cue_stands_for_some_time_and_a_table_counts_thousandths() -> None:
    once = tuple(Word(text, 1.0, 1.0) for text in ("a", "b"))
    ((start, end, _),) = cues([Segment(1.0, 1.0, "a b", words=once)])
    assert (start, end) == (1.0, pytest.approx(1.001))
    assert tsv(Transcript("a.wav", segments=(Segment(1.25, 2.5, "off"),))).splitlines()[1] == "1250\t2500\toff"


def test_files_are_written_under_their_recordings_names(tmp_path: Path) -> None:
    said = (Segment(0.0, 1.0, "off"),)
    answers = [
        Transcript(f"{d}/a.{e}", "off", 1.0, segments=said) for d, e in [("x", "wav"), ("y", "mp3"), ("z", "wav")]
    ]
    answers += [Transcript("b.wav", error="b.wav: is empty"), Transcript("c.wav", note="silence")]
    for kind in FORMATS:
        written = write_transcripts(answers, kind, tmp_path / kind)
        suffix = {"text": "txt"}.get(kind, kind)
        names = [f"{n}.{suffix}" for n in ("a", "a.mp3", "a.wav", "c")]
        assert [path.name for path in written] == names
        assert sorted(path.name for path in (tmp_path / kind).iterdir()) == sorted(names)
    assert json.loads((tmp_path / "json" / "a.json").read_text())["segments"][0]["text"] == "off"
    assert (tmp_path / "text" / "c.txt").read_text() == ""
    with pytest.raises(UserError, match=r"'str' is no format. Did you mean 'srt'\?"):
        write_transcripts(answers, "str", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(LocutionError, match="cannot be written"):
        write_transcripts(answers, "srt", tmp_path / "file")
