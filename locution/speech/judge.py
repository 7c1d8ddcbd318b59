"""How well a recogniser hears: its word error rate, beside that of its encoder alone and of its language
model alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from locution.errors import UserError
from locution.speech.audio import SAMPLE_RATE
from locution.speech.confusions import homophone_errors
from locution.speech.control import write_deaf
from locution.speech.encode import encode_clips
from locution.speech.generate import Written, write_all
from locution.speech.noise import noise_clip
from locution.speech.recogniser import Recogniser
from locution.speech.wer import WordErrorRate, word_error_rate


@dataclass(frozen=True)
class Judgement:
    """What came of an evaluation.

    wer: of the recogniser. encoder_alone: of the encoder's own greedy CTC decoding; None where it has no such
    head. text_only: of the language model without the audio. said, written: every utterance. stopped: how
    many transcripts the limit or the guard against loops had to end.
    """

    wer: WordErrorRate
    encoder_alone: WordErrorRate | None
    text_only: WordErrorRate
    said: tuple[str, ...]
    written: tuple[str, ...]
    stopped: int

    def worst(self, count: int = 10) -> list[int]:
        """Number the utterances with the most errors, worst first."""
        errors = [one.errors for one in self.wer.utterances]
        return sorted(range(len(errors)), key=lambda i: -errors[i])[:count]

    def homophone_share(self) -> float:
        """Say which share of all errors are homophones, which no ear could have avoided."""
        count = sum(homophone_errors(self.said, self.written).values())
        return count / max(self.wer.counts.errors, 1)


def hallucination_rate(recogniser: Recogniser, *, clips: int = 40, seed: int = 1, precision: str = "fp32") -> float:
    """A hallucination is text that nobody said; here the share of clips of mere noise for which any is
    written.

    Reference: A. Koenecke et al., 2024, "Careless Whisper: Speech-to-Text Hallucination Harms", section 3.
    """
    waves = [noise_clip(i, seed) for i in range(clips)]
    frames = dict(encode_clips(recogniser.encoder, waves.__getitem__, [len(w) / SAMPLE_RATE for w in waves]))
    written = write_all(recogniser, [frames[i] for i in range(clips)], precision=precision)
    return sum(bool(one.text) for one in written) / clips


@torch.inference_mode()
def encoder_alone(encoder: Any, frames: Sequence[Tensor]) -> list[str] | None:
    """Read the frames with the encoder's own CTC head, greedily; None where the encoder has none."""
    from locution.speech.ctc import greedy

    if getattr(encoder, "head", None) is None:
        return None
    texts = []
    for clip in frames:
        scores = encoder.head(clip.to(encoder.head.weight)[None])  # (1, T, classes)
        texts += greedy(scores, torch.tensor([len(clip)]))
    return texts


def judge(
    recogniser: Recogniser,
    frames: Sequence[Tensor],
    texts: Sequence[str],
    *,
    precision: str = "fp32",
    control: int = 200,
    seed: int = 0,
) -> Judgement:
    """Evaluate a recogniser on clips that training never saw: frames[i] (T_i, D) say texts[i].

    The text-only control decodes the first `control` clips without their audio.
    """
    if not len(frames):
        raise UserError("there is nothing to evaluate on; allowed: at least one utterance.")
    recogniser.eval()
    written = write_all(recogniser, frames, precision=precision)
    deaf = write_deaf(recogniser, frames[:control], precision=precision)
    alone = encoder_alone(recogniser.encoder, frames)
    return Judgement(
        word_error_rate(texts, _texts(written), seed=seed),
        None if alone is None else word_error_rate(texts, alone, seed=seed),
        word_error_rate(texts[:control], _texts(deaf), seed=seed),
        tuple(texts),
        tuple(_texts(written)),
        sum(one.stopped != "end" for one in written),
    )


def _texts(written: Sequence[Written]) -> list[str]:
    return [one.text for one in written]
