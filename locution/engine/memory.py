"""A batch that does not fit into memory is cut finer: the update stays the same, only the way there is longer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.errors import LocutionError

if TYPE_CHECKING:
    from locution.engine.loop import Engine
    from locution.engine.turn import Turn

log = logging.getLogger(__name__)
Parts = list[tuple[Batch, float]]


def halved(parts: Parts) -> Parts:
    """Cut each micro-batch in two, and its share of the loss with it: gradients still add up to the batch's.

    >>> batch = Batch(torch.tensor([1.0, 2.0, 6.0]))
    >>> [(part.inputs.tolist(), round(share, 2)) for part, share in halved([(batch, 1.0)])]
    [([1.0, 2.0], 0.67), ([6.0], 0.33)]
    """
    return [(piece, share * part) for batch, share in parts for piece, part in batch.split(2)]


def fitting(engine: Engine, turn: Turn, parts: Parts) -> Tensor:
    """Accumulate the gradient of a batch; where it does not fit into memory, in half the size and twice the number.

    Nothing has moved when memory runs out within a gradient, so it is begun again; the engine keeps to the finer cut
    from there on. Raises LocutionError where one example alone does not fit, and under data parallel, where the
    other processes would wait for ever.
    """
    engine.watch.gradients += 1
    while True:
        try:
            return engine.backward(turn, parts)
        except torch.OutOfMemoryError as error:
            if engine.group.world > 1 or all(len(batch) == 1 for batch, _ in parts):
                raise LocutionError(hopeless(engine)) from error
        # behind the except: while the error lives, so do the tensors of the pass that failed
        for parameter in turn.trained:
            parameter.grad = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        parts = halved(parts)
        engine.accumulate *= 2
        log.warning(
            "step %d did not fit into memory: from here on each batch is cut into %d micro-batches of half the size; "
            "the update stays that of the whole batch.",
            engine.number,
            engine.accumulate,
        )


def hopeless(engine: Engine) -> str:
    """Say in one line what is left to do when memory runs out."""
    if engine.group.world > 1:
        return (
            f"memory ran out in process {engine.group.rank}; allowed: accumulate={2 * engine.accumulate}, or less data."
        )
    return "memory ran out on a single example; allowed: shorter examples, a smaller model, or precision=bf16."
