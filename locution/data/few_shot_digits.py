"""Few-shot digits: tell a few kinds of pictures apart after seeing one or a few of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.data.digits import read_digits
from locution.data.tasks import Draw, TaskBatches, fixed_tasks
from locution.engine.batch import Batch
from locution.errors import require

TURNED = ("", " on its left", " on its head", " on its right")  # a quarter each
VIEWS = (*TURNED, *(f"{turned} mirrored" for turned in TURNED))
HELD_VIEWS = 2  # more of a digit never trained on would look alike: a 6 on its head is a 9
HELD_QUERY = 15


@dataclass(frozen=True)
class Kinds:
    """Pictures sorted by what they show: where the kinds stand in the list of all, and the pictures of each.

    numbers: (C,). pictures: C tensors (n, ...).
    """

    numbers: Tensor
    pictures: list[Tensor] = field(repr=False)

    def draw(self, tasks: int, ways: int, shots: int, query: int, stream: torch.Generator) -> Batch:
        """Draw tasks: some kinds, and different pictures of each to be shown and to be asked about.

        Gives "support" (T, N x K, ...), "answers" (T, N x K) from 0 to N - 1 in the task's own order, "query" (T, N x
        Q, ...), "classes" (T, N), which kinds they are; targets (T, N x Q).
        """
        count = shots + query
        chosen = torch.rand(tasks, len(self.pictures), generator=stream).argsort(1)[:, :ways]  # (T, N)
        shown = torch.stack([self.some(row.tolist(), count, stream) for row in chosen])  # (T, N, K + Q, ...)
        answers = torch.arange(ways)[:, None].expand(tasks, ways, count)  # (T, N, K + Q)
        parts = {
            "support": shown[:, :, :shots].flatten(1, 2),
            "answers": answers[:, :, :shots].flatten(1),
            "query": shown[:, :, shots:].flatten(1, 2),
            "classes": self.numbers[chosen],
        }
        return Batch(parts, answers[:, :, shots:].flatten(1))

    def some(self, kinds: list[int], count: int, stream: torch.Generator) -> Tensor:
        """Draw different pictures of each of some kinds: (N, count, ...)."""
        sorts = [self.pictures[kind] for kind in kinds]
        return torch.stack([one[torch.randperm(len(one), generator=stream)[:count]] for one in sorts])


def view(pictures: Tensor, number: int) -> Tensor:
    """Turn pictures (N, ..., H, W) by `number` quarters to the left; from 4 on they are mirrored too.

    >>> view(torch.tensor([[[1, 2]]]), 1).tolist(), view(torch.tensor([[[1, 2]]]), 4).tolist()
    ([[[2], [1]]], [[[2, 1]]])
    """
    turned = torch.rot90(pictures, number % 4, (-2, -1))
    return turned if number < 4 else turned.flip(-1)


def sort_kinds(inputs: Tensor, targets: Tensor, digits: tuple[int, ...], views: int, first: int = 0) -> Kinds:
    """Sort pictures (N, ..., H, W) of some digits into kinds, numbered from `first` on; each view is a kind of its own.

    >>> found = sort_kinds(torch.eye(2).view(2, 1, 1, 2), torch.tensor([7, 8]), (8,), 2, first=5)
    >>> found.numbers.tolist(), [tuple(pictures.shape) for pictures in found.pictures]
    ([5, 6], [(1, 1, 1, 2), (1, 1, 2, 1)])
    """
    pictures = [view(inputs[targets == digit], number) for digit, number in product(digits, range(views))]
    return Kinds(torch.arange(first, first + len(pictures)), pictures)


@dataclass(frozen=True)
class FewShotDigitsData:
    """Few-shot digits are small tasks: tell a few kinds of handwritten digits apart after seeing a picture of each.

    `tasks` a batch, drawn without end; each of `ways` kinds, of which `shots` pictures each are shown and `query` are
    asked about. `length` batches count as an epoch. The digits `development` and `test` are never trained on. Turned
    by quarters and mirrored, a digit is another kind: `views` of those trained on, upright and on its left of the
    others. `held` counts the tasks of development and test, the same in every run.

    >>> FewShotDigitsData(held=10).load(seed=0).describe()
    'tasks without end: 10 to tune on, 10 to be judged by; each (1, 8, 8) -> 50 classes'

    Reference: A. Santoro et al., 2016, "Meta-learning with memory-augmented neural networks", section 4.1.
    """

    tasks: int = 16
    ways: int = 4
    shots: int = 1
    query: int = 5
    length: int = 100
    development: tuple[int, ...] = (5, 6)
    test: tuple[int, ...] = (7, 8, 9)
    views: int = 8
    held: int = 400

    def __post_init__(self) -> None:
        for name in ("tasks", "shots", "query", "length", "held"):
            require(getattr(self, name) >= 1, f"data.{name}", getattr(self, name), "a whole number from 1")
        require(1 <= self.views <= len(VIEWS), "data.views", self.views, f"1 to {len(VIEWS)}")
        most = 174 - max(self.query, HELD_QUERY)  # there are 174 pictures of the rarest digit
        require(self.shots <= most, "data.shots", self.shots, f"1 to {most}")
        out = (*self.development, *self.test)
        fine = set(out) <= set(range(10)) and len(set(out)) == len(out) and self.development != () != self.test
        require(fine, "data.development and data.test", out, "digits from 0 to 9, some in each and none in both")
        held = HELD_VIEWS * min(len(self.development), len(self.test))
        fewest = min(held, self.views * (10 - len(out)))
        require(2 <= self.ways <= fewest, "data.ways", self.ways, f"2 to {fewest}, the kinds of the smallest part")

    def load(self, seed: int) -> Dataset:
        """Read the pictures and sort them; the run's seed has no part in the tasks held out."""
        pictures, targets = read_digits()
        train = tuple(digit for digit in range(10) if digit not in (*self.development, *self.test))
        labels: list[str] = []

        def part(digits: tuple[int, ...], views: int, query: int) -> Draw:
            kinds = sort_kinds(pictures, targets, digits, views, len(labels))
            labels.extend(f"{digit}{how}" for digit, how in product(digits, VIEWS[:views]))
            return lambda tasks, stream: kinds.draw(tasks, self.ways, self.shots, query, stream)

        return Dataset(
            TaskBatches(part(train, self.views, self.query), self.tasks, self.length),
            fixed_tasks(part(self.development, HELD_VIEWS, HELD_QUERY), self.held, 0, "development tasks"),
            fixed_tasks(part(self.test, HELD_VIEWS, HELD_QUERY), self.held, 0, "test tasks"),
            inputs=(1, 8, 8),
            outputs=len(labels),
            labels=tuple(labels),
            source="tasks without end",
        )
