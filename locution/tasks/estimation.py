"""The task of estimation: learners without gradients, trained from a recipe like any other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.engine.run_folder import write_text
from locution.engine.weights import read_weights
from locution.errors import LocutionError, UserError
from locution.estimators.estimator import Estimator
from locution.estimators.neighbours import NearestNeighbours
from locution.estimators.som import SelfOrganisingMap
from locution.reporting.results import RunResults
from locution.tasks.abilities import Embedding
from locution.tasks.estimated import judge_estimator, units_named
from locution.tasks.placing import placed
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

ARRAYS, SETTINGS = "model.safetensors", "model.json"


class Fitted(nn.Module):
    """An estimator where a network would stand: it has no weights that a gradient moves.

    >>> from locution.estimators.neighbours import NearestNeighbours
    >>> fitted = Fitted(NearestNeighbours(neighbours=1).fit([[0.0], [1.0]], [3, 7]))
    >>> fitted(torch.tensor([[0.9]]))
    tensor([7])
    """

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, inputs: Tensor) -> Tensor:
        """Answer: (N, ...) -> (N,)."""
        return torch.as_tensor(self.estimator.predict(flat(inputs)))


@dataclass(frozen=True)
class Table:
    """What an estimator learns from and is judged by: rows of numbers, and their classes where they are known."""

    dataset: Dataset
    train: NDArray[np.float64]
    classes: NDArray[np.int64] | None


class Estimation:
    """Estimation fits a learner that needs no gradients, such as nearest neighbours or a self-organising map.

    The recipe names it under `estimator`, with its settings; there is no optimizer and no budget. Its seed is the
    run's, unless it is said. What it has learnt is kept as arrays and as JSON.

    >>> from locution.recipe import resolve
    >>> task, recipe = Estimation(), resolve("digits/neighbours")
    >>> job = task.prepare(recipe, quiet=True)
    >>> job.fit()
    >>> job.model(job.data.dataset.test.inputs[:3]).tolist(), job.data.dataset.test.targets[:3].tolist()
    ([8, 1, 3], [8, 1, 3])

    Reference: L. Buitinck et al., 2013, "API design for machine learning software", section 2.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data, and make the estimator from its settings."""
        if not recipe.estimator:
            raise UserError("an estimation came without an estimator; allowed: estimator: {name: nearest_neighbours}.")
        data: Dataset = recipe.part("data").load(recipe.seed)
        if not isinstance(data.train, TensorBatches) or not isinstance(data.train.inputs, Tensor):
            raise UserError(f"data.name is '{recipe.data.get('name')}'; allowed: examples in memory, such as digits.")
        estimator = made(recipe)
        rows = flat(data.train.inputs)
        classes = data.train.targets.cpu().numpy() if data.labels else None
        if isinstance(estimator, NearestNeighbours) and classes is None:
            allowed = "classes, as target=COLUMN of a table says them, or a folder of pictures for each"
            raise UserError(
                f"estimator '{recipe.estimator['name']}' came upon data without classes; allowed: {allowed}."
            )

        def fit() -> None:
            try:
                estimator.fit(rows, classes)
            except ValueError as error:  # scikit-learn's checks of what comes in
                said = " ".join(str(error).split())
                raise UserError(
                    f"estimator '{recipe.estimator['name']}' cannot learn from these data: {said}"
                ) from error

        return Job(Fitted(estimator), [], data.train, data=Table(data, rows, classes), fit=fit)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge it by the test set: its answers, or how well it lays examples out."""
        table: Table = job.data
        held = table.dataset.test if table.dataset.test is not None else table.dataset.train
        if not isinstance(held, TensorBatches):
            raise UserError(f"{recipe.name} has no test data to judge by; allowed: data with a test set.")
        fitted: Any = model
        results = RunResults(recipe.name, recipe.describe, data={"data": table.dataset.describe()})
        judge_estimator(results, fitted.estimator, table.dataset, table.train, held)
        return results

    def show(self, results: RunResults) -> None:
        """Print the figures with their intervals."""
        from locution.reporting.tables import print_metrics

        print_metrics(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep what was learnt: arrays in one file, everything else as JSON beside it."""
        from safetensors.numpy import save_file

        fitted: Any = model
        state = fitted.estimator.state_dict()
        arrays = {name: np.ascontiguousarray(value) for name, value in state.items() if is_array(value)}
        rest = {name: plain(value) for name, value in state.items() if name not in arrays}
        save_file(arrays, folder / ARRAYS)
        write_text(folder / SETTINGS, json.dumps(rest, indent=1))

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take back what was learnt."""
        estimator = made(recipe)
        try:
            rest = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        except OSError as error:
            raise LocutionError(f"{folder / SETTINGS} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise LocutionError(f"{folder / SETTINGS} is damaged: {error}") from error
        arrays = {name: one.numpy() for name, one in read_weights(folder / ARRAYS).items()}
        try:
            estimator.load_state_dict({**arrays, **rest})
            estimator.predict(job.data.train[:1])  # what belongs to another learner answers nothing
        except (ValueError, AttributeError, TypeError, IndexError, KeyError) as error:
            said = f"{folder} holds nothing that '{recipe.estimator['name']}' has learnt, or it is damaged"
            raise LocutionError(f"{said}; train again: locution train {recipe.name}") from error
        return Fitted(estimator)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer for each input: a class with its share of the votes, or the unit of a map where it falls."""
        job = self.prepare(recipe, quiet=True)
        fitted: Any = self.load(recipe, job, folder)
        table: Table = job.data
        asked = placed(table.dataset, inputs, "", lambda rows: rows.flatten(1)).vectors.double().numpy()
        estimator = fitted.estimator
        if isinstance(estimator, SelfOrganisingMap):
            names = units_named(estimator, table.train, table.classes, table.dataset.labels)
            places = [divmod(int(unit), estimator.columns) for unit in estimator.predict(asked)]
            said = [names[row * estimator.columns + column] for row, column in places]
            return [
                f"row {row}, column {column}{f': {name}' if name else ''}"
                for (row, column), name in zip(places, said, strict=True)
            ]
        answers = estimator.predict(asked)
        labels = [table.dataset.labels[int(one)] if table.dataset.labels else str(one) for one in answers]
        if not callable(getattr(estimator, "predict_proba", None)):
            return labels
        return [
            f"{name} ({share:.3f})" for name, share in zip(labels, estimator.predict_proba(asked).max(1), strict=True)
        ]

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place inputs: on the map where there is one, else by their own numbers."""
        job = self.prepare(recipe, quiet=True)
        fitted: Any = self.load(recipe, job, folder)
        estimator = fitted.estimator

        def place(rows: Tensor) -> Tensor:
            if callable(getattr(estimator, "transform", None)):
                return torch.as_tensor(np.asarray(estimator.transform(flat(rows))))
            return rows.flatten(1)

        return placed(job.data.dataset, inputs, part, place)


def made(recipe: Recipe) -> Any:
    """Make the estimator from its settings; where it draws by chance, by the run's seed unless it is said."""
    estimator: Estimator = recipe.part("estimator")
    fields = {field.name for field in dataclasses.fields(estimator)}  # type: ignore[arg-type]
    if "random_state" in fields and "random_state" not in recipe.estimator:
        estimator.set_params(random_state=recipe.seed)
    return estimator


def flat(inputs: Tensor) -> NDArray[np.float64]:
    """Write inputs (N, ...) as rows of numbers (N, D), in double precision as scikit-learn does.

    >>> flat(torch.ones(2, 1, 2, 2)).shape
    (2, 4)
    """
    rows: NDArray[np.float64] = inputs.detach().cpu().double().flatten(1).numpy()
    return rows


def is_array(value: object) -> bool:
    """Say whether a value is an array of numbers."""
    return isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "biuf"


def plain(value: Any) -> Any:
    """Write a value as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise LocutionError(
        f"a learner holds a {type(value).__name__}, which cannot be kept: numbers, text and arrays can."
    )
