"""Sound from a microphone, as it comes in."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from locution.errors import LocutionError, UserError
from locution.speech.audio import SAMPLE_RATE, Samples
from locution.speech.voice_activity import Cutting, Piece, Pieces

BLOCK = SAMPLE_RATE // 10
LATE = 600  # blocks that may wait, one minute: a slower machine loses sound rather than memory


def microphone(device: str | int | None = None) -> Iterator[Samples]:
    """A microphone gives sound in blocks of a tenth of a second, float32 (1600,) at 16 kHz, until Ctrl-C.

    Raises UserError where sounddevice or its PortAudio is not installed, LocutionError where no microphone answers.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing
        raise UserError(
            f"the microphone needs sounddevice and PortAudio: pip install sounddevice ({error})."
        ) from error
    blocks: queue.Queue[Samples] = queue.Queue(LATE)

    def take(data: Any, frames: int, when: Any, status: Any) -> None:
        if not blocks.full():
            blocks.put_nowait(np.array(data[:, 0], np.float32))

    try:
        stream = sounddevice.InputStream(SAMPLE_RATE, BLOCK, device, 1, "float32", callback=take)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise LocutionError(f"no microphone answers ({str(error).splitlines()[0]}).") from error
    with stream:
        while True:
            yield blocks.get()


def utterances(blocks: Iterable[Samples], longest: float = 6.0) -> Iterator[Piece]:
    """Cut sound that is still coming in into utterances: each is there as soon as nobody speaks for 0.3 seconds.

    >>> tone = np.sin(np.arange(16000) / 3).astype(np.float32)
    >>> sound = np.concatenate([0 * tone, tone, 0 * tone, tone])
    >>> [round(one.start, 1) for one in utterances(np.split(sound, 40))]
    [0.9, 2.9]

    Reference: R. Martin, 2001, "Noise Power Spectral Density Estimation Based on Optimal Smoothing and Minimum
    Statistics", section III.
    """
    cut = Pieces(Cutting(longest=longest, enough=0.0, pause=0.3, whole=0.0), lookahead=False)
    for block in blocks:
        yield from cut.push(block)
    yield from cut.finish()
