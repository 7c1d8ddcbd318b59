"""Frame masking: stretches of what was heard are hidden, and the rest must suffice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require
from locution.speech.augmentation.sound import frames_of, with_sound
from locution.speech.augmentation.stripes import stripes


def mask_frames(frames: Tensor, lengths: Tensor, masks: int, longest: int, draw: torch.Generator) -> Tensor:
    """Hide short stretches of each clip's frames (B, T, D): `masks` of them, up to `longest` frames each, become zero.

    >>> hidden = mask_frames(torch.ones(1, 20, 1), torch.tensor([20]), 2, 4, torch.Generator().manual_seed(0))
    >>> "".join(str(int(value)) for value in hidden.flatten())
    '10000111111111111111'
    """
    return frames.masked_fill(stripes(lengths, frames.shape[1], masks, longest, draw)[..., None], 0)


@dataclass
class FrameMaskingMethod(Method):
    """Frame masking hides short stretches of what an encoder heard, so that what remains must suffice.

    It acts on the encoder's frames, cached or not. What is hidden is drawn once a step.

    Settings
    --------
    masks: stretches in each clip. longest: frames that a stretch may have; its length is uniform from 0.

    >>> from locution.engine.method import Plan
    >>> batch = Batch({"frames": torch.ones(1, 20, 1), "lengths": torch.tensor([20])})
    >>> changed = FrameMaskingMethod().batch(batch, Step(0, 0, Plan(seed=1), torch.nn.Identity()))
    >>> "".join(str(int(value)) for value in changed.inputs["frames"].flatten())
    '11110000011111111001'

    Reference: D. S. Park et al., 2019, "SpecAugment: a simple data augmentation method for automatic speech
    recognition", section 2 (time masking), here on the encoder's frames.
    """

    name: ClassVar[str] = "frame_masking"
    after: ClassVar[tuple[str, ...]] = ("spec_augment", "noise", "reverberation", "speed", "silence")

    masks: int = 2
    longest: int = 5

    def __post_init__(self) -> None:
        require(self.masks >= 1, "frame_masking.masks", self.masks, "a whole number from 1, usually 2")
        require(self.longest >= 1, "frame_masking.longest", self.longest, "a whole number from 1, usually 5")

    def batch(self, batch: Batch, step: Step) -> Batch:
        frames, lengths = frames_of(batch, step, self.name)
        frames = mask_frames(frames, lengths, self.masks, self.longest, step.generator(self.name))
        return with_sound(batch, "frames", frames, lengths)
