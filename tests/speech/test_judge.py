"""Evaluation and the way from files to frames, on stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from locution.engine.random import generator
from locution.errors import UserError
from locution.speech.audio import AudioError, write_flac
from locution.speech.ctc_head import encoder_alone
from locution.speech.encode import encode_clips, frames_of_files
from locution.speech.generate import write_all
from locution.speech.hallucination import hallucination_rate
from locution.speech.judge import judge
from locution.speech.noise import noise_clip
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.recogniser import Recogniser

sys.path.insert(0, str(Path(__file__).parent))

from speller import Speller, spelt

TEXTS = ["one two", "turn the light off", "nine", "two"]


def make(language_model: Any, tokenizer: Any) -> Recogniser:
    torch.manual_seed(0)
    return Recogniser(MLPProjector(29, 32, gain=0.3, stack=2), language_model, tokenizer, encoder=Speller())


def test_the_encoders_own_reading_stands_beside(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    frames = [spelt(text) for text in TEXTS]
    found = judge(recogniser, frames, TEXTS, control=2)
    assert found.encoder_alone is not None
    assert found.encoder_alone.value == 0.0
    assert list(found.written) == [one.text for one in write_all(recogniser, frames)]
    assert found.text_only.counts.words == 6  # of the first two
    assert found.worst(1)[0] == max(range(4), key=lambda i: found.wer.utterances[i].errors)
    assert 0 <= found.homophone_share() <= 1


def test_an_encoder_without_a_head_has_no_reading(language_model: Any, tokenizer: Any) -> None:
    assert encoder_alone(nn.Linear(2, 2), [spelt("one")]) is None
    with pytest.raises(UserError, match="nothing to evaluate"):
        judge(make(language_model, tokenizer), [], [])


def test_frames_of_files_are_made_once(tmp_path: Path, tiny_encoder: nn.Module) -> None:
    paths = [tmp_path / f"{i}.flac" for i in range(3)]
    for i, path in enumerate(paths):
        write_flac(path, (0.1 * np.random.default_rng(i).standard_normal(4000 + 1600 * i)).astype(np.float32))
    told: list[tuple[int, int]] = []
    for _ in range(2):
        frames = frames_of_files(
            tiny_encoder, paths, [1.0] * 3, folder=tmp_path / "kept", progress=lambda *t: told.append(t)
        )
    assert told == [(1, 3), (2, 3), (3, 3)]  # the second time nothing is heard again
    assert [len(clip) for clip in frames] == [7, 9, 12]  # 25, 35 and 45 frames of 10 ms, every fourth
    paths[1].write_bytes(b"broken")
    with pytest.raises(AudioError, match=r"1\.flac"):
        frames_of_files(tiny_encoder, paths, [1.0] * 3, folder=tmp_path / "kept")


def test_hallucinations_are_counted_on_noise(language_model: Any, tokenizer: Any, tiny_encoder: nn.Module) -> None:
    torch.manual_seed(0)
    projector = MLPProjector(24, 32, gain=0.3, stack=2)
    recogniser = Recogniser(projector, language_model, tokenizer, encoder=tiny_encoder).eval()
    waves = [noise_clip(i, 1) for i in range(5)]
    frames = dict(encode_clips(tiny_encoder, waves.__getitem__, [1.0] * 5))
    expected = [bool(one.text) for one in write_all(recogniser, [frames[i] for i in range(5)])]
    assert hallucination_rate(recogniser, clips=5) == sum(expected) / 5
    assert sum(expected) > 0


def test_noise_has_its_level_and_its_slope() -> None:
    levels = [20 * np.log10(np.sqrt(np.mean(noise_clip(i) ** 2))) for i in range(40)]
    assert -51 < min(levels) < -40
    assert -20 < max(levels) < -9
    wave = noise_clip(0, longest=30.0).astype(np.float64)
    slope = torch.rand(3, generator=generator(0, "noise", 0))[0].item()
    power = np.abs(np.fft.rfft(wave)) ** 2
    pitch = np.fft.rfftfreq(len(wave), 1 / 16000)
    low, high = (power[(pitch > a) & (pitch < b)].mean() for a, b in ((200, 250), (3200, 4000)))
    assert np.log10(low / high) == pytest.approx(2 * slope * np.log10(16), abs=0.1)
