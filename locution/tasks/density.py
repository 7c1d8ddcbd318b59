"""The task of density estimation: how likely each example is, and new examples that are as likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset, first_batch
from locution.data.known_density import KnownDensity
from locution.engine import TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.losses.likelihood import NegativeLogLikelihood, quantised
from locution.models.flow import Flow
from locution.models.shapes import explained
from locution.reporting.results import RunResults
from locution.tasks.abilities import Samples
from locution.tasks.clouds import gallery_of
from locution.tasks.density_judged import invertibility, likelihoods, looks
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.reconstruction import without_answers
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

FIRST = 1024  # examples that actnorm begins with


@dataclass(frozen=True)
class DensitySampling:
    """How new examples are drawn from a flow: below 1 the `temperature` keeps nearer to the likeliest.

    >>> DensitySampling(temperature=0)
    Traceback (most recent call last):
    locution.errors.UserError: temperature is 0; allowed: a number above 0, usually 0.7 to 1.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        require(self.temperature > 0, "temperature", self.temperature, "a number above 0, usually 0.7 to 1")


class DensityEstimation(WeightsKept):
    """Density estimation learns how likely each example is, from examples alone.

    The model is judged by how surprising held-out examples are to it; where the true density is known, by how much more
    surprising than to the truth. It is checked whether the way to noise and back returns what it began with, and
    whether the volumes that it states are those that differentiation finds.

    >>> from locution.recipe import resolve
    >>> job = DensityEstimation().prepare(resolve("two_moons/flow"))
    >>> job.data.train.targets is None
    True

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 2.5.
    """

    sampling: type[Any] = DensitySampling

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data, leave out the answers, build the model, and let its actnorms begin with the data."""
        objective = recipe.part("objective")
        if not isinstance(objective, NegativeLogLikelihood):
            name = recipe.objective.get("name")
            raise UserError(f"objective '{name}' measures no likelihood; allowed here: negative_log_likelihood.")
        data = without_answers(recipe.part("data").load(recipe.seed), binary=False)
        check_levels(data, objective.levels)
        model: nn.Module = recipe.part("model", **data.sizes).build(data.inputs, data.outputs)
        with explained(model.eval()), torch.no_grad():
            objective(model, first_batch(data).rows(0, 1))
        if isinstance(model, Flow):
            first = tensors(data.train)[:FIRST]
            model.initialise(objective.spread(first, generator(recipe.seed, "first examples")))
        observers: list[Any] = [GradientNorms()]
        if data.development is not None:
            observers.append(Overfitting(objective, data.development))
        turn = Turn(objective, recipe.part("optimizer").build)
        return Job(model, [turn], data.train, observers, data)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Measure how surprising the test set is, and look at what is drawn."""
        data, objective, part = job.data, recipe.part("objective"), recipe.part("data")
        held = tensors(data.test or data.train)
        truth = part.truth() if isinstance(part, KnownDensity) else None
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        results.metrics += likelihoods(model, objective, held, tensors(data.train), truth)
        if isinstance(model, Flow):
            results.metrics += invertibility(model, objective.spread(held, generator(0, "dequantised")))
            looks(results, model, objective, held, tensors(data.train), truth)
        return results

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: DensitySampling) -> Samples:
        """Draw so many new examples, in the units of the data."""
        model, levels = self.load(recipe, self.prepare(recipe, quiet=True), folder), recipe.part("objective").levels
        if not isinstance(model, Flow):
            raise UserError(f"{recipe.name} has no flow to draw from; allowed: model flow.")
        with torch.inference_mode():
            values = model.sample(count, generator(seed, "density"), wishes.temperature).cpu()
        values = quantised(values, levels) if levels else values
        return Samples(values, gallery_of(values, "Samples"))

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say how likely each input is: numbers, a .npy, .csv or .png file, or test:3."""
        job, objective = self.prepare(recipe, quiet=True), recipe.part("objective")
        model = self.load(recipe, job, folder)
        rows = torch.stack([read_input(text, job.data) for text in inputs])
        with torch.inference_mode():
            _, surprise = objective.surprise(model, objective.spread(rows, generator(0, "dequantised")))
        return [f"log-likelihood {-value:.3f} nats" for value in surprise.tolist()]


def tensors(some: Any) -> Tensor:
    """Take the inputs of examples in memory, which `without_answers` has made sure they are."""
    assert isinstance(some, TensorBatches)
    found: Tensor = some.inputs
    return found


def check_levels(data: Dataset, levels: int) -> None:
    """Refuse inputs that are not the values from 0 to 1 that they are said to be.

    >>> check_levels(Dataset(TensorBatches(torch.tensor([[0.3]]))), 3)
    Traceback (most recent call last):
    locution.errors.UserError: objective.levels is 3, and the inputs hold other values; allowed: ...
    """
    if not levels:
        return
    steps = tensors(data.train) * (levels - 1)
    whole = (
        bool(((steps - steps.round()).abs() < 1e-3).all()) and 0 <= float(steps.min()) <= float(steps.max()) < levels
    )
    if not whole:
        allowed = f"values from 0 to 1 in steps of 1/{levels - 1}, or objective.levels=0"
        raise UserError(f"objective.levels is {levels}, and the inputs hold other values; allowed: {allowed}.")
