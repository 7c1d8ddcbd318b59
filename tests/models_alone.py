"""Small problems on which every model can be built, run and trained by itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError
from locution.vocabulary.lookup import names, part

ROWS = 6


@dataclass(frozen=True)
class Problem:
    """Examples of one shape. sizes: what only data know, handed to models that have such settings."""

    name: str
    shape: tuple[int, ...]
    words: int = 0
    outputs: int = 3

    @property
    def sizes(self) -> dict[str, Any]:
        """What only the data know."""
        return {"vocabulary": self.words, "examples": ROWS} if self.words else {"rows": ROWS, "examples": ROWS}

    def inputs(self) -> Tensor:
        """Numbers from 0 to 1, or whole numbers that stand for words."""
        stream = generator(7, self.name)
        if self.words:
            return torch.randint(2, self.words, (ROWS, *self.shape), generator=stream)
        return torch.rand((ROWS, *self.shape), generator=stream)


PROBLEMS = (
    Problem("vectors", (2,)),
    Problem("pictures", (1, 8, 8)),
    Problem("sequences", (12, 3)),
    Problem("points", (10, 2)),
    Problem("words", (6,), words=11),
    Problem("wave", (1, 64)),
)
ODD = ((), (0,), (3, 0), (1, 1, 1, 1, 1), (2, 3, 4, 5, 6))
"""Shapes that hardly any model takes."""


def generic() -> list[str]:
    """Name the models that are built from the shape of an example, as every one is but those of speech."""
    return [name for name in names("model") if takes_shapes(part("model", name))]


def takes_shapes(kind: Any) -> bool:
    """Say whether a model is built from shapes alone."""
    return list(inspect.signature(kind.build).parameters)[1:] == ["inputs", "outputs"]


def settings(kind: Any, problem: Problem) -> dict[str, Any]:
    """The part of what the data know that this model asks for."""
    known = {field.name for field in fields(kind)}
    return {name: value for name, value in problem.sizes.items() if name in known}


def build(name: str, problem: Problem, seed: int = 0) -> Any:
    """Build a model from its defaults for a problem, its first weights drawn by a seed."""
    kind = part("model", name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**settings(kind, problem)).build(problem.shape, outputs_of(name, problem))


@cache
def outputs_of(name: str, problem: Problem) -> int:
    """How many numbers a model is asked for: a few, or one where it answers with one alone."""
    kind = part("model", name)
    for outputs in (problem.outputs, 1):
        try:
            kind(**settings(kind, problem)).build(problem.shape, outputs)
        except UserError:
            continue
        return outputs
    return problem.outputs


@cache
def fitting(name: str) -> tuple[Problem, ...]:
    """Find the problems on which a model can be built and answers."""
    found = []
    for problem in PROBLEMS:
        if bool(problem.words) != ("vocabulary" in settings(part("model", name), PROBLEMS[-2])):
            continue  # what reads words asks the data how many there are
        try:
            model = build(name, problem).eval()
        except UserError:
            continue
        try:
            answer(model, problem.inputs())
        except (TypeError, IndexError, RuntimeError, UserError):
            continue  # words where it takes numbers, or numbers where it takes words: the data part sees to that
        found.append(problem)
    return tuple(found)


@torch.no_grad()
def answer(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Everything that a model answers, as a list of tensors."""
    return list(tensors(model(inputs)))


def tensors(tree: Any) -> Iterator[Tensor]:
    """Go through the tensors of an answer."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for key in sorted(tree):
            yield from tensors(tree[key])
    elif isinstance(tree, (tuple, list)):
        for each in tree:
            yield from tensors(each)


def squares(model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
    """Ask every number of an answer to be one: an objective that any model can follow."""
    output = model(batch.inputs)
    numbers = [one for one in tensors(output) if one.is_floating_point() and one.requires_grad]
    loss = torch.stack([(one.float() - 1).square().mean() for one in numbers]).mean()
    return output, loss


def engine(name: str, problem: Problem, **settings: Any) -> Engine:
    """An engine that trains a model on a problem, two steps an epoch."""
    turn = Turn(squares, partial(torch.optim.AdamW, lr=1e-3))
    return Engine(build(name, problem), turn, device="cpu", seed=3, **settings)


def batches(problem: Problem) -> TensorBatches:
    """The examples of a problem, in batches of half of them."""
    return TensorBatches(problem.inputs(), batch_size=ROWS // 2)
