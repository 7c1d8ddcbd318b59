"""How a language model answers the questions of the test by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from locution.data.byte_pairs import END, Tokenizer
from locution.data.dataset import Dataset
from locution.data.preferences import Pairs
from locution.engine.random import generator
from locution.inference.generate import go_on

QUESTIONS = 50  # of the test that are answered
TEMPERATURE = 0.8
GOES_ON = -1  # stands behind an answer that found no end


def answers(model: nn.Module, data: Dataset, count: int = QUESTIONS) -> Tensor:
    """Let a model end the first sentences of the test as it sees fit: tokens (count, longest), padded with ends.

    An answer that has found no end within the longest has `GOES_ON` as its last token.
    """
    pairs: Any = data.train
    assert isinstance(pairs, Pairs)
    begins = pairs.asked.begins[:count]
    found = torch.full((len(begins), pairs.answer + 1), END)
    for row, text in enumerate(begins):
        language: Any = model
        draw = generator(0, "answers", row)
        asked = [END, *data.reader.tokenizer.encode(text)]
        tokens = go_on(language, asked, pairs.answer, draw, temperature=TEMPERATURE)
        found[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
        if len(tokens) == pairs.answer:
            found[row, -1] = GOES_ON
    return found


def ended(found: Tensor) -> Tensor:
    """Say of each answer whether it found an end: (N, longest) -> (N,), 0 or 1.

    >>> ended(torch.tensor([[7, 8, END], [7, 8, GOES_ON]]))
    tensor([1., 0.])
    """
    return (found[:, -1] != GOES_ON).float()


def written(found: Tensor, tokenizer: Tokenizer) -> Sequence[str]:
    """Write answers as texts in one line each; three dots where one goes on.

    >>> a = Tokenizer([]).encode("a")
    >>> written(torch.tensor([[*a, END], [*a, GOES_ON]]), Tokenizer([]))
    ['a', 'a ...']
    """
    texts = [tokenizer.text(token for token in row if token not in (END, GOES_ON)) for row in found.tolist()]
    dots = ["" if done else " ..." for done in ended(found).tolist()]
    return [" ".join(text.split()) + more for text, more in zip(texts, dots, strict=True)]
