"""Synthesis: repeatable to the bit, held-out voices, a process of its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from locution.errors import LocutionError, UserError
from locution.speech.synthesis import (
    ACCENTS,
    SAMPLE_RATE,
    VARIANTS,
    Utterance,
    draw_utterance,
    pack,
    speak,
    unpack,
    voices,
)

pytest.importorskip("espeakng_loader")
TEXT = "turn on the light in the kitchen"


def test_the_same_list_sounds_the_same_to_the_bit() -> None:
    breathy = [Utterance(TEXT, f"en+{name}") for name in ("f2", "whisper", "Alicia")]  # noise from a random seed
    spoken = [draw_utterance(TEXT, "train", 0, index) for index in range(4)] + breathy
    first, second = speak(spoken), speak(spoken)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_every_voice_speaks_and_differs_and_is_audible() -> None:
    spoken = speak([Utterance(TEXT, f"en+{name}") for name in VARIANTS])
    assert len({waveform.tobytes() for waveform in spoken}) == len(VARIANTS)
    assert all(0.8 < len(waveform) / SAMPLE_RATE < 3 for waveform in spoken)
    assert all(np.abs(waveform.astype(int)).max() > 2000 for waveform in spoken)


def test_accent_rate_and_pitch_are_heard() -> None:
    accents = speak([Utterance(TEXT, f"{accent}+f3") for accent in ACCENTS])
    assert len({waveform.tobytes() for waveform in accents}) == len(ACCENTS)
    slow, fast = speak([Utterance(TEXT, "en+f2", rate=rate) for rate in (130, 200)])
    low, high = speak([Utterance(TEXT, "en+f2", pitch=pitch) for pitch in (20, 80)])
    assert len(slow) > 1.3 * len(fast)
    assert pitch(high) > 1.4 * pitch(low)


def pitch(waveform: np.ndarray) -> float:
    """Take the median, over loud stretches of 50 ms, of the rate at which each is most like itself, in Hz."""
    lags, found = range(40, 260), []
    for start in range(0, len(waveform) - 800, 400):
        part = waveform[start : start + 800].astype(float)
        if np.abs(part).max() > 2000:
            likeness = np.array([np.corrcoef(part[:-lag], part[lag:])[0, 1] for lag in lags])
            found.append(SAMPLE_RATE / lags[int(np.argmax(likeness > 0.9 * likeness.max()))])
    return float(np.median(found))


def test_voices_are_apart_and_a_split_draws_only_its_own() -> None:
    apart = [set(voices(split)) for split in ("train", "dev", "test")]
    assert sum(map(len, apart)) == len(set.union(*apart)) == len(VARIANTS)
    for split in ("train", "dev", "test"):
        drawn = {draw_utterance(TEXT, split, 0, index).voice.split("+")[1] for index in range(300)}
        assert drawn == set(voices(split)) if split != "train" else drawn <= set(voices(split))


def test_what_cannot_be_spoken_is_named() -> None:
    with pytest.raises(LocutionError, match="no voice 'xx"):
        speak([Utterance(TEXT, "xx-nowhere")])
    with pytest.raises(UserError, match="Did you mean 'train'"):
        voices("trian")


def test_without_espeak_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: object, **settings: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], 3, b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match=r"pip install 'locution\[speech\]'"):
        speak([Utterance(TEXT, "en+f3")])


def test_the_driver_stays_out_of_this_process() -> None:
    names = "('espeakng_loader' in sys.modules, 'torch' in sys.modules)"
    code = f"import sys, locution.speech.synthesis; sys.exit(any({names}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_broken_pipe_is_noticed() -> None:
    whole = pack([np.arange(5, dtype=np.int16)])
    with pytest.raises(LocutionError, match="sent 4 samples of 5"):
        unpack(whole[:-2])
    assert unpack(pack([])) == []
