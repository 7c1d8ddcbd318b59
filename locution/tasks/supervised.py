"""Supervised tasks: classification and regression, from examples whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset, first_batch
from locution.data.leakage import dataset_leaks
from locution.engine import TensorBatches, Turn
from locution.errors import LocutionError, UserError
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.inference.predict import predict
from locution.models.shapes import explained, shape_of
from locution.reporting.line_log import LineLog
from locution.reporting.results import RunResults
from locution.tasks.abilities import Embedding
from locution.tasks.elsewhere import judged_elsewhere
from locution.tasks.figures import check_figures, more_figures
from locution.tasks.inputs import read_input
from locution.tasks.judge import judge_classes, judge_values
from locution.tasks.keeping import WeightsKept
from locution.tasks.leak_watch import LeakWatch
from locution.tasks.network_pictures import show_network
from locution.tasks.placing import before_last, placed
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe


class Supervised(WeightsKept):
    """Supervised learning goes from examples with known answers to a model that answers for new ones.

    Classification answers with a class, regression with a value; which of the two is the data's affair.

    >>> from locution.recipe import resolve
    >>> job = Supervised().prepare(resolve("line"))
    >>> job.data.describe()
    'y = 2 x + 1: 5 to learn from; each (1,) -> 1 number'

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", chapter 2.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data and build the model."""
        check_figures(recipe.figures)
        data: Dataset = recipe.part("data").load(recipe.seed)
        one = first_batch(data).rows(0, 1).inputs
        if not isinstance(one, Tensor):
            what = f"data '{recipe.data.get('name')}' bring {shape_of(one)} at once, no examples to answer one by one"
            raise UserError(f"{what}; allowed here: such as digits, or the task of a recipe with these data.")
        job = self.job(recipe, data, quiet=quiet)
        check_answers(recipe, job)
        job.observers.insert(0, LeakWatch(lambda: dataset_leaks(job.data), quiet))
        return job

    def job(self, recipe: Recipe, data: Dataset, *, quiet: bool = False) -> Job:
        """Build the model for these data, and what watches it."""
        model: nn.Module = recipe.part("model", **data.sizes).build(data.inputs, data.outputs)
        with explained(model.eval()), torch.no_grad():
            model(first_batch(data).rows(0, 1).inputs)  # what does not fit is said here, by layer, in one line
        turn = Turn(recipe.part("objective"), recipe.part("optimizer").build)
        scalars = all(parameter.numel() == 1 for parameter in model.parameters())
        observers: list[Any] = [GradientNorms()]
        if data.development is not None:
            observers.append(Overfitting(recipe.part("objective"), data.development))
        if scalars and not quiet:
            observers.append(LineLog())
        return Job(model, [turn], data.train, observers, data, speaks=scalars)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on the test set; where there is none, on what it learnt from, and say so."""
        data: Dataset = job.data
        held = data.test if data.test is not None else data.train
        if not isinstance(held, TensorBatches):
            raise LocutionError(f"{recipe.name} has no test data to judge by.")
        outputs = predict(model, held.inputs).outputs
        where = "held-out test set" if data.test is not None else "the training examples, for there are no others"
        note = f"{len(held)} examples: {where}"
        if data.labels:
            results = judge_classes(recipe.name, outputs, held.inputs, held.targets, data.labels, note)
        else:
            results = judge_values(recipe.name, outputs, held.targets, note)
        results.metrics += judged_elsewhere(model, data.others, classes=bool(data.labels))
        results.metrics += more_figures(recipe.figures, model, recipe.part("objective"), data.train)
        show_network(results, recipe, model, data, held.inputs)
        results.summary = recipe.describe
        results.data = {"data": data.describe()}
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer for each input: a class with its probability, or a value."""
        job = self.prepare(recipe, quiet=True)
        model = self.load(recipe, job, folder)
        data: Dataset = job.data
        rows = [read_input(text, data) for text in inputs]
        outputs = predict(model, torch.stack(rows)).outputs  # (N, C) or (N, 1)
        return [answer(output, data.labels) for output in outputs]

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place inputs, or a part of the data, where they lie before the last layer."""
        job = self.prepare(recipe, quiet=True)
        model = self.load(recipe, job, folder)
        return placed(job.data, inputs, part, lambda rows: before_last(model, rows))


def check_answers(recipe: Recipe, job: Job) -> None:
    """Refuse a model whose answers are no scores of the classes and no values, before anything is trained."""
    data: Dataset = job.data
    said = predict(job.model, first_batch(data).rows(0, 1).inputs).outputs
    if not isinstance(said, Tensor) or said.shape[-1] != data.outputs:
        what = f"model '{recipe.model.get('name')}' answers with {shape_of(said)}"
        allowed = f"(1, {data.outputs}) for one example, as of model mlp, or the task of a recipe with this model"
        raise UserError(f"{what}; allowed here: {allowed}.")


def answer(output: Tensor, labels: Sequence[str]) -> str:
    """Say an output in words: the likeliest class and how likely, or the values.

    >>> answer(torch.tensor([0.0, 5.0]), ["no", "yes"])
    'yes (0.993)'
    >>> answer(torch.tensor([21.000001]), [])
    '21.0'
    """
    if labels:
        chances = output.float().softmax(-1)
        best = int(chances.argmax())
        return f"{labels[best]} ({chances[best].item():.3f})"
    return ", ".join(str(float(np.round(value, 4))) for value in output.flatten().tolist())
