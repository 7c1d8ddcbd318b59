"""Recordings of minutes and of an hour: memory does not grow with them, and times run from their beginning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from locution.errors import LocutionError, UserError
from locution.speech import asked, microphone
from locution.speech.asked import Wishes, answer, print_words, stream_words
from locution.speech.encoder import EncoderConfig, SpeechEncoder
from locution.speech.frozen import load_language_model
from locution.speech.hear import write_audio, write_words
from locution.speech.hotwords import Hotwords, parse
from locution.speech.no_speech import anybody_speaks
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.recogniser import Recogniser, embedding_scale
from locution.speech.transcribe import transcribing
from locution.speech.voice_activity import Cutting

GROWTH = """
import resource, sys, numpy as np, soundfile, torch
from locution.speech.encoder import EncoderConfig, SpeechEncoder
from locution.speech.hear import spell_audio
from locution.speech.transcribe import transcripts
torch.manual_seed(0)
encoder = SpeechEncoder(EncoderConfig(width=32, heads=2, blocks=2, stem=16, feed_forward=32)).eval()
second = 0.3 * np.sin(np.arange(16000) / 3) * np.abs(np.sin(np.pi * 4 * np.arange(16000) / 16000))
second = (second * (np.arange(16000) < 11000)).astype(np.float32)
peaks = []
for minutes in map(int, sys.argv[2:]):
    with soundfile.SoundFile(sys.argv[1], "w", 16000, 1, format="FLAC") as file:
        for _ in range(minutes):
            file.write(np.tile(second, 60))
    (one,) = transcripts([sys.argv[1]], lambda pieces: spell_audio(encoder, pieces))
    assert not one.error and abs(one.seconds - 60 * minutes) < 0.1
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(*peaks)
"""


def growth(folder: Path, *minutes: int) -> int:
    """Transcribe recordings of so many minutes in a process of its own; give how many MB the last one added."""
    words = [sys.executable, "-c", GROWTH, str(folder / "long.flac"), *map(str, minutes)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *_, last = map(int, done.stdout.split())
    return last - first


def test_ten_minutes_cost_no_more_memory_than_four(tmp_path: Path) -> None:
    assert growth(tmp_path, 4, 10) <= 40


@pytest.mark.long
def test_an_hour_costs_no_more_memory_than_five_minutes(tmp_path: Path) -> None:
    assert growth(tmp_path, 5, 60) <= 100


@pytest.fixture
def recogniser(smollm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    """A random recogniser whose encoder is sure of every letter, so that everything counts as speech."""
    torch.manual_seed(2)
    encoder = SpeechEncoder(EncoderConfig(width=24, heads=2, blocks=1, stem=8, feed_forward=16)).eval()
    with torch.no_grad():
        encoder.head.weight.mul_(60)
    model, tokenizer = load_language_model(smollm_folder)
    projector = MLPProjector(24, 32, gain=embedding_scale(model), stack=8)
    return Recogniser(projector, model, tokenizer, encoder=encoder).eval()


def talk(path: Path, seconds: int, seed: int = 0) -> Path:
    t = np.arange(16000 * seconds) / 16000
    sound = np.random.default_rng(seed).normal(0, 0.2, len(t)) * (t % 3 > 1) * np.abs(np.sin(np.pi * 4 * t))
    soundfile.write(path, sound, 16000)
    return path


def test_pieces_of_many_files_together_are_each_what_they_are_alone(recogniser: Recogniser, tmp_path: Path) -> None:
    paths = [talk(tmp_path / f"{n}.flac", seconds, n) for n, seconds in enumerate((13, 4, 7))]
    together = list(transcribing(recogniser, paths, batch_size=3))
    for path, one in zip(paths, together, strict=True):
        (alone,) = transcribing(recogniser, [path], batch_size=1)
        assert alone.text == one.text != ""
        assert [s.text for s in alone.segments] == [s.text for s in one.segments]
        assert one.confidence == pytest.approx(alone.confidence, abs=1e-3)
    starts = [segment.start for segment in together[0].segments]
    assert starts == pytest.approx([1, 4, 7, 10], abs=0.25)
    for segment in together[0].segments:
        assert " ".join(word.text for word in segment.words) == segment.text
        last = segment.start
        for word in segment.words:
            assert last - 0.001 <= word.start <= word.end <= segment.end + 0.05
            last = word.start


def test_words_that_stream_are_those_that_are_written(recogniser: Recogniser, tmp_path: Path) -> None:
    path = talk(tmp_path / "a.flac", 10)
    (one,) = transcribing(recogniser, [path])
    streamed = [list(words) for words in stream_words(recogniser, str(path))]
    assert len(streamed) == len(one.segments)
    for words, segment in zip(streamed, one.segments, strict=True):
        assert words[: len(segment.words)] == segment.text.split()


def test_files_that_cannot_be_heard_do_not_stop_a_stream(
    recogniser: Recogniser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.wav").write_bytes(b"junk")
    assert print_words(recogniser, [str(tmp_path / "b.wav"), str(talk(tmp_path / "c.wav", 4))]) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") >= 3
    assert said.err.startswith("error: ")


def test_noise_without_a_clear_letter_is_nothing(recogniser: Recogniser) -> None:
    sound = np.random.default_rng(0).normal(0, 0.2, 32000).astype(np.float32)
    assert write_audio(recogniser, [sound])[0].text
    assert list(write_words(recogniser, sound))
    encoder: Any = recogniser.encoder
    with torch.no_grad():
        encoder.head.weight.zero_()
    assert write_audio(recogniser, [sound])[0].text == ""
    assert list(write_words(recogniser, sound)) == []
    assert write_audio(recogniser, []) == []
    sure = np.log(np.eye(29, dtype=np.float32)[[0, 5, 0, 6, 0, 7]] * 0.9 + 0.003)
    assert anybody_speaks(sure)
    assert not anybody_speaks(sure[:3])  # one letter alone is chance


def test_a_hotword_is_written_where_it_was_close(recogniser: Recogniser) -> None:
    sound = np.random.default_rng(0).normal(0, 0.2, 32000).astype(np.float32)
    plain = write_audio(recogniser, [sound])[0].text
    word = next(word for word in ("one", "nine", "turn", "off") if word not in plain.split()[:1])
    drawn = write_audio(recogniser, [sound], bias=Hotwords([word], recogniser.tokenizer, weight=20.0))[0].text
    assert drawn.split()[0] == word
    assert write_audio(recogniser, [sound], bias=Hotwords([word], recogniser.tokenizer, weight=0.0))[0].text == plain
    with pytest.raises(UserError, match="parted by commas"):
        parse(" , ")


def test_the_microphone_is_written_down_as_it_comes(
    recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    t = np.arange(16000 * 7) / 16000
    sound = np.random.default_rng(1).normal(0, 0.2, len(t)) * (t % 3 > 1) * np.abs(np.sin(np.pi * 4 * t))
    monkeypatch.setattr(asked, "microphone", lambda: iter(np.split(sound.astype(np.float32), 70)))
    assert answer(lambda: recogniser, [], Wishes(microphone=True)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_microphone_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match="pip install sounddevice"):
        next(microphone.microphone())


@pytest.mark.parametrize(
    ("wishes", "files", "says"),
    [
        ({"form": "str"}, ["a"], "Did you mean 'srt'"),
        ({"stream": True, "form": "srt"}, ["a"], "have no format"),
        ({"microphone": True}, ["a.wav"], "came with a.wav"),
        ({}, [], "without a file"),
    ],
)
def test_wishes_that_cannot_be(wishes: dict[str, Any], files: list[str], says: str) -> None:
    with pytest.raises(LocutionError, match=says):
        answer(lambda: pytest.fail("loaded in vain"), files, Wishes(**wishes))
    assert Cutting().longest == 20.0
