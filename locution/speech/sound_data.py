"""Sound as whole numbers, to be predicted one sample at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.losses.basic import IGNORED
from locution.speech.mu_law import LEVELS, mu_law
from locution.speech.own_sounds import RATE, own_sounds, sound_of
from locution.speech.sentences import KINDS, sentence
from locution.speech.synthesis import SAMPLE_RATE, draw_utterance, speak

QUIET = 1e-3
SHARES = (0.15, 0.15)  # of one's own recordings: to tune on, to be judged by


def spoken(split: str, count: int, kind: str, seed: int) -> list[Tensor]:
    """Synthesise sentences of a split in voices of that split, at 8 kHz, without silence at their ends: (T_i,) each.

    >>> (one,) = spoken("test", 1, "everyday", seed=0)
    >>> one.dtype, 0.2 < len(one) / RATE < 20
    (torch.float32, True)
    """
    import soxr

    wanted = [draw_utterance(sentence(seed, split, at, kind), split, seed, at) for at in range(count)]
    found = []
    for samples in speak(wanted):
        lower = soxr.resample(samples.astype(np.float32) / 2**15, SAMPLE_RATE, RATE)
        loud = np.flatnonzero(np.abs(lower) > QUIET)
        found.append(torch.from_numpy(lower[loud[0] : loud[-1] + 1] if len(loud) else lower[:0]))
    return found


def windows(sounds: list[Tensor], length: int) -> Tensor:
    """Cut sounds into windows that do not overlap: (N, length); what is left over at an end is dropped.

    >>> windows([torch.arange(5), torch.arange(3)], 2)
    tensor([[0, 1],
            [2, 3],
            [0, 1]])
    """
    pieces = [sound[: len(sound) // length * length].view(-1, length) for sound in sounds]
    return torch.cat(pieces)


def one_window_each(sounds: list[Tensor], length: int, draw: torch.Generator) -> Tensor:
    """Cut one window out of each sound at a random place: (N, length); shorter sounds are left out."""
    long = [sound for sound in sounds if len(sound) >= length]
    starts = [int(torch.randint(len(sound) - length + 1, (), generator=draw)) for sound in long]
    return torch.stack([sound[start : start + length] for sound, start in zip(long, starts, strict=True)])


def spread(rows: Tensor, most: int) -> Tensor:
    """Keep at most so many rows, evenly spread over all of them: (N, ...).

    >>> spread(torch.arange(10), 3)
    tensor([0, 3, 6])
    """
    return rows if len(rows) <= most else rows[torch.arange(most) * len(rows) // most]


@dataclass(frozen=True)
class SoundData:
    """Samples of speech are to be predicted one after another: 8000 a second, each one of 256 numbers of the mu-law.

    The speech is synthesised: `train`, `development` and `test` count sentences, of a `kind`, in voices that are in no
    two of these parts. With `path` the sound is one's own: a folder of recordings or a single one (`own_sounds`); all
    that is not held out is learnt from, and `development` and `test` say how many windows are judged by at most.
    Inputs are windows (N, length) of whole numbers, targets (N, length) the samples that follow them. Those to learn
    from cover their sounds; those held out are longer by `heard` samples that are read before judging begins and that
    count nowhere: one of each sentence, of one's own recordings as many as there are. `split` is the seed of all this,
    apart from the run's own.

    >>> data = SoundData(train=3, development=1, test=1, length=256, heard=64).load(seed=0)
    >>> data.inputs, data.outputs, data.test.inputs.shape
    ((256,), 256, torch.Size([1, 320]))

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", section 2.2.
    """

    train: int = 60
    development: int = 20
    test: int = 100
    kind: str = "everyday"
    length: int = 1024
    heard: int = 512
    batch_size: int = 8
    split: int = 0
    path: str = ""

    def __post_init__(self) -> None:
        for name in ("train", "development", "test", "batch_size"):
            require(getattr(self, name) >= 1, f"data.{name}", getattr(self, name), "a whole number from 1")
        require(self.length >= 2, "data.length", self.length, "a whole number from 2, usually 1024")
        require(self.heard >= 0, "data.heard", self.heard, "a whole number from 0")
        require(self.kind in KINDS, "data.kind", self.kind, ", ".join(KINDS))

    def load(self, seed: int) -> Dataset:
        """Speak the sentences, or read the recordings, and cut them up; the run's seed has no part in it."""
        sounds, notes = own_sounds(self.path, SHARES, self.split) if self.path else self.synthesised()
        parts = {name: self.cut(name, found) for name, found in sounds.items()}
        long = sum(len(sound) for found in sounds.values() for sound in found) / RATE / 60
        own = f"one's own recordings, {long:.1f} min, at {RATE} samples a second"
        return Dataset(
            TensorBatches(*parts["train"], batch_size=self.batch_size),
            held_out(*parts["development"], batch_size=16),
            held_out(*parts["test"], batch_size=16),
            inputs=(self.length,),
            outputs=LEVELS,
            labels=tuple(map(str, range(LEVELS))),
            source=own if self.path else f"synthetic speech at {RATE} samples a second",
            notes=tuple(notes),
            reader=sound_of,
        )

    def synthesised(self) -> tuple[dict[str, list[Tensor]], list[str]]:
        """Speak the sentences of each part."""
        splits = {"train": "train", "development": "dev", "test": "test"}
        sounds = {
            name: [mu_law(sound) for sound in spoken(split, getattr(self, name), self.kind, self.split)]
            for name, split in splits.items()
        }
        return sounds, ["voices and sentences of the test set are in no other part"]

    def cut(self, name: str, sounds: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Cut the sounds of a part into windows (N, length or more), and say what follows each of their samples."""
        more = self.length + 1 + (0 if name == "train" else self.heard)
        if not any(len(sound) >= more for sound in sounds):
            what = f"recordings for the part '{name}'" if self.path else f"{name} sentences"
            allowed = f"less, the {what} are shorter than {more} samples with those that are only heard"
            raise UserError(f"data.length is {self.length}; allowed: {allowed}.")
        if name == "train":
            found = windows(sounds, more)
        elif self.path:
            found = spread(windows(sounds, more), getattr(self, name))
        else:
            found = one_window_each(sounds, more, generator(self.split, f"windows {name}"))
        targets = found[:, 1:].clone()
        if name != "train":
            targets[:, : self.heard] = IGNORED
        return found[:, :-1], targets
