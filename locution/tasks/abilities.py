"""What some tasks can do besides: draw new examples, go on with a text, place inputs in a space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor

from locution.errors import UserError, require
from locution.reporting.results import Gallery, Graph

if TYPE_CHECKING:
    from locution.recipe import Recipe
    from locution.tasks.task import Task


@dataclass(frozen=True)
class Samples:
    """Samples are new examples that a generative model makes from chance.

    values: (N, ...), the examples in the units of the data. galleries, graphs: how a person would look at them.
    lines: what is said of them, a line each; texts are their own lines.
    """

    values: Tensor
    galleries: Sequence[Gallery] = ()
    graphs: Sequence[Graph] = ()
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Generation:
    """How a language model goes on with a text: at most `length` tokens more, each drawn from what it expects.

    `temperature` flattens (above 1) or sharpens (below 1) what it expects; 0 always takes the likeliest. `top_k` leaves
    so many of the likeliest, 0 all; `top_p` leaves the fewest that hold this share of the probability together. `cache`
    keeps keys and values of what was read. The same `seed` gives the same text.

    >>> Generation(temperature=-1)
    Traceback (most recent call last):
    locution.errors.UserError: temperature is -1; allowed: a number from 0, usually 0.8 to 1.
    """

    length: int = 100
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    cache: bool = True

    def __post_init__(self) -> None:
        require(self.length >= 1, "length", self.length, "a whole number from 1")
        require(self.temperature >= 0, "temperature", self.temperature, "a number from 0, usually 0.8 to 1")
        require(self.top_k >= 0, "top_k", self.top_k, "a whole number from 0, which leaves all")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "a share above 0, up to 1, which leaves all")
        require(abs(self.seed) < 2**62, "seed", self.seed, "a whole number below 2**62")


@dataclass(frozen=True)
class Embedding:
    """An embedding gives each input a vector, so that inputs that are alike lie near each other.

    vectors: (N, D). names: of the inputs, such as test:3 or a word. labels: their classes in words, empty where nobody
    knows them. pictures: (N, H, W), where inputs are pictures.

    Reference: T. Mikolov, K. Chen, G. Corrado, J. Dean, 2013, "Efficient estimation of word representations in vector
    space", section 1.
    """

    vectors: Tensor
    names: Sequence[str]
    labels: Sequence[str] = field(default_factory=list)
    pictures: Tensor | None = None


@runtime_checkable
class CanSample(Protocol):
    """A task of generative models. `sampling` is the dataclass of the settings that drawing takes."""

    sampling: type[Any]

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: Any) -> Samples:
        """Draw so many new examples; the same seed gives the same."""
        ...


@runtime_checkable
class CanGenerate(Protocol):
    """A task of language models."""

    def generate(self, recipe: Recipe, folder: Path, prompts: Sequence[str], wishes: Generation) -> list[str]:
        """Go on with each text; what comes back begins with the text itself."""
        ...

    def stream(self, recipe: Recipe, folder: Path, prompts: Sequence[str], wishes: Generation) -> Iterator[str]:
        """Hand out the same piece by piece, each as soon as it is drawn, a new line behind each text."""
        ...


@runtime_checkable
class CanEmbed(Protocol):
    """A task whose models place inputs in a space."""

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place the inputs, as `predict` takes them; without any, all examples of a part of the data."""
        ...


@runtime_checkable
class CanExport(Protocol):
    """A task whose models other libraries load."""

    def export(self, recipe: Recipe, folder: Path, place: Path) -> list[Path]:
        """Write a run's model into a folder of its own, and say which files that are."""
        ...


ABILITIES: dict[str, type[Any]] = {
    "sample": CanSample,
    "generate": CanGenerate,
    "embed": CanEmbed,
    "export": CanExport,
}
ALWAYS = ("evaluate", "predict")


def abilities(task: Task) -> list[str]:
    """Name the commands that a run of this task understands.

    >>> from locution.tasks.supervised import Supervised
    >>> abilities(Supervised())[:2]
    ['evaluate', 'predict']
    """
    return [*ALWAYS, *(name for name, kind in ABILITIES.items() if isinstance(task, kind))]


def able(task: Task, ability: str, where: Any) -> Any:
    """Hand back the task if it can do this; refuse otherwise, and say what a run of it can.

    >>> from locution.tasks.supervised import Supervised
    >>> able(Supervised(), "sample", "runs/digits/latest")
    Traceback (most recent call last):
    locution.errors.UserError: runs/digits/latest cannot sample; what it can: evaluate, predict...
    """
    if not isinstance(task, ABILITIES[ability]):
        raise UserError(f"{where} cannot {ability}; what it can: {', '.join(abilities(task))}.")
    return task
