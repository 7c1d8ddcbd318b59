"""Where somebody speaks: long sound cut into pieces at its pauses, as it comes in, with the time of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from locution.errors import require
from locution.speech.audio import SAMPLE_RATE, Samples

FRAME = 320  # samples: 20 ms
RATE = SAMPLE_RATE // FRAME  # frames a second
BAND = (150.0, 4000.0)  # hertz in which nearly all of speech lies; rumble and hiss lie outside
AROUND = 3 * RATE  # frames on either side within which the noise floor is looked for: nobody speaks that long on end
SMOOTH = 5  # frames: a syllable is longer
FAINTEST = -65.0  # dB of full scale: below it nothing counts as speech
MODULATION = 5.0  # dB that speech rises above the floor at least; steady noise stays below
HANGOVER = 3  # frames that are added around speech: soft beginnings, and endings that fade away
BRIEFEST = 3  # frames: a click is shorter
REACH = AROUND + SMOOTH + HANGOVER + BRIEFEST  # frames beyond which nothing changes what is found

Levels = NDArray[np.float64]
Flags = NDArray[np.bool_]


def levels(samples: Samples) -> Levels:
    """Measure the power in speech's band of every 20 ms: (N,) samples to (N // 320,) dB of full scale.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(3200) / 16000).astype(np.float32)
    >>> levels(tone)[:2].round(1).tolist(), levels(np.zeros(640, np.float32)).tolist()
    ([-3.0, -3.0], [-100.0, -100.0])
    """
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(np.abs(np.fft.rfft(frames))).astype(np.float64)  # (F, 161)
    pitch = np.arange(power.shape[1]) * SAMPLE_RATE / FRAME
    band = power[:, (pitch >= BAND[0]) & (pitch <= BAND[1])].sum(1) * 2 / FRAME**2
    found: Levels = 10 * np.log10(np.maximum(band, 1e-10))
    return found


def activity(level: Levels) -> Flags:
    """Voice activity detection tells the moments in which somebody speaks from those in which nobody does.

    level (F,) in dB gives (F,) flags. The noise floor is the lowest level of the three seconds around each moment, so
    that it follows the room; speech stands above it by a third of what the loudest place does, 4 to 15 dB, because
    speech swells and fades with every syllable where noise is steady.

    >>> activity(np.repeat([-60.0, -20.0, -60.0], 100)).nonzero()[0][[0, -1]].tolist()
    [95, 204]

    Reference: R. Martin, 2001, "Noise Power Spectral Density Estimation Based on Optimal Smoothing and Minimum
    Statistics", section III (the floor as a minimum); J. Ramírez et al., 2004, "Efficient voice activity detection
    algorithms using long-term speech information", section 2 (hang-over).
    """
    from scipy.ndimage import binary_dilation, maximum_filter1d, minimum_filter1d, uniform_filter1d

    if not len(level):
        return np.zeros(0, bool)
    smooth = 10 * np.log10(uniform_filter1d(10 ** (level / 10), SMOOTH, mode="nearest"))
    floor = minimum_filter1d(smooth, 2 * AROUND + 1, mode="nearest")
    rise = maximum_filter1d(smooth, 2 * AROUND + 1, mode="nearest") - floor
    active = (smooth > np.maximum(floor + np.clip(0.3 * rise, 4.0, 15.0), FAINTEST)) & (rise >= MODULATION)
    for start, end in runs(active):
        if end - start < BRIEFEST:
            active[start:end] = False
    widened: Flags = binary_dilation(active, np.ones(2 * HANGOVER + 1, bool))
    return widened


def runs(flags: Flags) -> list[tuple[int, int]]:
    """List where flags are up without a break, as (first, behind the last).

    >>> runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class Cutting:
    """How long sound is cut, in seconds: no piece over `longest`; a pause of `pause` ends one that has `enough`.

    Three times the pause ends any piece. A recording of up to `whole` seconds stays in one piece, without the silence
    at its ends.
    """

    longest: float = 20.0
    enough: float = 2.0
    pause: float = 0.3
    whole: float = 20.0

    def __post_init__(self) -> None:
        require(1 <= self.longest <= 30, "longest", self.longest, "seconds from 1 to 30")
        require(0 <= self.enough <= self.longest, "enough", self.enough, f"seconds from 0 to {self.longest:g}")
        require(self.pause >= 0.04, "pause", self.pause, "seconds from 0.04")
        require(0 <= self.whole <= 30, "whole", self.whole, "seconds from 0 to 30")


@dataclass(frozen=True)
class Piece:
    """A stretch of sound in which somebody speaks: when it begins, in seconds, and its samples (N,)."""

    start: float
    samples: Samples

    @property
    def seconds(self) -> float:
        """Say how long it lasts."""
        return len(self.samples) / SAMPLE_RATE


