"""Two trainings beside each other: what each epoch took, and whether both losses fall alike."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

SAME = 0.01  # nats: what bf16 frames in the cache may do to a loss


@dataclass
class Trained:
    """What a training took and how its loss fell: seconds for each epoch, the loss of each step."""

    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    heard: float = 0.0  # of the first epoch's seconds, those of encoding
    order: list[list[int]] = field(default_factory=list)  # which clips shared each step


def smoothed(losses: list[float], width: int) -> list[float]:
    """Take running means over so many steps.

    >>> smoothed([3.0, 1.0, 2.0], 2)
    [2.0, 1.5]
    """
    return [statistics.fmean(losses[i : i + width]) for i in range(len(losses) - width + 1)]


def apart(one: list[float], other: list[float], width: int) -> float:
    """Measure the mean absolute difference of two smoothed curves.

    >>> apart([3.0, 1.0, 2.0], [1.0, 1.0, 2.0], 2)
    0.5
    """
    pairs = zip(smoothed(one, width), smoothed(other, width), strict=True)
    return statistics.fmean(abs(a - b) for a, b in pairs)


class Listed:
    """A source of batches in an order that is given: `order` lists the clips of each step, epoch after epoch."""

    def __init__(self, utterances: Any, order: list[list[int]]) -> None:
        self.utterances, self.order = utterances, order

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return int(self.utterances.steps())

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Any]:
        """Go through one epoch as listed."""
        first = number * self.steps()
        return (self.utterances.batch(rows) for rows in self.order[first + skip : first + self.steps()])


def any_order(count: int, batch: int, epochs: int, seed: int) -> list[list[int]]:
    """Draw batches as a loader that shuffles does."""
    draw = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(count, generator=draw).tolist() for _ in range(epochs)]
    return [order[i : i + batch] for order in orders for i in range(0, count, batch)]


def alike(ours: Trained, theirs: Trained, same: Trained, others: list[Trained]) -> tuple[list[str], bool]:
    """Compare the curves of both ways with what another order of the clips alone does to one of them."""
    width = max(1, len(ours.losses) // len(ours.seconds))
    between, step = apart(ours.losses, theirs.losses, width), apart(same.losses, theirs.losses, 1)
    noise = max(apart(same.losses, other.losses, width) for other in others)
    ends = [statistics.fmean(one.losses[-width:]) for one in (ours, theirs)]
    within = between <= 2 * noise and step <= SAME and ends[0] < ours.losses[0]
    facts = [
        f"Loss: {ours.losses[0]:.3f} at first, {ends[0]:.3f} in locution's last epoch and {ends[1]:.3f} in the plain "
        f"way's. The curves, smoothed over an epoch ({width} steps), are {between:.4f} apart on average; another "
        f"shuffling alone moves a curve by up to {noise:.4f} (goal: at most twice that). On the very same batches the "
        f"two ways' losses are {step:.1e} apart, step by step (goal {SAME}): {'met' if within else 'missed'}.",
    ]
    return facts, within
