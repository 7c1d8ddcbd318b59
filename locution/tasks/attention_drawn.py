"""A picture of attention: which row of a picture, or place of a sequence, looks at which."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from locution.models.sequence_transformer import SequenceTransformer
from locution.reporting.results import Gallery

SHOWN = 4  # examples


def attention_drawn(model: nn.Module, inputs: Tensor) -> list[Gallery]:
    """Draw where a transformer's places look, a row for each example; nothing for other networks.

    In each row comes the example first, if it is a picture of as many columns as rows, then a square for every head of
    every block: from each place (downwards) to those it looks at (across).

    Shapes: inputs (N, T, F), or pictures (N, 1, T, F), of which the first are shown.

    >>> from locution.models.sequence_transformer import TransformerModel
    >>> model = TransformerModel(width=8, heads=2, layers=3).build((1, 8, 8), 10)
    >>> (drawn,) = attention_drawn(model, torch.rand(9, 1, 8, 8))
    >>> drawn.pictures.shape  # the picture, and 3 x 2 heads
    (4, 7, 8, 8)

    Reference: A. Vaswani et al., 2017, "Attention is all you need", figures 3 to 5.
    """
    if not isinstance(model, SequenceTransformer) or inputs.shape[-2] > 256:
        return []
    some = inputs[:SHOWN].to(model.entry.weight.device)
    training = model.training
    with torch.no_grad():
        model.eval()
        maps = model.blocks.attention_maps(model.entry(some.squeeze(1) if some.dim() == 4 else some))
    model.train(training)
    squares = maps.flatten(1, 2).float().cpu().numpy()  # (n, layers x heads, T, T)
    if some.dim() == 4 and some.shape[-1] == some.shape[-2]:
        squares = np.concatenate([some.float().cpu().numpy(), squares], 1)
    note = "each row: an example, and for each head of each block from which place (down) to which (across) it looks"
    return [Gallery("Attention", squares, note)]
