"""The copy memory task: a few letters must be kept in mind over a long silence, and said again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def copy_memory(count: int, delay: int, items: int, letters: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences of the copy memory task: what comes (count, delay + 2 items), and what is to be said, the same.

    First `items` letters of 0 to letters - 1; then blanks (number `letters`), `delay` of them with the sign to begin
    (number letters + 1) as the last; then blanks again, under which the letters are to be said in their order. Until
    then a blank is.

    >>> came, said = copy_memory(1, delay=3, items=2, letters=4, stream=torch.Generator().manual_seed(0))
    >>> came.tolist(), said.tolist()
    ([[0, 3, 4, 4, 5, 4, 4]], [[4, 4, 4, 4, 4, 0, 3]])
    """
    words = torch.randint(letters, (count, items), generator=stream)
    blank = torch.full((count, delay + items), letters)
    came, said = torch.cat([words, blank], 1), torch.cat([blank, words], 1)  # (N, delay + 2 items) each
    came[:, items + delay - 1] = letters + 1
    return came, said


def memoryless_loss(delay: int, items: int = 10, letters: int = 8) -> float:
    """Say the cross-entropy, in nats a step, of whoever knows the task and remembers nothing.

    Blanks are certain; each of the `items` letters at the end is a guess among `letters`: items ln(letters) over
    delay + 2 items steps.

    >>> round(memoryless_loss(delay=20), 4)  # 10 ln 8 / 40
    0.5199

    Reference: M. Arjovsky, A. Shah, Y. Bengio, 2016, "Unitary evolution recurrent neural networks", section 5.1.
    """
    return items * math.log(letters) / (delay + 2 * items)


@dataclass(frozen=True)
class CopyingData:
    """The copy memory task shows a few letters, then a long silence, then a sign: now say the letters again, in order.

    Inputs are (N, delay + 2 items, letters + 2), one-hot: the letters, a blank and the sign; targets (N, delay + 2
    items) are a class for each step, the letters or the blank. Who remembers nothing cannot do better than
    `memoryless_loss`. `train`, `development` and `test` are numbers of sequences; `split` is the seed that they are
    drawn from, apart from the run's own.

    >>> CopyingData(delay=10, items=3, train=100, development=10, test=10).load(seed=0).describe()
    'copy memory: 100 to learn from, 10 to tune on, 10 to be judged by; each (16, 10) -> 9 classes'

    Reference: S. Hochreiter, J. Schmidhuber, 1997, "Long short-term memory", section 5; in this form: M. Arjovsky,
    A. Shah, Y. Bengio, 2016, "Unitary evolution recurrent neural networks", section 5.1.
    """

    delay: int = 20
    items: int = 10
    letters: int = 8
    train: int = 10000
    development: int = 500
    test: int = 1000
    batch_size: int = 50
    split: int = 0

    def __post_init__(self) -> None:
        for name, least in (("delay", 1), ("items", 1), ("letters", 2), ("train", 1), ("batch_size", 1)):
            require(getattr(self, name) >= least, f"data.{name}", getattr(self, name), f"a whole number from {least}")
        for name in ("development", "test"):
            require(getattr(self, name) >= 0, f"data.{name}", getattr(self, name), "a whole number from 0")
        require(self.letters <= 26, "data.letters", self.letters, "a whole number from 2 to 26")

    def load(self, seed: int) -> Dataset:
        """Draw the sequences; the run's seed has no part in it."""
        parts = []
        for name in ("train", "development", "test"):
            stream = generator(self.split, f"copying {name}")
            came, said = copy_memory(getattr(self, name), self.delay, self.items, self.letters, stream)
            parts.append((functional.one_hot(came, self.letters + 2).float(), said))
        return Dataset(
            TensorBatches(*parts[0], batch_size=self.batch_size),
            held_out(*parts[1]),
            held_out(*parts[2]),
            inputs=(self.delay + 2 * self.items, self.letters + 2),
            outputs=self.letters + 1,
            labels=(*map(chr, range(97, 97 + self.letters)), "_"),
            source="copy memory",
        )
