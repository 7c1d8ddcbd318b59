"""Noisy repetition: what a language model is raised on, so that it listens to what stands before it.

A text is laid out in time as a recogniser would hear it, one letter a frame, with holds, gaps, silence and
mistakes; two neighbouring frames make one moment, and the model must write the text again. Codes of a frame:
0 is silence, 1 to 28 are the letters of `tokenizer.LETTERS`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.random import generator, stream_key
from locution.errors import require
from locution.speech.babble import Texts
from locution.speech.tokenizer import EARLY, EOS, LETTERS, PAD, SEP

CODES = 1 + len(LETTERS)
ALIKE = ("aeiouy", "bpvf", "dt", "ckqgx", "gj", "mn", "fvw", "szxc", "lrw", "hw", "yi", "ou", "'s")
IGNORE = -100


@cache
def confusable() -> Tensor:
    """Tabulate for each code eight others that it is mistaken for: six that sound alike, two that do not.

    >>> LETTERS[int(confusable()[LETTERS.index("d") + 1, 0]) - 1]
    't'
    """
    rows = [[0] * 8]
    for place, letter in enumerate(LETTERS):
        alike = [other for group in ALIKE if letter in group for other in group if other != letter] or [
            "a",
            "e",
        ]
        others = [LETTERS[(place + step) % len(LETTERS)] for step in (5, 11)]
        rows.append([LETTERS.index(other) + 1 for other in [*(alike * 6)[:6], *others]])
    return torch.tensor(rows)


@dataclass(frozen=True)
class Noise:
    """How much a text is damaged on its way; rates are per letter at the worst level, which `level` scales
    down.

    clean: share of the texts that keep every letter (the others draw a level between 0 and 1, more often a
    low one). dropped, substituted, inserted: mistakes. held: chance that a letter stays for a second frame.
    slow: the gap after a letter, in frames, for the slowest speakers. pause: chance of a long gap at a
    space. blurred: share of the frames that are a mixture with a neighbour or with a letter that sounds
    alike.
    """

    clean: float = 0.4
    dropped: float = 0.06
    substituted: float = 0.10
    inserted: float = 0.03
    held: float = 0.22
    slow: float = 1.3
    pause: float = 0.06
    blurred: float = 0.15

    def __post_init__(self) -> None:
        for name in ("clean", "dropped", "substituted", "inserted", "held", "pause", "blurred"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a share from 0 to 1")
        require(self.slow >= 0, "slow", self.slow, "a number from 0")

    def levels(self, count: int, draw: torch.Generator) -> Tensor:
        """Draw how badly each of `count` texts is damaged: 0 not at all, 1 at the full rates."""
        spared = torch.rand(count, 1, generator=draw) < self.clean
        return torch.where(spared, 0.0, torch.rand(count, 1, generator=draw) ** 1.5)


def letters(texts: Sequence[str]) -> Tensor:
    """Write texts as codes, one row a text, zeros behind the end.

    >>> letters(["ab", ""])
    tensor([[3, 4],
            [0, 0]])
    """
    codes = torch.zeros(len(texts), max([1, *map(len, texts)]), dtype=torch.long)
    for row, text in enumerate(texts):
        if text:
            codes[row, : len(text)] = torch.tensor([LETTERS.index(letter) + 1 for letter in text])
    return codes


def damage(
    codes: Tensor, level: Tensor, noise: Noise, draw: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Make a recogniser's mistakes: returns the codes heard, which of them are heard at all, and what is put
    in after.

    codes: (B, L); level: (B, 1). All three results are (B, L); the third is 0 where nothing is put in.
    """
    chance = torch.rand(codes.shape, generator=draw)
    others = confusable()[codes, torch.randint(0, 8, codes.shape, generator=draw)]
    heard = torch.where(chance < noise.substituted * level, others, codes)
    kept = (codes > 0) & (chance <= 1 - noise.dropped * level)
    extra = torch.randint(1, CODES, codes.shape, generator=draw)
    inserted = (torch.rand(codes.shape, generator=draw) < noise.inserted * level) & (codes > 0)
    return heard, kept, torch.where(inserted, extra, 0)


