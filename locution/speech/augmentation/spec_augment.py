"""SpecAugment: stripes of a spectrogram are blanked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require
from locution.speech.augmentation.sound import mel_of, there, with_sound
from locution.speech.augmentation.stripes import stripes


def blank(mel: Tensor, lengths: Tensor, bands: Tensor, times: Tensor) -> Tensor:
    """Set bands (B, M) and times (B, F) of spectrograms (B, F, M) to each clip's mean; padding stays zero.

    >>> mel = torch.tensor([[[1.0, 5.0], [3.0, 3.0], [0.0, 0.0]]])
    >>> blank(mel, torch.tensor([2]), torch.tensor([[False, True]]), torch.zeros(1, 3).bool())[0].tolist()
    [[1.0, 3.0], [3.0, 3.0], [0.0, 0.0]]
    """
    mine = there(lengths, mel.shape[1])[..., None]  # (B, F, 1)
    mean = (mel * mine).sum((1, 2), keepdim=True) / (lengths[:, None, None] * mel.shape[2])  # (B, 1, 1)
    hidden = (bands[:, None] | times[..., None]) & mine  # (B, F, M)
    return torch.where(hidden, mean, mel)


@dataclass
class SpecAugmentMethod(Method):
    """SpecAugment blanks random stripes of a spectrogram, so that no single cue is relied on.

    Stripes of neighbouring pitch bands and stripes of time are set to the clip's mean, anew in each step. It acts on
    spectrograms that are made of the samples in the step, so the cache of encoder frames must be off
    (`data.cache=false`).

    Settings
    --------
    band_masks, bands: stripes of pitch, and bands of 80 that each may have. time_masks, times: stripes of time, and
    frames of 10 ms that each may have. most: no stripe of time is longer than this share of its clip.

    >>> from locution.engine.method import Plan
    >>> batch = Batch({"mel": torch.arange(100.0).expand(1, 80, 100).mT, "lengths": torch.tensor([100])})
    >>> changed = SpecAugmentMethod().batch(batch, Step(0, 0, Plan(seed=1), torch.nn.Identity())).inputs["mel"]
    >>> blanked = changed[0] == 49.5  # the mean
    >>> int(blanked.all(0).sum()), int(blanked.all(1).sum())  # bands, frames
    (5, 20)

    Reference: D. S. Park et al., 2019, "SpecAugment: a simple data augmentation method for automatic speech
    recognition", section 2 (frequency masking, time masking with the bound p; the mean as the masked value).
    """

    name: ClassVar[str] = "spec_augment"
    after: ClassVar[tuple[str, ...]] = ("noise", "reverberation", "speed", "silence")

    band_masks: int = 2
    bands: int = 15
    time_masks: int = 2
    times: int = 40
    most: float = 0.2

    def __post_init__(self) -> None:
        for setting in ("band_masks", "bands", "time_masks", "times"):
            value = getattr(self, setting)
            require(value >= 0, f"spec_augment.{setting}", value, "a whole number from 0")
        require(0 < self.most <= 1, "spec_augment.most", self.most, "a share above 0, at most 1")

    def batch(self, batch: Batch, step: Step) -> Batch:
        mel, lengths = mel_of(batch, step, self.name)
        draw, (clips, room, size) = step.generator(self.name), mel.shape
        pitches = torch.full((clips,), size, device=mel.device)
        bands = stripes(pitches, size, self.band_masks, self.bands, draw)  # (B, M)
        longest = (lengths * self.most).long().clamp(max=self.times)
        times = stripes(lengths, room, self.time_masks, longest, draw)  # (B, F)
        return with_sound(batch, "mel", blank(mel, lengths, bands, times), lengths)
