"""Frame dropout: single frames of what was heard are lost, here and there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require
from locution.speech.augmentation.sound import frames_of, with_sound


def drop_frames(frames: Tensor, rate: float, draw: torch.Generator) -> Tensor:
    """Set each frame of (B, T, D) to zero with the chance `rate`, and make the others larger: the mean stays.

    >>> drop_frames(torch.ones(1, 8, 1), 0.5, torch.Generator().manual_seed(0)).flatten().tolist()
    [0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0]
    """
    kept = torch.rand(frames.shape[:2], generator=draw) >= rate  # (B, T)
    return frames * kept.to(frames)[..., None].div_(1 - rate)


@dataclass
class FrameDropoutMethod(Method):
    """Frame dropout loses single frames of what an encoder heard, each by chance, so that none is relied on alone.

    A whole frame goes at a time, all its features with it; the others are made larger by 1 / (1 - rate), so that
    sums stay what they are without it. It acts on the encoder's frames, cached or not.

    Settings
    --------
    rate: the chance that a frame is lost.

    >>> from locution.engine.method import Plan
    >>> batch = Batch({"frames": torch.ones(1, 8, 1), "lengths": torch.tensor([8])})
    >>> changed = FrameDropoutMethod(rate=0.5).batch(batch, Step(0, 0, Plan(seed=1), torch.nn.Identity()))
    >>> changed.inputs["frames"].flatten().tolist()
    [2.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 2.0]

    Reference: J. Tompson et al., 2015, "Efficient object localization using convolutional networks", section 3.2
    (dropout of whole features), here of whole frames.
    """

    name: ClassVar[str] = "frame_dropout"
    after: ClassVar[tuple[str, ...]] = ("frame_masking", "spec_augment", "noise", "reverberation", "speed", "silence")

    rate: float = 0.1

    def __post_init__(self) -> None:
        require(0 < self.rate < 1, "frame_dropout.rate", self.rate, "a share above 0 and below 1, usually 0.1")

    def batch(self, batch: Batch, step: Step) -> Batch:
        frames, lengths = frames_of(batch, step, self.name)
        return with_sound(batch, "frames", drop_frames(frames, self.rate, step.generator(self.name)), lengths)
