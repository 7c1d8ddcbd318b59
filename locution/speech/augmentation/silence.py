"""Silence examples: clips without speech, for which nothing must be written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import UserError, require
from locution.speech.augmentation.sound import mean_power, samples_stream, there, waves_of, with_sound
from locution.speech.noise import coloured_noise
from locution.speech.recogniser import IGNORED


def without_words(batch: Batch, chosen: Tensor) -> Batch:
    """Take away the transcripts of the chosen clips (B,): what remains of each is its end mark.

    >>> inputs = {"text": torch.tensor([[5, 6, 2]]), "text_lengths": torch.tensor([3])}
    >>> emptied = without_words(Batch(inputs, torch.tensor([[5, 6, 2]])), torch.tensor([True]))
    >>> emptied.targets.tolist(), emptied.inputs["text_lengths"].tolist(), emptied.weights.tolist()
    ([[-100, -100, 2]], [1], [1.0])
    """
    before = torch.arange(batch.targets.shape[1], device=chosen.device) < batch.targets.shape[1] - 1  # (L,)
    gone = chosen[:, None] & before  # (B, L)
    written = torch.where(chosen, 1, batch.inputs["text_lengths"])
    inputs = batch.inputs | {"text": batch.inputs["text"].masked_fill(gone, 0), "text_lengths": written}
    return replace(batch, inputs=inputs, targets=batch.targets.masked_fill(gone, IGNORED), weights=written.float())


@dataclass
class SilenceMethod(Method):
    """Silence examples are clips in which nobody speaks, mixed into training so that a recogniser learns to write
    nothing for them.

    Some of the clips become noise alone, of any colour and of -50 to -10 decibels below full scale, every tenth of
    them perfect silence; their transcripts become empty. It acts on samples, so the cache of encoder frames must be
    off (`data.cache=false`); beside the cache, `data.silence` puts such clips into a synthesised corpus.

    Settings
    --------
    share: of the clips, by chance, that lose their speech.

    >>> from locution.engine.method import Plan
    >>> inputs = {"waves": torch.ones(1, 400), "lengths": torch.tensor([400]), "text": torch.tensor([[5, 2]])}
    >>> batch = Batch(inputs | {"text_lengths": torch.tensor([2])}, torch.tensor([[5, 2]]), torch.tensor([2.0]))
    >>> changed = SilenceMethod(share=1.0).batch(batch, Step(0, 0, Plan(seed=0), torch.nn.Identity()))
    >>> bool(changed.inputs["waves"].abs().mean() < 0.5), changed.targets.tolist()
    (True, [[-100, 2]])

    Reference: A. Radford et al., 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.1
    (segments without speech are trained on too).
    """

    name: ClassVar[str] = "silence"

    share: float = 0.02

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "silence.share", self.share, "a share above 0, at most 1, usually 0.02")

    def batch(self, batch: Batch, step: Step) -> Batch:
        waves, lengths = waves_of(batch, self.name)
        if "text_lengths" not in batch.inputs:
            raise UserError(f"'{self.name}' came upon clips without transcripts; allowed: recipe speech.")
        chance, slopes, loud, quiet = torch.rand(4, len(batch), generator=step.generator(self.name))  # (B,) each
        noise = coloured_noise(slopes, waves.shape[1], samples_stream(step, self.name, waves.device))
        noise = noise * there(lengths, waves.shape[1])
        level = torch.where(quiet < 0.1, 0.0, 10 ** ((40 * loud - 50) / 20)).to(waves.device)[:, None]
        noise = (noise / mean_power(noise, lengths).sqrt() * level).clamp(-0.99, 0.99)
        chosen = (chance < self.share).to(waves.device)
        changed = with_sound(batch, "waves", torch.where(chosen[:, None], noise, waves), lengths)
        return without_words(changed, chosen) if bool(chosen.any()) else changed
