"""Noise that comes beside batches, drawn once for each whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from locution.engine.batch import Batch
from locution.engine.batches import Batches, placed
from locution.engine.random import generator


class WithNoise:
    """The noise of a generator is a few numbers drawn by chance, from which it makes an example, another from others.

    These are batches with noise beside them, as many rows as there are examples.
    It belongs to the whole batch: micro-batches, other processes and a second pass over the batch see the same noise,
    each its own rows of it, and a run that is resumed goes on with what would have come.

    Parameters
    ----------
    batches: where examples come from. latents: how many numbers of noise each gets, under each of the `names`; under
    "blend" each gets a number from 0 to 1.

    >>> from locution.engine.batches import TensorBatches
    >>> source = WithNoise(TensorBatches(torch.zeros(5, 2), batch_size=3), latents=4)
    >>> [{name: tuple(rows.shape) for name, rows in batch.beside.items()} for batch in source.epoch(0, seed=0)][1]
    {'noise': (2, 4), 'noise of the generator': (2, 4), 'blend': (2,)}

    Reference: I. Goodfellow et al., 2014, "Generative adversarial nets", algorithm 1.
    """

    def __init__(
        self, batches: Batches, latents: int, names: tuple[str, ...] = ("noise", "noise of the generator")
    ) -> None:
        self.batches, self.latents, self.names = batches, latents, names

    def steps(self) -> int | None:
        """Count the batches of an epoch."""
        return self.batches.steps()

    def to(self, device: torch.device) -> WithNoise:
        """Move the examples to the device once; the noise is drawn on the processor and follows."""
        return WithNoise(placed(self.batches, device), self.latents, self.names)

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Hand out batches, each with its noise."""
        for at, batch in enumerate(self.batches.epoch(number, seed, skip), start=skip):
            draw, count, device = generator(seed, "noise", number, at), len(batch), batch.inputs.device
            noise = {name: torch.randn(count, self.latents, generator=draw).to(device) for name in self.names}
            blend = torch.rand(count, generator=draw).to(device)
            yield replace(batch, beside={**batch.beside, **noise, "blend": blend})
