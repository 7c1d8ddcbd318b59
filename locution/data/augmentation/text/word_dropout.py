"""Word dropout: single words of a text are left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from locution.data.augmentation.text.words import BLEND, PADDING, packed, words_of
from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require


def drop_words(words: Tensor, chance: Tensor, rate: float) -> Tensor:
    """Leave out each word whose draw is below the rate; of a text that would lose all, the highest draw stays.

    words: ids (N, T), 0 where there is none. chance: (N, T), a draw from 0 to 1 for each word.

    >>> draws = torch.tensor([[0.9, 0.1, 0.5, 0.7], [0.2, 0.3, 0.4, 0.9]])
    >>> drop_words(torch.tensor([[5, 6, 7, 8], [5, 6, 0, 0]]), draws, rate=0.35)
    tensor([[5, 7, 8, 0], [6, 0, 0, 0]])
    """
    there = words != PADDING
    best = chance.masked_fill(~there, -1).argmax(1, keepdim=True)  # (N, 1)
    kept = (chance >= rate).scatter(1, best, True) & there
    return packed(words, kept)


@dataclass
class WordDropoutMethod(Method):
    """Word dropout leaves out single words of a text at random, so that a model does not rely on any one of them.

    The words behind move up; at least one word of a text stays. What is left out is drawn once a step.

    Settings
    --------
    rate: the chance that a word is left out.

    >>> from locution.engine.method import Plan
    >>> batch = Batch(torch.tensor([[5, 6, 7, 8, 9, 0]]))
    >>> WordDropoutMethod(rate=0.5).batch(batch, Step(0, 0, Plan(seed=0), torch.nn.Identity())).inputs
    tensor([[6, 8, 9, 0, 0, 0]])

    Reference: J. Wei, K. Zou, 2019, "EDA: easy data augmentation techniques for boosting performance on text
    classification tasks", section 2 (random deletion); M. Iyyer et al., 2015, "Deep unordered composition rivals
    syntactic methods for text classification", section 4.1.
    """

    name: ClassVar[str] = "word_dropout"
    after: ClassVar[tuple[str, ...]] = ("word_swap",)
    excludes: ClassVar[dict[str, str]] = BLEND

    rate: float = 0.1

    def __post_init__(self) -> None:
        require(0 < self.rate < 1, "word_dropout.rate", self.rate, "a share above 0 and below 1, usually 0.1")

    def batch(self, batch: Batch, step: Step) -> Batch:
        words = words_of(batch, self.name)
        chance = torch.rand(words.shape, generator=step.generator(self.name)).to(words.device)  # (N, T)
        return replace(batch, inputs=drop_words(words, chance, self.rate))
