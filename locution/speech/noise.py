"""Sound without speech: what a recogniser must write nothing for."""

from __future__ import annotations

import numpy as np
import torch

from locution.engine.random import generator
from locution.speech.audio import SAMPLE_RATE, Samples


def noise_clip(index: int, seed: int = 0, *, longest: float = 4.0) -> Samples:
    """Coloured noise is sound whose power falls with its pitch: hiss, rush or rumble; here of any loudness.

    The power goes as pitch to the power of minus 0 to 2, the loudness from -50 to -10 dB, the length from
    half a second to `longest`. The same index and seed give the same samples (N,), at 16 kHz.

    >>> clip = noise_clip(3)
    >>> clip.dtype, bool(abs(clip).max() < 1), np.array_equal(clip, noise_clip(3))
    (dtype('float32'), True, True)

    Reference: J. Timmer and M. König, 1995, "On generating power law noise", section 2.
    """
    draw = generator(seed, "noise", index)
    slope, loud, long = torch.rand(3, generator=draw).tolist()
    count = int(SAMPLE_RATE * (0.5 + long * (longest - 0.5)))
    white = torch.fft.rfft(torch.randn(count, generator=draw))
    pitch = torch.arange(len(white)).clamp(min=max(1, count // 400))  # flat below 40 Hz
    sound = torch.fft.irfft(white * pitch ** (-slope), n=count)
    level = 10 ** ((-50 + 40 * loud) / 20)
    sound = sound / sound.square().mean().sqrt() * level
    clipped: Samples = sound.clamp(-0.99, 0.99).numpy().astype(np.float32)
    return clipped
