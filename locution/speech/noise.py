"""Sound without speech: what a recogniser must write nothing for, and what lies under speech elsewhere."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
    level = 10 ** ((-50 + 40 * loud) / 20)
    clipped: Samples = (coloured(count, slope, draw) * level).clamp(-0.99, 0.99).numpy().astype(np.float32)
    return clipped


def coloured_noise(slopes: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Draw noises (B, count) at 16 kHz whose amplitudes fall as pitch to the power of minus `slopes` (B,); their RMS
    is 1.

    A slope of 0 is white noise, 1 falls as Brownian motion; flat below 40 Hz. Drawn on the generator's device.

    >>> noise = coloured_noise(torch.tensor([0.0, 1.0]), 16000, torch.Generator().manual_seed(0))
    >>> power = torch.fft.rfft(noise).abs().square()
    >>> rise = power[:, 1000:2000].mean(1) / power[:, 4000:8000].mean(1)  # two octaves lower
    >>> torch.log2(rise).round().tolist()
    [0.0, 4.0]
    """
    white = torch.fft.rfft(torch.randn(len(slopes), count, generator=draw, device=draw.device))
    pitch = torch.arange(white.shape[1], device=draw.device).clamp(min=max(1, count // 400))  # flat below 40 Hz
    sound: Tensor = torch.fft.irfft(white * pitch ** -slopes.to(draw.device)[:, None], n=count)
    return sound / sound.square().mean(1, keepdim=True).sqrt()


def coloured(count: int, slope: float, draw: torch.Generator) -> Tensor:
    """Draw one noise (N,) of a slope, as `coloured_noise` does."""
    return coloured_noise(torch.tensor([slope]), count, draw)[0]


def noisy(samples: Samples, decibels: float, index: int, seed: int = 0) -> Samples:
    """A signal-to-noise ratio says how much stronger speech is than the noise under it, here mixed to be so.

    Adds coloured noise to samples (N,) at 16 kHz, so that the mean power of what came is `decibels` above that
    of the noise; where the sum would exceed full scale, all of it is made softer. The same index and seed give
    the same noise. Silence stays as it is.

    >>> speech = 0.1 * np.sin(np.arange(16000) / 9).astype(np.float32)
    >>> mixed = noisy(speech, 10, index=0)
    >>> round(float(10 * np.log10(np.mean(speech**2) / np.mean((mixed - speech) ** 2))), 2)
    10.0

    Reference: J. Timmer and M. König, 1995, "On generating power law noise", section 2.
    """
    if not samples.any():
        return samples
    draw = generator(seed, "noise under speech", index)
    slope = float(torch.rand(1, generator=draw))
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    noise = coloured(len(samples), slope, draw).numpy() * (power / 10 ** (decibels / 10)) ** 0.5
    mixed = samples + noise
    softened: Samples = (mixed / max(1.0, float(np.abs(mixed).max()) / 0.99)).astype(np.float32)
    return softened
