"""What a user asks of a transcription, and what comes of it: codes, lists, files, blocks that are too many."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from locution.errors import LocutionError, UserError
from locution.speech import asked, microphone
from locution.speech.asked import Wishes, deliver, stream_words
from locution.speech.hear import Heard
from locution.speech.transcribe import show, stream, transcripts
from locution.speech.transcript import Segment, Transcript
from locution.speech.voice_activity import Cutting

GOOD = Transcript("a.wav", "off", 1.0, segments=(Segment(0.0, 1.0, "off"),))
BAD = [Transcript(f"{name}.wav", error=f"{name}.wav: is empty") for name in ("b", "c")]


@pytest.mark.parametrize("form", ["", "json", "srt"])
def test_one_bad_file_is_named_and_makes_the_code_one(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show([GOOD], form=form) == 0
    assert show([GOOD, BAD[0], GOOD], form=form) == 1
    said = capsys.readouterr()
    assert said.out.count("off") >= 3
    assert "b.wav: is empty" in (said.out if form == "json" else said.err)
    assert "could not be heard" not in said.err  # one is named where it fails
    assert show([BAD[0], GOOD, BAD[1]], form=form) == 1
    assert "2 files could not be heard: b.wav, c.wav" in capsys.readouterr().err


def test_what_is_heard_is_written_into_the_folder_and_what_is_not_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver([GOOD, *BAD], Wishes(form="srt", output=str(tmp_path / "said"))) == 1
    assert [path.name for path in (tmp_path / "said").iterdir()] == ["a.srt"]
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'said' / 'a.srt'}\n"
    assert "2 files could not be heard: b.wav, c.wav" in said.err
    assert deliver([GOOD], Wishes(output=str(tmp_path / "said"))) == 0
    assert (tmp_path / "said" / "a.txt").read_text() == "off\n"


def counted(asked_for: list[float]) -> Any:
    def write(pieces: Sequence[np.ndarray]) -> list[Heard]:
        asked_for.append(sum(map(len, pieces)) / 16000)
        return [Heard(f"{len(piece) / 16000:.1f}") for piece in pieces]

    return write


def test_pieces_wait_for_one_another_only_so_long_and_each_file_comes_when_it_is_done(tmp_path: Path) -> None:
    """Never more than `together` seconds and one piece wait, however many files there are."""
    draw, times = np.random.default_rng(0), []
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", 0.2 * draw.standard_normal(16000 * 3), 16000)
    given: list[float] = []
    for answer in stream([tmp_path], counted(given), Cutting(whole=6.0), together=5.0):
        assert answer.text
        times.append(len(given))
    assert max(given) <= 5.0 + 3.0
    assert times == [1, 1, 2, 2, 3, 3]  # not all at the end


def test_a_file_that_breaks_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.2 * np.random.default_rng(0).standard_normal(16000), 16000)
    (tmp_path / "b.wav").write_bytes(b"junk")
    one, two, three = transcripts([tmp_path / "b.wav", tmp_path / "a.wav", tmp_path / "c.wav"], counted([]))
    assert (bool(one.error), two.text, bool(three.error)) == (True, "1.0", True)


def test_silence_is_not_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(32000, 1e-6, np.float32), 16000, subtype="FLOAT")
    monkeypatch.setattr(asked, "write_words", lambda *_, **__: pytest.fail("silence was written down"))
    recogniser: Any = SimpleNamespace(encoder=None)
    assert list(stream_words(recogniser, str(tmp_path / "a.wav"))) == []


class Line:
    """A microphone that gives `blocks` blocks before anybody takes one."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks

    def __call__(self, rate: int, size: int, device: Any, channels: int, kind: str, callback: Any) -> Line:
        self.size, self.callback = size, callback
        return self

    def __enter__(self) -> Line:
        for number in range(self.blocks):
            self.callback(np.full((self.size, 1), number, np.float32), self.size, None, None)
        return self

    def __exit__(self, *_: Any) -> None:
        pass


def started(line: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    port = SimpleNamespace(InputStream=line, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", port)
    return microphone.microphone()


def test_a_slow_machine_loses_sound_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = started(Line(microphone.LATE + 50), monkeypatch)
    found = [next(blocks) for _ in range(microphone.LATE)]
    assert [block[0] for block in found] == list(range(microphone.LATE))
    assert all(block.shape == (1600,) and block.dtype == np.float32 for block in found)


def test_a_microphone_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("Error querying device -1\nand more")

    with pytest.raises(LocutionError, match=r"no microphone answers \(Error querying device -1\)\.$"):
        next(started(broken, monkeypatch))


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    show([GOOD], as_json=True)
    assert json.loads(capsys.readouterr().out)["segments"] == [
        {"start": 0.0, "end": 1.0, "text": "off", "confidence": 1.0, "words": [], "note": ""}
    ]
    with pytest.raises(UserError, match="came with"):
        Wishes(microphone=True).check(["a.wav"])
