"""Augmentation of speech: noise, loudness and masks, drawn from a counter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from locution.speech.augmentation.spec_augment import blank
from locution.speech.augmentation.stripes import stripes


def add_power(mel: Tensor, noise: Tensor) -> Tensor:
    """Mix two sounds by adding the powers of their bands: log10 powers in, log10 powers out.

    Exact on average for sounds that have nothing to do with each other.

    >>> add_power(torch.tensor([0.0, -3.0]), torch.tensor([0.0, 0.0]))
    tensor([0.301, 0.000])
    """
    scale = math.log(10)  # from decades to nats and back
    return torch.logaddexp(mel * scale, noise * scale).div(scale)


def coloured_noise(frames: int, bands: int, draw: torch.Generator) -> Tensor:
    """Draw the log10 powers of a noise whose spectrum slopes at random, with a bump: (frames, bands)."""
    slope, place, height = torch.rand(3, generator=draw).tolist()
    band = torch.linspace(0, 1, bands)
    spectrum: Tensor = (slope * 4 - 3) * band + (height * 2 - 0.5) * torch.exp(-((band - place) ** 2) / 0.02)
    flutter = torch.rand(frames, bands, generator=draw).clamp_(min=1e-3).log_().neg_().log10_()
    return spectrum + flutter


def add_noise(mel: Tensor, noise: Tensor, ratio: float) -> Tensor:
    """Add noise to speech at a signal-to-noise ratio in decibels, both as log10 powers (frames, bands).

    >>> mixed = add_noise(torch.zeros(4, 2), torch.full((4, 2), 5.0), ratio=0.0)
    >>> mixed[0]
    tensor([0.301, 0.301])
    """

    def level(powers: Tensor) -> float:
        return math.log10(torch.pow(10, powers).mean().item())

    return add_power(mel, noise + (level(mel) - level(noise) - ratio / 10))


def spec_augment(mel: Tensor, draw: torch.Generator, bands: int = 15, times: float = 0.05) -> Tensor:
    """SpecAugment blanks random stripes of a spectrogram, so that no single cue is relied on.

    Two stripes of up to `bands` mel bands and, for each second of sound, one of time of up to `times` x 4
    seconds are set to the clip's mean. mel: (frames, bands), returned anew.

    >>> draw = torch.Generator().manual_seed(0)
    >>> spec_augment(torch.randn(200, 80, generator=draw), draw).shape
    torch.Size([200, 80])

    Reference: Park et al., 2019, "SpecAugment: a simple data augmentation method for automatic speech
    recognition", section 2.
    """
    frames, size = mel.shape
    hidden = stripes(torch.tensor([size]), size, 2, bands, draw)  # (1, M)
    times_hidden = stripes(torch.tensor([frames]), frames, max(1, frames // 100), int(400 * times), draw)  # (1, F)
    return blank(mel[None], torch.tensor([frames]), hidden, times_hidden)[0]
