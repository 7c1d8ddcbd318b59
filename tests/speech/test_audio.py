"""Sound files of every kind, good and bad."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from locution.errors import LocutionError, UserError
from locution.speech.audio import Audio, AudioError, read_audio, write_flac


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 96000])
def test_any_rate_gives_the_same_tone(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav")
    assert abs(len(audio.samples) - 16000) <= 1
    middle = slice(2000, 14000)
    np.testing.assert_allclose(audio.samples[middle], tone(16000)[middle], atol=2e-3)


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [("PCM_U8", 1 / 64), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)],
)
def test_any_sample_format(tmp_path: Path, subtype: str, tolerance: float) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000, subtype=subtype)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples, tone(16000), atol=tolerance)


def test_stereo_is_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(16000), np.zeros(16000, np.float32)], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples, tone(16000) / 2, atol=1e-7)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3", "a.aiff", "a.flac"])
def test_other_formats(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(16000), 16000)
    heard = read_audio(tmp_path / name).samples[:16000]
    assert np.corrcoef(heard[1000:15000], tone(16000)[1000:15000])[0, 1] > 0.95


def test_blocks_join_without_a_seam(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.repeat(tone(44100, 3.0)[:, None], 8, axis=1), 44100, subtype="FLOAT")
    samples = read_audio(tmp_path / "a.wav").samples  # 8 channels: blocks of 32768 frames
    np.testing.assert_allclose(samples[1000:47000], tone(16000, 3.0)[1000:47000], atol=2e-3)


def write_broken(folder: Path, kind: str) -> Path:
    path = folder / "a.wav"
    soundfile.write(path, tone(16000), 16000)
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "folder":
        path = folder
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "junk":
        path.write_bytes(bytes(range(256)) * 20)
    elif kind == "header":
        path.write_bytes(whole[:20])
    elif kind == "no samples":
        soundfile.write(path, np.zeros(0, np.float32), 16000)
    elif kind == "nan":
        soundfile.write(path, np.full(100, np.nan, np.float32), 16000, subtype="FLOAT")
    elif kind == "rate":
        path.write_bytes(whole[:24] + struct.pack("<I", 1) + whole[28:])
    elif kind in ("cut flac", "damaged flac"):
        path = folder / "a.flac"
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + (b"" if kind == "cut flac" else b"\x55" * 400 + whole[middle + 400 :]))
    elif kind == "raw":
        path = folder / "a.raw"
        path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file"),
        ("folder", "no regular file"),
        ("empty", "is empty"),
        ("cut", "cut off"),
        ("junk", "no sound file"),
        ("header", "no sound file"),
        ("no samples", "no sound"),
        ("nan", "not numbers"),
        ("rate", "samples a second; allowed"),
        ("cut flac", "cut off or damaged"),
        ("damaged flac", "damaged"),
        ("raw", "no sound file"),
    ],
)
def test_bad_files_say_so_in_one_line(tmp_path: Path, kind: str, says: str) -> None:
    path = write_broken(tmp_path, kind)
    with pytest.raises(LocutionError) as caught:
        read_audio(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError if kind in ("missing", "folder") else AudioError)


def test_a_small_file_of_hours_stops_at_the_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "bomb.flac", np.zeros(16000 * 600, np.int16), 16000)
    assert (tmp_path / "bomb.flac").stat().st_size < 100_000
    decoded = 0
    read = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, *args: object, **kwargs: object) -> np.ndarray:
        nonlocal decoded
        block = read(self, *args, **kwargs)
        decoded += len(block)
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    with pytest.raises(AudioError, match="longer than 30 s"):
        read_audio(tmp_path / "bomb.flac", cap_seconds=30)
    assert decoded < 16000 * 30 + 2**18 + 1  # at most one block beyond the cap


def test_a_wav_from_a_pipe_makes_no_promise(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000)
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    whole[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(bytes(whole))
    assert len(read_audio(tmp_path / "a.wav").samples) == 16000


def test_silence_is_known_by_its_peak_and_not_by_its_offset() -> None:
    assert Audio(np.full(100, 0.2, np.float32)).silent
    assert not Audio(tone(16000) * 0.01).silent
    assert Audio(np.zeros(0, np.float32)).silent


def test_flac_is_lossless_and_whole_or_absent(tmp_path: Path) -> None:
    samples = (np.arange(-32768, 32768, 7) / 32768).astype(np.float32)
    write_flac(tmp_path / "a.flac", samples)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac").samples, samples)
    write_flac(tmp_path / "b.flac", np.array([2.0, -2.0], np.float32))
    np.testing.assert_allclose(read_audio(tmp_path / "b.flac").samples, [1.0, -1.0], atol=1e-4)
    with pytest.raises(LocutionError, match="cannot be written"):
        write_flac(tmp_path / "none" / "a.flac", samples)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.flac", "b.flac"]
