"""Word swap: words of a text change places."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from locution.data.augmentation.text.words import BLEND, PADDING, words_of
from locution.engine.batch import Batch
from locution.engine.method import Method, Step
from locution.errors import require


def swap_words(words: Tensor, first: Tensor, second: Tensor, chosen: Tensor) -> Tensor:
    """Let two words change places, in each of the chosen texts.

    words: ids (N, T). first, second: places (N,). chosen: (N,), true for texts in which they change.

    >>> texts = torch.tensor([[5, 6, 7], [5, 6, 7]])
    >>> swap_words(texts, torch.tensor([0, 0]), torch.tensor([2, 2]), torch.tensor([True, False]))
    tensor([[7, 6, 5], [5, 6, 7]])
    """
    second = torch.where(chosen, second, first)  # a word that changes places with itself stays
    places = torch.stack([first, second], 1)  # (N, 2)
    return words.scatter(1, places, words.gather(1, places.flip(1)))


def draw_places(lengths: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two different places in each text of so many words (N,); both are 0 where there is but one.

    >>> draw_places(torch.tensor([2]), torch.Generator().manual_seed(1))
    (tensor([1]), tensor([0]))
    """
    chance = torch.rand(2, len(lengths), generator=draw).to(lengths.device)
    first = (chance[0] * lengths).long().clamp(max=(lengths - 1).clamp(min=0))
    step = 1 + (chance[1] * (lengths - 1).clamp(min=0)).long()
    return first, (first + step) % lengths.clamp(min=1)


@dataclass
class WordSwapMethod(Method):
    """Word swapping lets some words of a text change places, so that a model relies less on their exact order.

    Two words of the text change places, as often as `share` of its words says, and at least once; a text of one word
    stays. A model that does not look at the order (a bag of words) does not notice. Drawn once a step.

    Settings
    --------
    share: swaps in each text, as a share of its words.

    >>> swap_words(torch.tensor([[5, 6, 7]]), torch.tensor([0]), torch.tensor([1]), torch.tensor([True]))
    tensor([[6, 5, 7]])

    Reference: J. Wei, K. Zou, 2019, "EDA: easy data augmentation techniques for boosting performance on text
    classification tasks", section 2 (random swap).
    """

    name: ClassVar[str] = "word_swap"
    excludes: ClassVar[dict[str, str]] = BLEND

    share: float = 0.1

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "word_swap.share", self.share, "a share above 0, at most 1, usually 0.1")

    def batch(self, batch: Batch, step: Step) -> Batch:
        words, draw = words_of(batch, self.name), step.generator(self.name)
        lengths = (words != PADDING).sum(1)  # (N,)
        swaps = (lengths * self.share).round().long().clamp(min=1)
        for turn in range(int(swaps.max()) if len(words) else 0):
            words = swap_words(words, *draw_places(lengths, draw), turn < swaps)
        return replace(batch, inputs=words)