def align(heard: Tensor, kept: Tensor, extra: Tensor, noise: Noise, draw: torch.Generator) -> Tensor:
    """Lay letters out in time: each is held for one to three frames, then comes a gap; silence stands at
    both ends.

    As in connectionist temporal classification, two equal letters in a row always have silence between them.
    Returns frames (B, F), F even and the same for all, so that a batch needs no padding: silence fills it.
    """
    shape = heard.shape
    chance = torch.rand(shape, generator=draw)
    hold = (1 + (chance < noise.held).long() + (chance < noise.held / 5).long()) * kept
    rate = noise.slow * torch.rand(len(heard), 1, generator=draw)
    gap = (
        rate * -torch.log(torch.rand(shape, generator=draw) + 1e-6) + 0.5 * torch.rand(shape, generator=draw)
    ).long()
    pause = (heard == 1) & (torch.rand(shape, generator=draw) < noise.pause)
    gap = gap.clamp(max=8) + pause * torch.randint(2, 14, shape, generator=draw)
    following = torch.cat([heard[:, 1:], torch.zeros_like(heard[:, :1])], dim=1)
    gap = torch.where((following == heard) & (gap == 0), 1, gap)
    gap = torch.where(extra > 0, 1, gap) * (heard > 0)  # (B, L)
    total = (hold + gap).sum(1)
    frames = 2 * (int(total.max()) // 2 + 1 + int(torch.randint(1, 10, (1,), generator=draw)))
    slack = frames - total
    lead = (torch.rand(len(heard), generator=draw) * slack).long().clamp(max=40)
    silence = torch.zeros_like(heard[:, :1])
    codes = torch.cat([silence, torch.stack([heard, extra], 2).flatten(1), silence], dim=1)
    times = torch.cat([lead[:, None], torch.stack([hold, gap], 2).flatten(1), (slack - lead)[:, None]], dim=1)
    return torch.repeat_interleave(codes.flatten(), times.flatten()).view(len(heard), frames)


def blur(frames: Tensor, level: Tensor, noise: Noise, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw what else each frame sounds like, and how much (0 to 0.45): a neighbour in time, or a letter
    alike."""
    chance = torch.rand(frames.shape, generator=draw)
    alike = confusable()[frames, torch.randint(0, 8, frames.shape, generator=draw)]
    anything = torch.randint(0, CODES, frames.shape, generator=draw)
    other = torch.where(chance < 0.85, alike, anything)
    other = torch.where(chance < 0.6, frames.roll(-1, 1), other)
    other = torch.where(chance < 0.3, frames.roll(1, 1), other)
    strong = torch.rand(frames.shape, generator=draw) < noise.blurred + 0.35 * level
    return other, torch.where(strong, 0.45, 0.05) * torch.rand(frames.shape, generator=draw)


def written(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Write what the model reads and what it must write: ([SEP] text, text [EOS]), the targets padded with
    -100.

    >>> written(["ab", "a"])
    (tensor([[1, 6, 7],
            [1, 6, 0]]), tensor([[   6,    7,    2],
            [   6,    2, -100]]))
    """
    length = 1 + max(map(len, texts))
    read = torch.full((len(texts), length), PAD)
    write = torch.full((len(texts), length), IGNORE)
    for row, text in enumerate(texts):
        tokens = [EARLY + 1 + LETTERS.index(letter) for letter in text]
        read[row, : len(text) + 1] = torch.tensor([SEP, *tokens])
        write[row, : len(text) + 1] = torch.tensor([*tokens, EOS])
    return read, write


def repetition(
    texts: Sequence[str], draw: torch.Generator, noise: Noise, level: float | None = None
) -> Batch:
    """Noisy repetition makes an example of a text: what a poor listener heard of it, then the text to write.

    Parameters
    ----------
    texts: of a-z, apostrophe and space. draw: all randomness. level: how bad, 0 to 1; drawn for each text
    where None.

    Inputs of the batch: frames and others (B, F) codes, mix (B, F) how much of the other is heard, text (B,
    N) token ids that begin with [SEP]; targets (B, N); weights (B,): tokens to write.

    >>> batch = repetition(["ab"], generator(0, "data"), Noise(held=0, slow=0), level=0.0)
    >>> [int(code) for code in batch.inputs["frames"][0] if code], batch.weight()
    ([3, 4], 3.0)

    Reference: M. Lewis et al., 2020, "BART: denoising sequence-to-sequence pre-training" (the damage);
    A. Graves et al., 2006, "Connectionist temporal classification", section 3 (letters laid out in time).
    """
    codes = letters(texts)
    levels = noise.levels(len(texts), draw) if level is None else torch.full((len(texts), 1), float(level))
    frames = align(*damage(codes, levels, noise, draw), noise, draw)
    others, mix = blur(frames, levels, noise, draw)
    read, write = written(texts)
    inputs = {"frames": frames, "others": others, "mix": mix, "text": read}
    return Batch(inputs, write, (write != IGNORE).sum(1).float())


class Repetitions:
    """Batches of noisy repetitions, each of texts of about one length, short ones first.

    Parameters
    ----------
    texts: where they come from. tokens: about how many moments and letters a batch holds. longest: letters
    of the longest text; the limit grows from 16 to it during the first `ramp` batches. batches: how many
    make an epoch.

    >>> source = Repetitions(Texts(["turn on the light"]), tokens=200, batches=2)
    >>> [len(batch) for batch in source.epoch(0, seed=0)] == [len(batch) for batch in source.epoch(0, seed=0)]
    True
    """

    def __init__(
        self,
        texts: Texts,
        noise: Noise | None = None,
        *,
        tokens: int = 2048,
        longest: int = 96,
        ramp: int = 400,
        batches: int = 500,
    ) -> None:
        require(tokens >= 1, "data.tokens", tokens, "a whole number from 1")
        require(longest >= 8, "data.longest", longest, "a whole number from 8")
        require(batches >= 1, "data.batches", batches, "a whole number from 1")
        self.texts, self.noise = texts, noise or Noise()
        self.tokens, self.longest, self.ramp, self.batches = tokens, longest, ramp, batches

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return self.batches

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Make the batches of one epoch; each depends on the seed, the epoch and its own place alone."""
        for index in range(skip, self.batches):
            grown = min(1.0, (number * self.batches + index) / max(1, self.ramp))
            limit = min(16 + grown * (self.longest - 16), self.longest)
            draw = random.Random(stream_key(seed, "texts", number, index))
            length = draw.randint(8, int(limit))
            count = max(4, int(self.tokens / (2 * length + 8)))
            chosen = [self.texts.draw(draw, length) for _ in range(count)]
            yield repetition(chosen, generator(seed, "data", number, index), self.noise)
