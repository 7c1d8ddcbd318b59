"""Texts on their way through a batch: ids of words, with padding behind them."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.errors import UserError

PADDING = 0
BLEND = {"mixup": "words do not blend: leave mixup away"}


def words_of(batch: Batch, name: str) -> Tensor:
    """Take a batch's inputs where they are ids of words (N, T), and refuse any other in one line.

    >>> words_of(Batch(torch.zeros(2, 3)), "word_swap")
    Traceback (most recent call last):
    locution.errors.UserError: 'word_swap' came upon inputs that are no words; allowed: whole numbers (N, T), ...
    """
    inputs = batch.inputs
    if isinstance(inputs, Tensor) and inputs.dim() == 2 and inputs.dtype in (torch.int64, torch.int32):
        return inputs
    allowed = "whole numbers (N, T), as of recipe texts"
    raise UserError(f"'{name}' came upon inputs that are no words; allowed: {allowed}.")


def packed(words: Tensor, kept: Tensor) -> Tensor:
    """Move the words that are kept to the front of each text, in their order; padding fills what is left.

    words: (N, T). kept: (N, T), true for what stays.

    >>> packed(torch.tensor([[5, 6, 7, 0]]), torch.tensor([[True, False, True, False]]))
    tensor([[5, 7, 0, 0]])
    """
    order = (~kept).to(torch.int8).argsort(dim=1, stable=True)  # (N, T)
    return words.masked_fill(~kept, PADDING).gather(1, order)
