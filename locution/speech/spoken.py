"""Batches of spoken sentences: clips of like lengths together, augmented, by seconds of sound."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from locution.engine.batch import Batch
from locution.engine.random import generator
from locution.errors import require
from locution.speech.augment import add_noise, coloured_noise, spec_augment
from locution.speech.ctc import spell
from locution.speech.logmel import scale
from locution.speech.store import Store

NOISY, MASKED = 0.3, 0.3  # usual shares of the clips that get noise, that get masks
SILENT = 0.01  # share of clips that hold noise and no speech: silence must give nothing


def ctc_batch(mels: list[Tensor], texts: list[str]) -> Batch:
    """Put clips and their texts into one batch for CTC, padded behind each clip and each text."""
    letters = [torch.tensor(spell(text), dtype=torch.long) for text in texts]
    counts = torch.tensor([len(text) for text in letters])
    lengths = torch.tensor([len(mel) for mel in mels])
    inputs = {"mel": pad_sequence(mels, batch_first=True), "lengths": lengths}
    targets = {"letters": pad_sequence(letters, batch_first=True), "counts": counts}
    return Batch(inputs, targets, counts.clamp(min=1).float())


class SpokenBatches:
    """Spoken sentences in batches of about so many seconds of sound, clips of like lengths together.

    Every draw is keyed by (seed, epoch, clip): an epoch can be taken up anywhere. With `augment`, each
    clip gets a loudness of its own, a share `noisy` gets noise (0 to 25 dB; a quarter of it another voice), some
    get masks.
    """

    def __init__(self, store: Store, seconds: float = 80.0, augment: bool = True, noisy: float = NOISY) -> None:
        require(seconds > 0, "seconds", seconds, "a number above 0")
        self.store, self.frames, self.augment, self.noisy = store, int(seconds * 100), augment, noisy
        self.groups = self.group(torch.argsort(store.frames, stable=True))

    def group(self, order: Tensor) -> list[list[int]]:
        """Cut clips, in this order, into batches of at most so many padded frames."""
        groups: list[list[int]] = []
        longest = 0
        lengths = self.store.frames.tolist()
        for index in order.tolist():
            longest = max(longest, lengths[index]) if groups else lengths[index]
            if not groups or longest * (len(groups[-1]) + 1) > self.frames:
                groups.append([])
                longest = lengths[index]
            groups[-1].append(index)
        return groups

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return len(self.groups)

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Shuffle clips of nearly equal lengths among each other, group, and shuffle the groups."""
        draw = generator(seed, "data", number)
        jitter = 1 + 0.05 * torch.rand(len(self.store), generator=draw)
        groups, order = self.groups, list(range(len(self.groups)))
        if self.augment:
            groups = self.group(torch.argsort(self.store.frames * jitter, stable=True))
            order = torch.randperm(len(groups), generator=draw).tolist()
        for position in order[skip : len(self.groups)]:
            yield self.batch(groups[position], number, seed)

    def batch(self, indices: list[int], number: int, seed: int) -> Batch:
        """Put some clips of an epoch into one batch."""
        clips = [self.clip(index, number, seed) for index in indices]
        return ctc_batch([mel for mel, _ in clips], [text for _, text in clips])

    def clip(self, index: int, number: int, seed: int) -> tuple[Tensor, str]:
        """Read one clip, scaled as the encoder takes it, and augmented if that is asked for."""
        mel, text = self.store.mel(index), self.store.texts[index]
        if not self.augment:
            return scale(mel), text
        draw = generator(seed, "augment", number, index)
        noisy, voice, ratio, gain, silent, masked = torch.rand(6, generator=draw).tolist()
        if silent < SILENT:
            return scale(coloured_noise(len(mel), mel.shape[1], draw) + 4 * gain - 6), ""
        if noisy < self.noisy:
            noise = coloured_noise(len(mel), mel.shape[1], draw)
            if voice < 0.25:
                other = self.store.mel(int(torch.randint(len(self.store), (1,), generator=draw)))
                noise, ratio = other.repeat(-(-len(mel) // len(other)), 1)[: len(mel)], 0.4 + 0.6 * ratio
            mel = add_noise(mel, noise, 25 * ratio)
        mel = scale(mel + 2 * gain - 1.5)
        return (spec_augment(mel, draw) if masked < MASKED else mel), text
