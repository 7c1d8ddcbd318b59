"""Damaged sound files of every format: each gives sound or one clear line, in bounded memory and time."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from locution.errors import LocutionError
from locution.speech.audio import audio_blocks
from locution.speech.hear import Heard
from locution.speech.transcribe import show, transcripts

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
}
FORMATS |= {"opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III"), "aiff": ("AIFF", "PCM_16")}
FORMATS |= {"au": ("AU", "PCM_16"), "caf": ("CAF", "PCM_16"), "w64": ("W64", "PCM_16")}
BIG = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 1 << 30]


def seeds() -> dict[str, bytes]:
    """One small valid file of each format."""
    sound = (0.2 * np.sin(np.arange(4800) / 5)).astype(np.float32)
    found = {}
    for name, (form, subtype) in FORMATS.items():
        buffer = io.BytesIO()
        soundfile.write(buffer, sound, 48000 if name == "opus" else 16000, subtype, format=form)
        found[name] = buffer.getvalue()
    return found | films(sound)


def films(sound: np.ndarray) -> dict[str, bytes]:
    """The same in containers that only PyAV reads."""
    av = pytest.importorskip("av")
    found = {}
    for name, form, codec in [("m4a", "ipod", "aac"), ("webm", "webm", "libopus"), ("wma", "asf", "wmav2")]:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=form) as container:
            stream = container.add_stream(codec, rate=48000, layout="mono")
            stream.bit_rate = 64_000
            size = stream.codec_context.frame_size or 960
            for start in range(0, len(sound) // 960 * 960, size):
                part = np.ascontiguousarray(sound[None, start : start + size])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.rate, frame.pts = 48000, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        found[name] = buffer.getvalue()
    return found


def harm(data: bytes, draw: np.random.Generator) -> bytes:
    """Damage a file in one of a dozen ways."""
    whole, size = bytearray(data), len(data)
    kind = int(draw.integers(12))
    head = int(draw.integers(0, min(size, 128) - 4))
    if kind == 0:  # cut off
        return data[: int(draw.integers(0, size))]
    if kind == 1:  # a few bits fall over, anywhere
        for at in draw.integers(0, size, int(draw.integers(1, 20))):
            whole[at] ^= 1 << int(draw.integers(8))
    elif kind == 2:  # or in the header
        for at in draw.integers(0, min(size, 64), int(draw.integers(1, 6))):
            whole[at] = int(draw.integers(256))
    elif kind in (3, 4):  # the header claims huge or tiny sizes
        whole[head : head + 4] = struct.pack("<I" if kind == 3 else ">I", int(draw.choice(BIG)))
    elif kind == 5:  # a stretch is missing
        del whole[head : head + int(draw.integers(1, 400))]
    elif kind == 6:  # or comes twice
        whole[head:head] = whole[head : head + int(draw.integers(1, 400))]
    elif kind == 7:  # or is something else
        at = int(draw.integers(0, size))
        whole[at : at + 200] = draw.bytes(200)
    elif kind == 8:
        return bytes([b"", b"\0" * 4096, b"this is a text\n" * 40, draw.bytes(3000)][int(draw.integers(4))])
    elif kind == 9:  # numbers that are none, at the end, where a float WAV has its samples
        values = [np.nan, np.inf, -np.inf, 1e38]
        whole[-400:] = struct.pack("<100f", *draw.choice(values, 100))
    elif kind == 10:  # the head of one format before the body of itself, shifted
        whole = whole[: head + 4] + whole[head:]
    else:  # two files in one
        whole += data
    return bytes(whole)


def damaged(folder: Path, count: int) -> list[Path]:
    """Write so many damaged files."""
    files = list(seeds().items())
    for number in range(count):
        draw = np.random.default_rng(number)
        name, data = files[number % len(files)]
        (folder / f"{number:04d}.{name}").write_bytes(harm(data, draw))
    return sorted(folder.iterdir())


def check(folder: Path, count: int) -> None:
    paths, heard = damaged(folder, count), 0
    for path in paths:
        begun, total, said = time.process_time(), 0, ""
        try:
            for block in audio_blocks(path):
                total += len(block)
                assert block.dtype == np.float32
                assert np.isfinite(block).all()
                assert block.nbytes < 64 * 2**20, path.name
            heard += 1
            assert total, path.name
        except LocutionError as error:
            said = str(error)
        if said:
            assert "\n" not in said
            assert said.startswith(f"{path}: "), said
            assert len(said) < len(str(path)) + 200
        assert total < 16000 * 900, f"{path.name}: {total} samples of a file of {path.stat().st_size} bytes"
        assert time.process_time() - begun < 20, path.name  # a cap, not a speed: usually a hundredth of a second
    assert 0.1 * count < heard < 0.9 * count


def test_150_damaged_files_each_give_sound_or_one_line(tmp_path: Path) -> None:
    check(tmp_path, 150)


@pytest.mark.long
def test_2000_damaged_files_each_give_sound_or_one_line(tmp_path: Path) -> None:
    check(tmp_path, 2000)


def test_a_folder_of_damaged_files_writes_down_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = damaged(tmp_path, 26)
    soundfile.write(tmp_path / "good.wav", 0.2 * np.sin(np.arange(16000) / 5), 16000)
    answers = transcripts([tmp_path], lambda pieces: [Heard("yes") for _ in pieces])
    assert [one.path for one in answers] == sorted(str(path) for path in [*paths, tmp_path / "good.wav"])
    assert answers[-1].text == "yes"
    failed = [one for one in answers if one.error]
    assert 0 < len(failed) < 26
    assert show(answers) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == f"{tmp_path / 'good.wav'}: yes"
    assert said.err.splitlines()[-1].startswith(f"{len(failed)} files could not be heard: ")
    assert len(said.err.splitlines()) == len(failed) + 1


def test_a_long_file_that_breaks_off_keeps_what_was_heard(tmp_path: Path) -> None:
    t = np.arange(16000 * 60) / 16000
    sound = 0.3 * np.sin(2 * np.pi * 440 * t) * (np.sin(2 * np.pi * 0.2 * t) > 0) * np.abs(np.sin(np.pi * 4 * t))
    soundfile.write(tmp_path / "a.flac", sound, 16000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) * 2 // 3])
    (one,) = transcripts([tmp_path / "a.flac"], lambda pieces: [Heard("yes") for _ in pieces])
    assert "cut off" in one.error
    assert len(one.segments) >= 2
    assert f"Until then: {one.text}" in str(one)