def next_cut(active: Flags, level: Levels, cutting: Cutting, final: bool) -> tuple[int, int] | None:
    """Find the next piece in (F,) flags and levels: its first frame and the one behind its last, None if undecided.

    >>> flags = np.repeat([False, True, False, True], [10, 150, 20, 60])
    >>> next_cut(flags, np.zeros(240), Cutting(), final=False), next_cut(flags[180:], np.zeros(60), Cutting(), True)
    ((10, 160), (0, 60))
    """
    speech = runs(active)
    if not speech:
        return None
    begin, most = speech[0][0], int(cutting.longest * RATE)
    enough, pause = int(cutting.enough * RATE), max(1, round(cutting.pause * RATE))
    ends = [end for _, end in speech]
    nexts = [start for start, _ in speech[1:]] + [len(active)]
    pauses = [(end, upto - end) for end, upto in zip(ends, nexts, strict=True) if end - begin <= most]
    for end, long in pauses:
        if long >= 3 * pause or (long >= pause and end - begin >= enough):
            return begin, end
    if final and ends[-1] - begin <= most:
        return begin, ends[-1]
    if not final and len(active) - begin <= most + pause:
        return None
    late = [(long, end) for end, long in pauses if end - begin >= most * 0.3]
    if late:
        return begin, max(late)[1]
    start = begin + int(0.7 * most)  # nobody pauses: at the quietest place near the end
    return begin, start + int(np.argmin(level[start : begin + most])) + 1


class Pieces:
    """Cuts sound into pieces while it comes in: `push` takes blocks of any size, `finish` the end.

    Only what may still be needed is kept. With `lookahead` the pieces do not depend on how the sound was cut into
    blocks; without, as a microphone wants it, they come at once after each pause.

    >>> tone = np.sin(np.arange(16000) / 3).astype(np.float32)
    >>> sound = np.concatenate([0 * tone, tone, 0 * tone, 0 * tone, tone, 0 * tone])
    >>> cut = Pieces(Cutting(whole=0.0))
    >>> [(piece.start, piece.seconds) for piece in [*cut.push(sound), *cut.finish()]]
    [(0.9, 1.2), (3.9, 1.2)]
    """

    def __init__(self, cutting: Cutting | None = None, *, lookahead: bool = True) -> None:
        self.cutting = cutting or Cutting()
        self.lookahead = REACH if lookahead else 0
        self.samples = np.zeros(0, np.float32)
        self.level = np.zeros(0)
        self.gone = 0  # frames that are cut off for good
        self.past = 0  # frames at the front that are only kept to know the floor
        self.seconds = 0.0

    def push(self, block: Samples) -> Iterator[Piece]:
        """Take the next block; hand out the pieces that are complete now."""
        self.seconds += len(block) / SAMPLE_RATE
        self.samples = np.concatenate([self.samples, block])
        done = len(self.level) - self.past
        self.level = np.concatenate([self.level, levels(self.samples[done * FRAME :])])
        if self.seconds > self.cutting.whole:
            yield from self._pieces(final=False)

    def finish(self) -> Iterator[Piece]:
        """Hand out what is left."""
        if self.seconds <= self.cutting.whole:
            speech = runs(activity(self.level)) or [(0, len(self.samples))]  # in doubt, all of it
            first, last = speech[0][0], speech[-1][1]
            if len(self.samples):
                yield Piece(first * FRAME / SAMPLE_RATE, self.samples[first * FRAME : last * FRAME])
        else:
            yield from self._pieces(final=True)
        self.samples = self.samples[:0]

    def _pieces(self, final: bool) -> Iterator[Piece]:
        known = len(self.level) if final else max(self.past, len(self.level) - self.lookahead)
        active = activity(self.level)[:known]
        while (cut := next_cut(active[self.past :], self.level[self.past : known], self.cutting, final)) is not None:
            first, last = cut
            yield Piece((self.gone + first) * FRAME / SAMPLE_RATE, self.samples[first * FRAME : last * FRAME].copy())
            self._forget(last)
        ahead = runs(active[self.past :])
        self._forget(ahead[0][0] if ahead else max(0, known - self.past - HANGOVER - SMOOTH))
        old = max(0, self.past - REACH)
        self.level, self.past = self.level[old:], self.past - old

    def _forget(self, count: int) -> None:
        self.samples = self.samples[count * FRAME :]
        self.gone += count
        self.past += count


def cut_blocks(blocks: Iterable[Samples], cutting: Cutting | None = None) -> Iterator[Piece]:
    """Cut blocks of sound, as they come from a file, into pieces in which somebody speaks."""
    cut = Pieces(cutting)
    for block in blocks:
        yield from cut.push(block)
    yield from cut.finish()
