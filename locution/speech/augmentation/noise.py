"""Noise under speech: hiss, rush and rumble, at a ratio that is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require
from locution.speech.augmentation.sound import mean_power, samples_stream, there, waves_of, with_sound
from locution.speech.noise import coloured_noise


def add_noise(waves: Tensor, lengths: Tensor, noise: Tensor, decibels: Tensor) -> Tensor:
    """Lay noise (B, N) under clips (B, N), each `decibels` (B,) below the clip's own mean power; padding stays silent.

    >>> waves, noise = torch.tensor([[2.0, -2.0, 0.0]]), torch.tensor([[1.0, 3.0, 5.0]])
    >>> add_noise(waves, torch.tensor([2]), noise, torch.tensor([0.0])) - waves  # power 4, as the clip's
    tensor([[0.8944, 2.6833, 0.0000]])
    """
    noise = noise * there(lengths, waves.shape[1])
    wanted = mean_power(waves, lengths) / 10 ** (decibels / 10)[:, None]  # (B, 1)
    found = mean_power(noise, lengths)
    return waves + noise * (wanted / found.clamp(min=torch.finfo(noise.dtype).tiny)).sqrt()


@dataclass
class NoiseMethod(Method):
    """Noise augmentation lays a random noise under some of the clips, so that a recogniser learns to hear through it.

    The noises are drawn, from hiss to rumble; how much weaker than the speech each is, its signal-to-noise ratio, is
    uniform in decibels and exact for each clip. It acts on samples, so the cache of encoder frames must be off
    (`data.cache=false`).

    Settings
    --------
    share: of the clips, by chance, that get noise. low, high: bounds of the signal-to-noise ratio in decibels.

    >>> from locution.engine.method import Plan
    >>> wave = torch.sin(torch.arange(16000) * 0.1)[None]
    >>> batch = Batch({"waves": wave, "lengths": torch.tensor([16000])})
    >>> method, step = NoiseMethod(share=1.0, low=10.0, high=10.0), Step(0, 0, Plan(seed=1), torch.nn.Identity())
    >>> noise = method.batch(batch, step).inputs["waves"] - wave
    >>> round((10 * torch.log10(wave.square().mean() / noise.square().mean())).item(), 3)
    10.000

    Reference: T. Ko et al., 2017, "A study on data augmentation of reverberant speech for robust speech recognition",
    section 3.2 (noise added at a drawn signal-to-noise ratio).
    """

    name: ClassVar[str] = "noise"
    after: ClassVar[tuple[str, ...]] = ("reverberation", "speed", "silence")

    share: float = 0.5
    low: float = 0.0
    high: float = 25.0

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "noise.share", self.share, "a share above 0, at most 1")
        require(-40 <= self.low <= 100, "noise.low", self.low, "decibels from -40 to 100, usually 0")
        require(self.low <= self.high <= 100, "noise.high", self.high, f"decibels from {self.low:g} to 100, usually 25")

    def batch(self, batch: Batch, step: Step) -> Batch:
        waves, lengths = waves_of(batch, self.name)
        chance, slopes, ratios = torch.rand(3, len(batch), generator=step.generator(self.name))  # (B,) each
        noise = coloured_noise(slopes, waves.shape[1], samples_stream(step, self.name, waves.device))
        decibels = (self.low + (self.high - self.low) * ratios).to(waves.device)
        chosen = (chance < self.share).to(waves.device)[:, None]
        mixed = torch.where(chosen, add_noise(waves, lengths, noise, decibels), waves)
        return with_sound(batch, "waves", mixed, lengths)
