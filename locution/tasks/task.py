"""The contract of a task: what a run is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from locution.engine import Observer, Turn

if TYPE_CHECKING:
    from locution.recipe import Recipe
    from locution.reporting.results import RunResults


@dataclass
class Job:
    """A job is what a task builds from a recipe: a model, its turns, its batches, and what watches it.

    `data` is whatever the task wants to remember for the evaluation. `unit` names what the rate of training counts,
    `per_example` how many of it an example holds. `speaks` says that an observer prints its own lines, no bar. `said`
    are warnings that were printed already. `fit` learns without gradients, where there are no turns.
    """

    model: nn.Module
    turns: list[Turn]
    batches: Any
    observers: list[Observer] = field(default_factory=list)
    data: Any = None
    unit: str = "examples"
    per_example: float = 1.0
    speaks: bool = False
    said: list[str] = field(default_factory=list)
    fit: Callable[[], None] | None = None


class Task(Protocol):
    """A task builds what a recipe asks for, judges what came of it, keeps it and takes it back."""

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data and build the model, its first weights drawn from the recipe's seed."""
        ...

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge a trained model on data it never learnt from."""
        ...

    def show(self, results: RunResults) -> None:
        """Print the results."""
        ...

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep what was trained."""
        ...

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take back what `save` kept."""
        ...

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer for new inputs, a line each."""
        ...
