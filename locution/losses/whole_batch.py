"""What losses need that compare the examples of a batch with each other: the batch whole, its network in pieces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from locution.engine.batch import Batch, Tree, examples, map_tensors
from locution.engine.modes import batch_norms
from locution.errors import UserError


def check_whole_batch(batch: Batch, name: str) -> None:
    """Refuse a micro-batch: what is compared with fewer others has another loss.

    >>> check_whole_batch(Batch(torch.zeros(4)).split(2)[1][0], "simclr")
    Traceback (most recent call last):
    locution.errors.UserError: 'simclr' compares whole batches, and a part of one came, from row 2; allowed: ...
    """
    if batch.start:
        raise UserError(
            f"'{name}' compares whole batches, and a part of one came, from row {batch.start}; allowed: accumulate=1 "
            "in one process; where memory is short, objective.chunks=4."
        )


def in_chunks(model: nn.Module, inputs: Tree, chunks: int) -> Any:
    """Gradient caching runs a network on a large batch in pieces, and keeps of each piece nothing but its outputs.

    What lies between is made again, piece by piece, when the gradient comes: the loss and its gradient are those of the
    whole batch, in the memory that a piece takes, for one more forward pass. Layers that mix the examples of a batch,
    such as batch norm, would see the piece alone, and are refused.

    inputs: a tree of tensors (N, ...). Gives what the model gives: tensors (N, ...), in dicts perhaps.

    >>> in_chunks(nn.Flatten(), torch.ones(5, 2, 2), chunks=2).shape
    torch.Size([5, 4])

    Reference: L. Gao, Y. Zhang, J. Han, J. Callan, 2021, "Scaling deep contrastive learning batch size under memory
    limited setup", section 3 (GradCache); T. Chen et al., 2016, "Training deep nets with sublinear memory cost".
    """
    if chunks == 1:
        return model(inputs)
    if batch_norms(model):
        raise UserError(f"objective.chunks is {chunks} and the model has batch norm; allowed: 1, or model.norm=none.")
    count = examples(inputs)
    size = -(-count // chunks)
    outputs = []
    for start in range(0, count, size):

        def cut(tensor: Tensor, start: int = start) -> Tensor:
            return tensor[start : start + size]

        outputs.append(checkpoint(model, map_tensors(cut, inputs), use_reentrant=False))
    return _joined(outputs)


def _joined(pieces: list[Any]) -> Any:
    """Put outputs end to end; a number of the whole model, such as a temperature, is that of every piece."""
    first = pieces[0]
    if isinstance(first, dict):
        return {key: _joined([piece[key] for piece in pieces]) for key in first}
    return torch.cat(pieces) if first.dim() else first
