"""Pieces of sound to text: the encoder hears, its letters say whether anybody speaks and when, the model writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from locution.speech.audio import SAMPLE_RATE, Samples
from locution.speech.ctc_head import encoder_alone
from locution.speech.encode import encode_clips
from locution.speech.frozen import frame_rate
from locution.speech.generate import token_limits, write_all
from locution.speech.no_speech import heard_in, letters
from locution.speech.recogniser import Recogniser
from locution.speech.token_by_token import Bias, Prefix, write_tokens
from locution.speech.utterances import pad_frames
from locution.speech.voice_activity import Cutting
from locution.speech.word_times import Word, word_times

NOTES = {
    "loop": "it began to repeat itself and was stopped",
    "limit": "it wrote too much and was stopped",
    "end": "",
}


@dataclass(frozen=True)
class Heard:
    """What was heard in one piece: its text, a note, how sure it is, its words in seconds from the piece's start."""

    text: str
    note: str = ""
    confidence: float = 1.0
    words: tuple[Word, ...] = ()


def cutting_for(encoder: Any) -> Cutting:
    """Say how long sound is cut for an encoder: as long as what its language model was raised on.

    The embedded language model was raised on texts of 96 letters, which take six seconds to say. Whisper hears 30
    seconds at the price of one, so its pieces are long.
    """
    if encoder is None or frame_rate(encoder) == 25.0:
        return Cutting(longest=6.0, enough=0.5, pause=0.1, whole=6.0)
    return Cutting(longest=20.0, enough=10.0, pause=0.3, whole=20.0)


def frames_of(encoder: Any, pieces: Sequence[Samples]) -> list[Tensor]:
    """Hear pieces: the frames (T_i, D) of each."""
    seconds = [len(piece) / SAMPLE_RATE for piece in pieces]
    found = dict(encode_clips(encoder, pieces.__getitem__, seconds))
    return [found[i].float() for i in range(len(pieces))]


def write_audio(
    recogniser: Recogniser, pieces: Sequence[Samples], *, batch_size: int = 32, bias: Bias | None = None
) -> list[Heard]:
    """Write down pieces of sound, like lengths together.

    Where the encoder has a CTC head, a piece in which it hears no letter is nothing, whatever the language model would
    make of it, and every word gets its time.
    """
    if not pieces:
        return []
    frames = frames_of(recogniser.encoder, pieces)
    spoken = [i for i, heard in enumerate(heard_in(recogniser.encoder, frames)) if heard]
    written = dict(
        zip(spoken, write_all(recogniser, [frames[i] for i in spoken], batch_size=batch_size, bias=bias), strict=True)
    )
    found = []
    for i, clip in enumerate(frames):
        one = written.get(i)
        if one is None:
            found.append(Heard(""))
            continue
        score = letters(recogniser.encoder, clip)
        words = () if score is None else tuple(word_times(score, one.text, recogniser.frame_rate))
        found.append(Heard(one.text, NOTES[one.stopped], one.confidence, words))
    return found


def spell_audio(encoder: Any, pieces: Sequence[Samples]) -> list[Heard]:
    """Write down pieces with an encoder alone, by its own CTC head."""
    frames = frames_of(encoder, pieces)
    spelt = encoder_alone(encoder, frames) or []
    found = []
    for one, text in zip(frames, spelt, strict=True):
        score = letters(encoder, one)
        words = () if score is None else tuple(word_times(score, text, frame_rate(encoder)))
        sure = float(np.mean([word.confidence for word in words])) if words else 1.0
        found.append(Heard(text, "", sure, words))
    return found


def write_words(recogniser: Recogniser, piece: Samples, *, bias: Bias | None = None) -> Iterator[str]:
    """Write down one piece of sound word by word, each as soon as the next one has begun.

    The words together are what `write_audio` gives, but for a loop: what has been said cannot be taken back.
    """
    frames = frames_of(recogniser.encoder, [piece])
    if not heard_in(recogniser.encoder, frames)[0]:
        return
    padded, lengths = pad_frames(frames)
    device = next(recogniser.projector.parameters()).device
    with torch.inference_mode():
        audio, heard = recogniser.audio(padded.to(device), lengths.to(device))
    limits = token_limits(recogniser, lengths.to(device))
    tokens: list[int] = []
    given = 0
    for step in write_tokens(recogniser, audio, heard, limits, prefix=Prefix.of(recogniser), bias=bias):
        tokens += [token for _, token, _ in step if token != recogniser.end[0]]
        words = recogniser.tokenizer.decode(tokens, skip_special_tokens=True).split()
        yield from words[given : len(words) - 1]
        given = max(given, len(words) - 1)
    yield from recogniser.tokenizer.decode(tokens, skip_special_tokens=True).split()[given:]
