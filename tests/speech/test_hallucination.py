"""Clips in which nobody speaks, and the counts of what is written for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from locution.errors import UserError
from locution.speech.audio import SAMPLE_RATE
from locution.speech.encoder import EncoderConfig, SpeechEncoder
from locution.speech.generate import Written
from locution.speech.hallucination import empty_clip, hallucination_rate, hallucinations, stopped_by
from locution.speech.hear import frames_of
from locution.speech.judge import judge
from locution.speech.no_speech import clearness, letters
from locution.speech.noise import noise_clip
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.recogniser import Recogniser
from locution.speech.transcribe import transcribe

sys.path.insert(0, str(Path(__file__).parent))

from speller import Speller, spelt


@pytest.mark.parametrize("index", range(6))
def test_silence_is_silent_and_repeatable(index: int) -> None:
    clip = empty_clip("silence", index)
    assert clip.dtype == np.float32
    assert 0.5 <= len(clip) / SAMPLE_RATE <= 4.0
    assert np.array_equal(clip, empty_clip("silence", index))
    power = np.sqrt(np.mean(clip.astype(np.float64) ** 2))
    assert power == (pytest.approx(1e-4, rel=0.05) if index % 2 else 0.0)


def test_noise_is_that_of_the_noise_room_and_other_sounds_are_refused() -> None:
    assert np.array_equal(empty_clip("noise", 3), noise_clip(3, 1))
    with pytest.raises(UserError, match=r"'noize' is no sound without speech\. Did you mean 'noise'"):
        empty_clip("noize", 0)


def test_what_is_written_for_silence_is_counted(language_model: Any, tokenizer: Any, tiny_encoder: nn.Module) -> None:
    torch.manual_seed(0)
    projector = MLPProjector(24, 32, gain=0.3, stack=2)
    recogniser = Recogniser(projector, language_model, tokenizer, encoder=tiny_encoder).eval()
    found = hallucinations(recogniser, "silence", clips=4)
    assert found.sound == "silence"
    assert found.rate == len(found.texts) / 4 == hallucination_rate(recogniser, sound="silence", clips=4)
    assert not found.texts  # whatever has no peak is nobody: digital silence, and a converter's hiss
    assert all(one.text for one in found.ungated)
    endings = [Written("", why, 0) for why in ("end", "loop", "loop", "limit")]
    assert [stopped_by(endings, why) for why in ("end", "loop", "limit")] == [1, 2, 1]


def test_both_sides_are_normalised_and_the_control_is_of_the_rows_it_is_given(
    language_model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    recogniser = Recogniser(MLPProjector(29, 32, gain=0.3, stack=2), language_model, tokenizer, encoder=Speller())
    texts = ["one two", "Turn, the light!", "", "nine"]
    frames = [spelt(text) for text in ("one two", "turn the light", "a", "nine")]
    found = judge(recogniser, frames, texts, controlled=[3, 2, 1], control=2, speakers=["a", "b", "a", "b"])
    assert found.said == ("one two", "turn the light", "", "nine")
    assert found.encoder_alone is not None
    assert [one.errors for one in found.encoder_alone.utterances] == [0, 0, 1, 0]  # "a" where nothing was said
    assert found.text_only.counts.words == 4  # of "nine" and "turn the light": silence has no word to guess
    assert found.wer.by_speaker is not None
    answers = [Written(text, "end", 1) for text in ("One two.", "turn the light", "", "Nein")]
    monkeypatch.setattr("locution.speech.judge.write_all", lambda *_, **__: answers)
    found = judge(recogniser, frames, texts)
    assert found.written == ("one two", "turn the light", "", "nein")
    assert found.answers[0].text == "One two."
    assert found.wer.counts.errors == 1


def test_the_rate_is_that_of_what_transcribe_writes(language_model: Any, tokenizer: Any, tmp_path: Path) -> None:
    """The oracle: the same clips as files, through `transcribe`."""
    torch.manual_seed(0)
    encoder = SpeechEncoder(EncoderConfig(width=24, heads=2, blocks=1, stem=8, feed_forward=16)).eval()
    projector = MLPProjector(24, 32, gain=0.3, stack=2)
    recogniser = Recogniser(projector, language_model, tokenizer, encoder=encoder).eval()
    clips = [empty_clip("noise", index) for index in range(8)]
    for index, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{index}.wav", clip, SAMPLE_RATE, subtype="FLOAT")
    sure = sorted(clearness(letters(encoder, one)) for one in frames_of(encoder, clips))  # type: ignore[arg-type]
    encoder.head.speaks = (sure[3] + sure[4]) / 2  # type: ignore[assignment]  # half of the clips are clear enough
    found = hallucinations(recogniser, "noise", clips=8)
    assert [one.text for one in found.written] == [one.text for one in transcribe(recogniser, [tmp_path])]
    assert 0 < found.rate < 1
    assert sum(bool(one.text) for one in found.ungated) > len(found.texts)
