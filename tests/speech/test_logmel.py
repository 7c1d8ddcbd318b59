"""The log-mel spectrogram: Whisper's own, without padding, each clip as it would be alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from locution.errors import UserError
from locution.speech.logmel import (
    frame_counts,
    hertz_to_mel,
    log_mel,
    log_mel_batch,
    log_mel_padded,
    mel_filters,
    mel_to_hertz,
)


@pytest.fixture(scope="module")
def sounds() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    times = torch.arange(40_000) / 16_000
    chirp = 0.3 * torch.sin(2 * torch.pi * (100 * times + 1000 * times**2))
    noise = 0.1 * torch.randn(15_999, generator=draw)
    quiet = 1e-3 * torch.randn(4_800, generator=draw)
    return [chirp, noise, quiet, torch.zeros(3_200), torch.cat([chirp, torch.zeros(16_000), noise])]


@pytest.mark.parametrize("n_mels", [80, 128])
def test_it_equals_whispers_extractor(sounds: list[torch.Tensor], n_mels: int) -> None:
    transformers = pytest.importorskip("transformers")
    extractor = transformers.WhisperFeatureExtractor(feature_size=n_mels)
    for sound in sounds:
        theirs = extractor(sound.numpy(), sampling_rate=16_000, padding=False, return_tensors="np")
        ours = log_mel(sound, n_mels)
        expected = theirs.input_features[0].T
        assert ours.shape == expected.shape == (len(sound) // 160, n_mels)
        assert np.abs(ours.numpy() - expected).max() < 1e-4


def test_the_filters_are_slaneys() -> None:
    audio_utils = pytest.importorskip("transformers").audio_utils
    theirs = audio_utils.mel_filter_bank(201, 80, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    assert np.abs(mel_filters(80).numpy() - theirs).max() < 1e-7


def test_the_mel_scale_goes_there_and_back() -> None:
    hertz = torch.tensor([0.0, 440.0, 999.0, 1001.0, 8000.0], dtype=torch.float64)
    assert torch.allclose(mel_to_hertz(hertz_to_mel(hertz)), hertz)


def test_a_batch_gives_each_clip_what_it_gets_alone(sounds: list[torch.Tensor]) -> None:
    mel, lengths = log_mel_batch(sounds)
    assert lengths.tolist() == frame_counts(torch.tensor([len(sound) for sound in sounds])).tolist()
    for row, length, sound in zip(mel, lengths.tolist(), sounds, strict=True):
        assert torch.equal(row[:length], log_mel(sound))
        assert not row[length:].any()


def test_padded_waves_give_each_clip_what_it_gets_alone_whatever_lies_behind_it() -> None:
    draw = torch.Generator().manual_seed(3)
    lengths = torch.tensor([4000, 201, 3999, 1600])
    waves = torch.randn(4, 4100, generator=draw)  # noise behind every clip
    mel, frames = log_mel_padded(waves, lengths)
    assert frames.tolist() == [25, 1, 24, 10]
    for row, count in enumerate(frames.tolist()):
        alone = log_mel(waves[row, : lengths[row]])
        torch.testing.assert_close(mel[row, :count], alone, rtol=0, atol=1e-5)
        assert not mel[row, count:].any()
    quiet = torch.cat([torch.ones(2000).cumsum(0).mul(0.4).sin(), torch.zeros(2100)])  # far below its loudest
    mel_of_it = log_mel_padded(quiet[None], torch.tensor([4100]))[0][0]
    torch.testing.assert_close(mel_of_it, log_mel(quiet), rtol=0, atol=1e-5)
    assert (mel_of_it == mel_of_it.amax() - 2).any(), "eight decades below the loudest, divided by four"
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_mel_padded(waves, lengths)[0], mel), "full precision under autocast too"
    with pytest.raises(UserError, match="more than 200 samples"):
        log_mel_padded(waves, torch.tensor([4000, 200, 3999, 1600]))


def test_a_tone_lies_in_its_band() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)
    band = int(log_mel(tone).mean(0).argmax())
    edges = mel_to_hertz(torch.linspace(0, hertz_to_mel(torch.tensor([8000.0])).item(), 82, dtype=torch.float64))
    assert edges[band] < 1000 < edges[band + 2]


def test_what_is_no_clip_is_refused() -> None:
    for wrong in (torch.zeros(200), torch.zeros(0), torch.zeros(2, 16_000)):
        with pytest.raises(UserError, match="more than 200 samples"):
            log_mel(wrong)
    with pytest.raises(UserError, match="80 or 128"):
        mel_filters(64)
