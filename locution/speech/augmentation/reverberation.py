"""Reverberation: the room that speech is heard in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require
from locution.speech.augmentation.sound import mean_power, samples_stream, there, waves_of, with_sound
from locution.speech.logmel import SAMPLE_RATE


def room_responses(seconds: Tensor, direct: float, draw: torch.Generator) -> Tensor:
    """Draw what comes back of one clap in rooms of so many seconds of reverberation: (B,) to (B, R) at 16 kHz.

    First the clap itself, 1.0, then noise that falls by 60 decibels in that time; the clap's energy is `direct`
    decibels above all of the noise's. R reaches the longest of the times.

    >>> response = room_responses(torch.tensor([0.5]), 0.0, torch.Generator().manual_seed(0))[0]
    >>> tuple(response.shape), response[0].item(), round(response[1:].square().sum().item(), 3)
    ((8000,), 1.0, 1.000)
    >>> early, late = response[1:1601].square().sum(), response[1601:3201].square().sum()  # 0.1 s later: 12 dB less
    >>> round((10 * torch.log10(early / late)).item())
    12

    Reference: J.-D. Polack, 1993, "Playing billiards in the concert hall: the mathematical foundations of geometrical
    room acoustics", section 2 (exponentially decaying Gaussian noise).
    """
    seconds = seconds.to(draw.device)
    size = max(2, math.ceil(float(seconds.max()) * SAMPLE_RATE))
    time = torch.arange(size, device=draw.device) / SAMPLE_RATE
    tail = torch.randn(len(seconds), size, generator=draw, device=draw.device)
    tail = tail * torch.exp(-math.log(1000) * time / seconds[:, None])  # amplitude: a thousandth is 60 decibels
    tail[:, 0] = 0
    tail = tail / tail.square().sum(1, keepdim=True).sqrt() * 10 ** (-direct / 20)
    tail[:, 0] = 1
    return tail


def convolve(waves: Tensor, lengths: Tensor, responses: Tensor) -> Tensor:
    """Let clips (B, N) sound through responses (B, R), each cut off at its own end: (B, N), silent behind it.

    >>> convolve(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([2]), torch.tensor([[1.0, 0.5]]))
    tensor([[1.0000, 2.5000, 0.0000]])
    """
    room = waves.shape[1]
    least = room + responses.shape[1] - 1  # as long as both together: nothing comes round
    block = 1 << max(0, least.bit_length() - 4)
    size = -(-least // block) * block  # 9 to 16 times a power of two, which transforms fast
    product = torch.fft.rfft(waves, n=size) * torch.fft.rfft(responses, n=size)
    heard: Tensor = torch.fft.irfft(product, n=size)[:, :room]
    return heard * there(lengths, room)


@dataclass
class ReverberationMethod(Method):
    """Reverberation augmentation lets some of the clips sound as if spoken in rooms of random size.

    A clip is convolved with a room's response: the speech itself, then ever fainter echoes. The clip keeps its
    loudness and its length. It acts on samples, so the cache of encoder frames must be off (`data.cache=false`).

    Settings
    --------
    share: of the clips, by chance, that get a room. low, high: bounds of the reverberation time, in which echoes
    fall by 60 decibels, in seconds. direct: by how many decibels the speech itself is above all its echoes.

    >>> from locution.engine.method import Plan
    >>> clap = torch.zeros(1, 16000).index_fill(1, torch.tensor([0]), 1.0)
    >>> batch = Batch({"waves": clap, "lengths": torch.tensor([16000])})
    >>> method = ReverberationMethod(share=1.0, direct=0.0)
    >>> heard = method.batch(batch, Step(0, 0, Plan(seed=0), torch.nn.Identity())).inputs["waves"]
    >>> round(heard.square().sum().item(), 4), round(heard[0, 0].item() ** 2, 4)  # half of it is the clap itself
    (1.0, 0.5)

    Reference: T. Ko et al., 2017, "A study on data augmentation of reverberant speech for robust speech recognition",
    section 3.1.
    """

    name: ClassVar[str] = "reverberation"
    after: ClassVar[tuple[str, ...]] = ("speed", "silence")

    share: float = 0.5
    low: float = 0.1
    high: float = 0.7
    direct: float = 3.0

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "reverberation.share", self.share, "a share above 0, at most 1")
        require(0.01 <= self.low <= 10, "reverberation.low", self.low, "seconds from 0.01 to 10, usually 0.1")
        allowed = f"seconds from {self.low:g} to 10, usually 0.7"
        require(self.low <= self.high <= 10, "reverberation.high", self.high, allowed)
        require(-40 <= self.direct <= 100, "reverberation.direct", self.direct, "decibels from -40 to 100, usually 3")

    def batch(self, batch: Batch, step: Step) -> Batch:
        waves, lengths = waves_of(batch, self.name)
        chance, size = torch.rand(2, len(batch), generator=step.generator(self.name))  # (B,) each
        seconds = self.low + (self.high - self.low) * size
        responses = room_responses(seconds, self.direct, samples_stream(step, self.name, waves.device))
        heard = convolve(waves, lengths, responses)
        tiny = torch.finfo(heard.dtype).tiny
        heard = heard * (mean_power(waves, lengths) / mean_power(heard, lengths).clamp(min=tiny)).sqrt()
        chosen = (chance < self.share).to(waves.device)[:, None]
        return with_sound(batch, "waves", torch.where(chosen, heard, waves), lengths)
