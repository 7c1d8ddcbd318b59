"""What enters a recogniser: cached frames, a spectrogram or samples; and what a projector asks for beside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.speech.encoder import EncoderConfig, SpeechEncoder
from locution.speech.logmel import log_mel_padded
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.recogniser import Recogniser, auxiliary_loss, token_loss, transcript_objective
from locution.speech.utterances import Utterances

TEXTS = ["one two three", "nine", "off off six seven"]


class Loaded(nn.Module):
    """A projector with an auxiliary loss: the mean of the squared frames of each utterance."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, frames: Tensor, lengths: Tensor) -> Any:
        return self.inner(frames, lengths)

    def auxiliary(self, frames: Tensor, lengths: Tensor) -> Tensor:
        there = torch.arange(frames.shape[1]) < lengths[:, None]
        return (frames.square().mean(-1) * there).sum(1) / lengths


def make(language_model: Any, tokenizer: Any, loaded: bool = False) -> Recogniser:
    torch.manual_seed(0)
    encoder = SpeechEncoder(EncoderConfig(width=24, heads=2, blocks=1, stem=8, feed_forward=16))
    projector: nn.Module = MLPProjector(24, 32, gain=0.02, stack=2)
    return Recogniser(Loaded(projector) if loaded else projector, language_model, tokenizer, encoder=encoder)


def test_samples_spectrogram_and_cached_frames_give_the_same_loss(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    lengths = torch.tensor([8000, 4000, 12000])
    waves = 0.1 * torch.randn(3, 12000, generator=torch.Generator().manual_seed(1))
    mel, counts = log_mel_padded(waves, lengths)
    frames, kept = recogniser.hear({"waves": waves, "lengths": lengths})
    assert not frames.requires_grad
    batch = Utterances.of(recogniser, [f[:n] for f, n in zip(frames, kept, strict=True)], TEXTS).batch(range(3))
    written = {key: batch.inputs[key] for key in ("text", "text_lengths")}
    losses = [
        transcript_objective(recogniser, replace(batch, inputs=written | sound))[1].item()
        for sound in (
            {"frames": batch.inputs["frames"], "lengths": batch.inputs["lengths"]},
            {"mel": mel, "lengths": counts},
            {"waves": waves, "lengths": lengths},
        )
    ]
    assert losses[1:] == pytest.approx([losses[0]] * 2, abs=1e-5)


def test_without_an_encoder_only_frames_are_taken(language_model: Any, tokenizer: Any) -> None:
    recogniser = Recogniser(MLPProjector(24, 32, stack=2), language_model, tokenizer)
    with pytest.raises(UserError, match="cached frames only"):
        recogniser.hear({"waves": torch.zeros(1, 800), "lengths": torch.tensor([800])})


def test_an_auxiliary_loss_is_weighed_by_tokens_and_adds_up_over_micro_batches(
    language_model: Any, tokenizer: Any
) -> None:
    recogniser = make(language_model, tokenizer, loaded=True)
    draw = torch.Generator().manual_seed(2)
    clips = [torch.randn(n, 24, generator=draw) for n in (30, 9, 77)]
    data = Utterances.of(recogniser, clips, TEXTS)
    batch = data.batch(range(3))
    each = torch.tensor([clip.square().mean().item() for clip in clips])
    tokens = torch.tensor([len(text) for text in data.tokens]).float()
    expected = (each * tokens).sum() / tokens.sum()
    assert float(auxiliary_loss(recogniser, batch)) == pytest.approx(expected.item(), rel=1e-5)
    logits, loss = transcript_objective(recogniser, batch)
    assert loss.item() == pytest.approx((token_loss(logits, batch.targets) + expected).item(), rel=1e-5)
    parts = [transcript_objective(recogniser, part)[1].item() * share for part, share in batch.split(2)]
    assert sum(parts) == pytest.approx(loss.item(), rel=1e-5)
