"""Speed: the same words, spoken faster or slower."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require
from locution.speech.augmentation.sound import there, waves_of, with_sound
from locution.speech.logmel import SAMPLE_RATE

MARGIN = 256  # samples of silence behind a clip, into which the filter may ring


def play(waves: Tensor, pace: Fraction) -> Tensor:
    """Play clips (B, N) at another pace, 11/10 for a tenth faster: (B, N / pace), all pitches with it.

    The spectrum is cut or continued with zeros, which interpolates between samples without error and without
    aliases. Silence must lie behind each clip, or its end sounds into its start.

    >>> wave = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)[None]
    >>> fast = play(wave, Fraction(11, 10))
    >>> spectrum = torch.fft.rfft(fast[:, :14545], n=16000).abs()
    >>> fast.shape[1], int(spectrum.argmax())  # samples, Hz
    (14546, 484)
    """
    count = waves.shape[1]
    blocks = -(-(count + MARGIN) // pace.numerator)
    long, short = blocks * pace.numerator, blocks * pace.denominator  # in and out: whole numbers of samples
    played: Tensor = torch.fft.irfft(torch.fft.rfft(waves, n=long), n=short) * (short / long)  # cut or continued
    return played[:, : -(-count * pace.denominator // pace.numerator)]


@dataclass
class SpeedMethod(Method):
    """Speed augmentation plays some of the clips faster or slower, as a record on another turntable.

    A third of the clips, by chance, is a little faster and higher, a third slower and lower, a third as it was. It
    acts on samples, so the cache of encoder frames must be off (`data.cache=false`).

    Settings
    --------
    spread: by which share the pace goes up and down. longest: clips that would last longer than so many seconds keep
    their pace, for an encoder that hears no more.

    >>> from locution.engine.method import Plan
    >>> batch = Batch({"waves": torch.randn(6, 990), "lengths": torch.tensor([990] * 5 + [500])})
    >>> changed = SpeedMethod().batch(batch, Step(0, 0, Plan(seed=1), torch.nn.Identity()))
    >>> changed.inputs["lengths"].tolist()
    [990, 990, 1100, 900, 900, 556]

    Reference: T. Ko et al., 2015, "Audio augmentation for speech recognition", section 2.
    """

    name: ClassVar[str] = "speed"
    after: ClassVar[tuple[str, ...]] = ("silence",)

    spread: float = 0.1
    longest: float = 30.0

    def __post_init__(self) -> None:
        require(0.01 <= self.spread <= 0.5, "speed.spread", self.spread, "a share from 0.01 to 0.5, usually 0.1")
        require(self.longest > 0, "speed.longest", self.longest, "seconds above 0, usually 30")

    def paces(self) -> tuple[Fraction, ...]:
        """Name the three paces as ratios of small numbers.

        >>> [str(pace) for pace in SpeedMethod().paces()]
        ['9/10', '1', '11/10']
        """
        spread = Fraction(self.spread).limit_denominator(100)
        return (1 - spread, Fraction(1), 1 + spread)

    def batch(self, batch: Batch, step: Step) -> Batch:
        waves, lengths = waves_of(batch, self.name)
        drawn = torch.randint(3, (len(batch),), generator=step.generator(self.name)).to(waves.device)  # (B,)
        slowest = -(-lengths * self.paces()[0].denominator // self.paces()[0].numerator)
        drawn = torch.where((drawn == 0) & (slowest > self.longest * SAMPLE_RATE), 1, drawn)
        found, counts = waves, lengths
        for number, pace in enumerate(self.paces()):
            if pace == 1 or not bool((drawn == number).any()):
                continue
            rows = (drawn == number).nonzero()[:, 0]
            played = play(waves[rows], pace)
            if played.shape[1] > found.shape[1]:
                found = torch.nn.functional.pad(found, (0, played.shape[1] - found.shape[1]))
            played = torch.nn.functional.pad(played, (0, found.shape[1] - played.shape[1]))
            found = found.index_copy(0, rows, played)
            counts = counts.index_copy(0, rows, -(-lengths[rows] * pace.denominator // pace.numerator))
        room = int(counts.max())
        return with_sound(batch, "waves", found[:, :room] * there(counts, room), counts)
