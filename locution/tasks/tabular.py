"""Tables: one column answered from the others, whatever the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.table import Table, TableData
from locution.data.tables.encoding import Encoding
from locution.data.tables.target import Target
from locution.engine import TensorBatches, Turn
from locution.engine.run_folder import write_text
from locution.errors import LocutionError, UserError
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.inference.predict import predict
from locution.models.shapes import explained
from locution.models.tabular import TabularModel
from locution.reporting.results import RunResults
from locution.tasks.abilities import Embedding
from locution.tasks.figures import check_figures, more_figures
from locution.tasks.judge import commonest, judge_classes, judge_values
from locution.tasks.leak_watch import LeakWatch
from locution.tasks.network_pictures import show_network
from locution.tasks.placing import before_last, placed
from locution.tasks.supervised import Supervised, answer
from locution.tasks.table_rows import read_rows
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

ENCODING = "encoding.json"


class Tabular:
    """Tabular learning answers one column of a table, a class or a value, from its other columns.

    The objective is cross-entropy for classes and the mean squared error for values, unless the recipe names another.
    Everything that is decided on the way is printed once, and stands in the report; how columns become numbers is kept
    in the run folder as JSON, so that answers need the table no more.

    >>> from locution.recipe import resolve
    >>> job = Tabular().prepare(resolve("table"), quiet=True)
    >>> job.data.said["split"]
    'at random, each class by the same share (seed 0): 399, 85 and 85 rows'

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", chapter 2.
    """

    def __init__(self) -> None:
        self.plain = Supervised()
        self.kept: dict[str, Any] = {}

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Read the table, say what was found, and build a model of its size."""
        check_figures(recipe.figures)
        part = recipe.part("data")
        if not isinstance(part, TableData):
            raise UserError(f"data.name is '{recipe.data.get('name')}'; allowed: table, for a tabular task.")
        table = part.read()
        assert isinstance(table.dataset.train, TensorBatches)
        rows = len(table.dataset.train)
        model, said = build_model(recipe, rows, table.encoding, table.target)
        table.said["model"] = said
        self.kept = {"encoding": table.encoding.as_json(), "target": table.target.as_json(), "rows": rows}
        objective = objective_of(recipe, table.target)
        observers: list[Any] = [LeakWatch(lambda: table.leaks, quiet, table.said), GradientNorms()]
        if table.dataset.development is not None:
            observers.append(Overfitting(objective, table.dataset.development))
        turn = Turn(objective, recipe.part("optimizer").build)
        return Job(model, [turn], table.dataset.train, observers, table)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on the test rows, values in the target's own units."""
        table: Table = job.data
        held = table.dataset.test if table.dataset.test is not None else table.dataset.train
        assert isinstance(held, TensorBatches)
        outputs = predict(model, held.inputs).outputs
        where = (
            "held-out test set" if table.dataset.test is not None else "the rows learnt from, for there are no others"
        )
        note = f"{len(held)} rows: {where}"
        if table.target.labels:
            results = judge_classes(recipe.name, outputs, held.inputs, held.targets, table.target.labels, note)
            learnt: Any = table.dataset.train
            results.metrics += commonest(learnt.targets, held.targets, len(table.target.labels))
        else:
            decode = table.target.decode
            results = judge_values(recipe.name, decode(outputs), decode(held.targets), note)
        results.metrics += more_figures(recipe.figures, model, objective_of(recipe, table.target), table.dataset.train)
        show_network(results, recipe, model, table.dataset, held.inputs)
        results.summary = recipe.describe
        results.data = {"data": table.dataset.describe(), **table.said}
        return results

    def show(self, results: RunResults) -> None:
        """Print the figures with their intervals."""
        self.plain.show(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the weights, and how a row becomes numbers."""
        write_text(folder / ENCODING, json.dumps(self.kept, indent=1, ensure_ascii=False))
        self.plain.save(recipe, model, folder)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Build the model as training left it and put the weights in."""
        return self.plain.load(recipe, job, folder)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer for each row of a file, or for values by name: a class with its probability, or a value."""
        encoding, target, rows = kept_encoding(folder)
        table = read_rows(inputs, encoding)
        model, _ = build_model(recipe, rows, encoding, target)
        model = self.load(recipe, Job(model, [], None), folder)
        outputs = target.decode(predict(model, encoding.encode(table)).outputs)  # (N, C) or (N, 1)
        return [answer(output, target.labels) for output in outputs]

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place rows, or a part of the table, where they lie before the last layer; an input is one row."""
        job = self.prepare(recipe, quiet=True)
        model, table = self.load(recipe, job, folder), job.data

        def read(text: str) -> Tensor:
            rows = table.encoding.encode(read_rows([text], table.encoding))
            if len(rows) != 1:
                raise UserError(
                    f"'{text}' holds {len(rows)} rows; allowed: one row an input, such as age=31,city=Bern."
                )
            row: Tensor = rows[0]
            return row

        data = replace(table.dataset, reader=read, labels=tuple(table.target.labels))
        return placed(data, inputs, part, lambda rows: before_last(model, rows))


def build_model(recipe: Recipe, rows: int, encoding: Encoding, target: Target) -> tuple[nn.Module, str]:
    """Build the recipe's model for so many rows and columns, and say what it is."""
    part = recipe.part("model")
    features = len(encoding.features)
    chosen = f"for {rows} rows of {features} numbers"
    if isinstance(part, TabularModel):
        part = part.sized(rows)
        widths = part.chosen((features,))
        layers = f"a perceptron with hidden layers of {list(widths)}" if widths else "a linear model"
        said = f"{layers}, {'chosen ' if part.widths is None else ''}{chosen}"
    else:
        said = f"{recipe.model.get('name')}, {chosen}"
    model: nn.Module = part.build((features,), target.outputs)
    with explained(model.eval()), torch.no_grad():
        model(torch.zeros(1, features))  # what does not fit is said here, by layer, in one line
    return model, said


def objective_of(recipe: Recipe, target: Target) -> Any:
    """Take the recipe's objective, or the usual one for classes or for values."""
    if recipe.objective:
        return recipe.part("objective")
    from locution.recipe import build_part

    return build_part("objective", {"name": "cross_entropy" if target.labels else "mse"}, "objective")


def kept_encoding(folder: Path) -> tuple[Encoding, Target, int]:
    """Take back from a run folder how a row becomes numbers, and what is answered."""
    place = folder / ENCODING
    if not place.is_file():
        raise UserError(f"{folder} has no {ENCODING} yet; go on with: locution train --resume {folder}")
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        return Encoding.from_json(kept["encoding"]), Target.from_json(kept["target"]), int(kept["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise LocutionError(f"{place} is damaged: {' '.join(str(error).split())}.") from error
