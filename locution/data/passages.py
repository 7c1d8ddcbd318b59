"""Passages of one long text: what a language model learns from, and the windows by which it is judged."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.random import generator
from locution.errors import UserError, require


class Passages:
    """Passages cut one long text of tokens into pieces of equal length, each epoch at other places, in another order.

    Each passage comes with what follows each of its tokens. What is left over at either end of the text, less than a
    passage, waits for an epoch whose cuts fall otherwise.

    Parameters
    ----------
    stream: the text, (S,), whole numbers. length: tokens of a passage. batch_size: passages a batch. asked: whether
    what follows each token comes along as targets; if not, what is asked is the objective's affair.

    >>> passages = Passages(torch.arange(10), length=3, batch_size=2)
    >>> batch = next(passages.epoch(0, seed=0))
    >>> batch.inputs.shape, torch.equal(batch.targets, batch.inputs + 1)
    (torch.Size([2, 3]), True)

    Reference: A. Radford et al., 2018, "Improving language understanding by generative pre-training", section 4.1.
    """

    def __init__(self, stream: Tensor, length: int, batch_size: int, *, asked: bool = True) -> None:
        require(length >= 1, "data.length", length, "a whole number from 1, usually 64 to 1024")
        require(batch_size >= 1, "data.batch_size", batch_size, "a whole number from 1")
        if len(stream) < 2 * length:
            raise UserError(f"a text of {len(stream)} tokens came; allowed: from {2 * length}, two passages.")
        self.stream, self.length, self.batch_size, self.asked = stream, length, batch_size, asked

    def __len__(self) -> int:
        """Count the passages of an epoch: as many as there are wherever the cuts fall."""
        return (len(self.stream) - self.length) // self.length

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return -(-len(self) // self.batch_size)

    def to(self, device: torch.device) -> Passages:
        """Move the text to the device once."""
        return Passages(self.stream.to(device), self.length, self.batch_size, asked=self.asked)

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Cut the text at places that the seed and the epoch's number choose, and hand out the pieces in batches."""
        stream = generator(seed, "data", number)
        offset = int(torch.randint(self.length, (), generator=stream))
        starts = offset + self.length * torch.randperm(len(self), generator=stream)  # (N,)
        within = torch.arange(self.length, device=self.stream.device)
        for some in torch.split(starts, self.batch_size)[skip:]:
            places = some.to(within.device)[:, None] + within  # (B, T)
            yield Batch(self.stream[places], self.stream[places + 1] if self.asked else None)


def cut(stream: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Cut a text (S,) into passages side by side and what follows each token: both (N, length); the rest is left out.

    >>> cut(torch.arange(6), 2)
    (tensor([[0, 1], [2, 3]]), tensor([[1, 2], [3, 4]]))
    """
    count = (len(stream) - 1) // length
    return stream[: count * length].view(count, length), stream[1 : 1 + count * length].view(count, length)


def windows(stream: Tensor, length: int, step: int) -> Iterator[tuple[Tensor, int]]:
    """Slide a window over a text (S,), so that each token but the first is asked for once, with much before it.

    Hands out up to length + 1 tokens, and how many at their end are asked for: `step` of them, with all that the window
    has of what is before; in the first window and the last, as many as there are.

    >>> [(window.tolist(), asked) for window, asked in windows(torch.arange(7), length=3, step=2)]
    [([0, 1, 2, 3], 3), ([2, 3, 4, 5], 2), ([3, 4, 5, 6], 1)]

    Reference: O. Press, N. Smith, M. Lewis, 2021, "Shortformer: better language modeling using shorter inputs",
    section 3 (sliding windows).
    """
    require(1 <= step <= length, "step", step, f"a whole number from 1 to {length}")
    done, size = 1, len(stream)
    while done < size:
        stop = min(size, length + 1 if done == 1 else done + step)
        yield stream[max(0, stop - length - 1) : stop], stop - done
        done = stop
