"""Cached frames and transcripts as batches of like lengths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.speech.audio import SAMPLE_RATE
from locution.speech.length_buckets import audio_places, buckets, budgeted, padding_share
from locution.speech.prompt import encode
from locution.speech.recogniser import IGNORED, Recogniser

POOL = 16  # batches that are sorted together: large enough for like lengths, small enough to stay random


def pad_frames(frames: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad frames (T_i, D) of several clips on the right to (B, T, D); give their lengths (B,) too.

    >>> padded, lengths = pad_frames([torch.ones(1, 2), torch.ones(3, 2)])
    >>> tuple(padded.shape), lengths.tolist(), padded.sum().item()
    ((2, 3, 2), [1, 3], 8.0)
    """
    lengths = torch.tensor([len(clip) for clip in frames])
    return torch.nn.utils.rnn.pad_sequence(list(frames), batch_first=True), lengths


def pad_tokens(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad transcripts on the left: inputs (B, L), targets (B, L) with -100 in the padding, lengths (B,).

    >>> [tensor.tolist() for tensor in pad_tokens([[5], [6, 7]])]
    [[[0, 5], [6, 7]], [[-100, 5], [6, 7]], [1, 2]]
    """
    longest = max(len(text) for text in texts)
    inputs = torch.tensor([[0] * (longest - len(text)) + list(text) for text in texts])
    targets = torch.tensor([[IGNORED] * (longest - len(text)) + list(text) for text in texts])
    return inputs, targets, torch.tensor([len(text) for text in texts])


class Utterances:
    """An utterance is a stretch of speech with its transcript; here its cached frames and its tokens.

    A source of batches for the engine: clips of like lengths go together, drawn anew each epoch; `weights`
    count the tokens, so that a loss is a mean over tokens even over several micro-batches.

    Parameters
    ----------
    frames: frames[i] is (T_i, D), or what `sound` names: "waves" of (N_i,) samples. texts: transcripts, already
    normalised. tokenizer, end: how they become tokens and the tokens that end them. batch_size: utterances a batch.
    counts: about how long each clip is, where asking would read it. token_budget: instead of batch_size, how many
    places a batch takes at most, padding included; sizes: the places of each utterance, its frames and its tokens
    where it is not given.
    """

    def __init__(
        self,
        frames: Any,
        texts: Sequence[str],
        tokenizer: Any,
        end: Sequence[int],
        *,
        batch_size: int = 32,
        shuffle: bool = True,
        sound: str = "frames",
        counts: Sequence[int] | None = None,
        token_budget: int | None = None,
        sizes: Sequence[int] | Tensor | None = None,
    ) -> None:
        require(batch_size >= 1, "data.batch_size", batch_size, "a whole number from 1")
        if len(frames) != len(texts):
            raise UserError(f"{len(frames)} clips came with {len(texts)} transcripts; allowed: one each.")
        self.frames, self.texts = frames, list(texts)
        self.tokens = [encode(tokenizer, text) + list(end) for text in texts]
        lengths = [len(frames[i]) for i in range(len(frames))] if counts is None else list(counts)
        self.frame_counts = torch.tensor(lengths, dtype=torch.long)
        self.sound = sound
        self.batch_size, self.shuffle = batch_size, shuffle
        written = torch.tensor([len(tokens) for tokens in self.tokens], dtype=torch.long)
        self.sizes = self.frame_counts + written if sizes is None else torch.as_tensor(sizes) + written
        self.buckets = None if token_budget is None else buckets(self.sizes, token_budget)

    @classmethod
    def of(cls, recogniser: Recogniser, frames: Any, texts: Sequence[str], **settings: Any) -> Utterances:
        """Prepare utterances for a recogniser: its tokenizer, its end mark, the places that its prompt takes."""
        if settings.get("token_budget") is not None and "sizes" not in settings and len(frames):
            settings["sizes"] = heard_places(recogniser, frames, settings)
        return cls(frames, texts, recogniser.tokenizer, recogniser.end, **settings)

    def __len__(self) -> int:
        return len(self.texts)

    def steps(self) -> int:
        """Count the batches of an epoch."""
        if self.buckets is not None:
            return sum(-(-len(members) // rows) for members, rows in self.buckets)
        return -(-len(self) // self.batch_size)

    def padding(self, number: int = 0, seed: int = 0) -> float:
        """Say which share of an epoch's places is padding."""
        return padding_share(self.order(number, seed), self.sizes)

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through every utterance once, in an order that depends on the seed and the epoch alone."""
        for index, rows in enumerate(self.order(number, seed)):
            if index >= skip:
                yield self.batch(rows)

    def order(self, number: int, seed: int) -> list[list[int]]:
        """Decide which utterances share a batch: shuffle, sort pools by length, cut, shuffle the batches."""
        if self.buckets is not None:
            return budgeted(self.buckets, number, seed, self.shuffle)
        if not self.shuffle:
            ranked = torch.argsort(self.frame_counts, stable=True).tolist()
            return [ranked[i : i + self.batch_size] for i in range(0, len(ranked), self.batch_size)]
        draw = generator(seed, "data", number)
        shuffled = torch.randperm(len(self), generator=draw)
        batches: list[list[int]] = []
        for start in range(0, len(self), POOL * self.batch_size):
            pool = shuffled[start : start + POOL * self.batch_size]
            ranked = pool[torch.argsort(self.frame_counts[pool], stable=True)].tolist()
            batches += [ranked[i : i + self.batch_size] for i in range(0, len(ranked), self.batch_size)]
        return [batches[i] for i in torch.randperm(len(batches), generator=draw).tolist()]

    def batch(self, rows: Sequence[int]) -> Batch:
        """Put some utterances into one batch."""
        frames, lengths = pad_frames([self.frames[i] for i in rows])
        text, targets, written = pad_tokens([self.tokens[i] for i in rows])
        inputs = {self.sound: frames, "lengths": lengths, "text": text, "text_lengths": written}
        return Batch(inputs, targets, weights=written.float())


def heard_places(recogniser: Recogniser, frames: Any, settings: Mapping[str, Any]) -> Tensor:
    """Count the places (N,) that prompt and audio of each clip take in a recogniser's language model."""
    counts = settings.get("counts") or [len(frames[i]) for i in range(len(frames))]
    if settings.get("sound", "frames") == "waves":
        counts = [math.ceil(count * recogniser.frame_rate / SAMPLE_RATE) for count in counts]
    encoder: Any = recogniser.encoder
    width = frames[0].shape[-1] if settings.get("sound", "frames") == "frames" else encoder.config.width
    return audio_places(recogniser.projector, counts, width) + len(recogniser.before) + len(recogniser.after)
