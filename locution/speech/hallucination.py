"""Text that nobody said: what a recogniser writes for noise and for silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from locution.engine.random import generator
from locution.errors import unknown
from locution.speech.audio import SAMPLE_RATE, Samples
from locution.speech.encode import encode_clips
from locution.speech.generate import Written, write_all
from locution.speech.hear import cutting_for
from locution.speech.no_speech import heard_in
from locution.speech.noise import noise_clip
from locution.speech.recogniser import Recogniser
from locution.speech.transcribe import worth_writing
from locution.speech.voice_activity import cut_blocks

SOUNDS = ("noise", "silence")
NOTHING = Written("", "end", 0)


@dataclass(frozen=True)
class Hallucinations:
    """A hallucination is text that nobody said: here what a recogniser wrote for clips in which nobody speaks.

    `sound` is what the clips hold, "noise" or "silence"; `written` is what a user gets for each, `ungated` what the
    language model would have written had nobody asked beforehand whether anybody speaks.

    >>> found = Hallucinations("noise", (Written("thank you", "end", 2), Written("", "end", 0)))
    >>> found.rate, found.texts
    (0.5, ['thank you'])

    Reference: A. Koenecke et al., 2024, "Careless Whisper: Speech-to-Text Hallucination Harms", section 3.
    """

    sound: str
    written: tuple[Written, ...]
    ungated: tuple[Written, ...] = ()

    @property
    def texts(self) -> list[str]:
        """List what was written, without the clips for which nothing was."""
        return [one.text for one in self.written if one.text]

    @property
    def rate(self) -> float:
        """The share of clips for which anything was written."""
        return len(self.texts) / len(self.written)


def empty_clip(sound: str, index: int, seed: int = 1) -> Samples:
    """Make a clip in which nobody speaks: coloured noise, or silence of half a second to four.

    Every other silence is digital, the rest has the hiss of a good converter, 80 dB below full scale.

    >>> bool(empty_clip("silence", 0).any()), float(abs(empty_clip("silence", 1)).max()) < 0.001
    (False, True)
    """
    if sound not in SOUNDS:
        raise unknown("sound without speech", sound, SOUNDS)
    if sound == "noise":
        return noise_clip(index, seed)
    import torch

    draw = generator(seed, "silence", index)
    count = int(SAMPLE_RATE * (0.5 + 3.5 * torch.rand(1, generator=draw).item()))
    hiss = 1e-4 * torch.randn(count, generator=draw).numpy() if index % 2 else np.zeros(count)
    return np.asarray(hiss, dtype=np.float32)


def hallucinations(
    recogniser: Recogniser, sound: str = "noise", *, clips: int = 40, seed: int = 1, precision: str = "fp32"
) -> Hallucinations:
    """Let a recogniser write down clips of mere noise or silence, drawn by `seed`, as `transcribe` would: cut at their
    pauses, and where its encoder hears no letter nothing; then all of them, whatever the encoder hears.
    """
    encoder, waves = recogniser.encoder, [empty_clip(sound, index, seed) for index in range(clips)]
    seconds = [len(wave) / SAMPLE_RATE for wave in waves]
    frames = dict(encode_clips(encoder, waves.__getitem__, seconds, precision=precision))
    ungated = write_all(recogniser, [frames[i] for i in range(clips)], precision=precision)
    pieces = [
        (row, piece.samples)
        for row, wave in enumerate(waves)
        for piece in cut_blocks([wave], cutting_for(encoder))
        if worth_writing(piece)
    ]
    lengths = [len(samples) / SAMPLE_RATE for _, samples in pieces]
    heard = dict(encode_clips(encoder, lambda i: pieces[i][1], lengths, precision=precision))
    spoken = [i for i, speaks in enumerate(heard_in(encoder, [heard[i] for i in range(len(pieces))])) if speaks]
    written = [NOTHING] * clips
    for i, one in zip(spoken, write_all(recogniser, [heard[i] for i in spoken], precision=precision), strict=True):
        row = pieces[i][0]
        written[row] = one if not written[row].text else replace(one, text=f"{written[row].text} {one.text}")
    return Hallucinations(sound, tuple(written), tuple(ungated))


def hallucination_rate(
    recogniser: Recogniser, *, sound: str = "noise", clips: int = 40, seed: int = 1, precision: str = "fp32"
) -> float:
    """Measure the share of clips without speech, of "noise" or of "silence", for which anything is written."""
    return hallucinations(recogniser, sound, clips=clips, seed=seed, precision=precision).rate


def stopped_by(written: Sequence[Written], why: str) -> int:
    """Count the transcripts that were stopped because they repeated themselves ("loop") or grew too long ("limit").

    >>> stopped_by([Written("a", "end", 1), Written("b b", "loop", 2)], "loop")
    1
    """
    return sum(one.stopped == why for one in written)
