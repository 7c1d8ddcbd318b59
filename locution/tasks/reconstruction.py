"""The task of describing: inputs without answers become a few hidden causes, and inputs again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset, first_batch
from locution.engine import TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import HUGE, GradientNorms
from locution.losses.elbo import ELBO, bound
from locution.losses.factor_vae import FactorVAE
from locution.losses.reconstruction_error import ReconstructionError, reconstruction_error
from locution.models.autoencoder import Autoencoder
from locution.models.categorical_vae import CategoricalVAE
from locution.models.shapes import explained
from locution.models.vae import VAE
from locution.reporting.results import Gallery, RunResults
from locution.tasks.abilities import Embedding, Samples
from locution.tasks.described_pictures import are_pictures, flat, in_rows, pictures
from locution.tasks.describing import (
    bound_figures,
    codes_of,
    elbo_of,
    error_figures,
    factor_figures,
    judged,
    uncriticised,
)
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

USUAL = 64  # numbers of an input, for which a gradient is usual up to a norm of 100
OBJECTIVES = (ELBO, FactorVAE, ReconstructionError)
CHUNK = 256  # examples that are made at once
SHEET = 480  # of those drawn that a picture shows, twelve in a row


@dataclass(frozen=True)
class CausesDrawn:
    """How a variational autoencoder draws the causes of new examples: around 0, with this spread.

    `spread` is 1 where causes are drawn as the model expects them; less makes examples that are more usual and alike.

    >>> CausesDrawn(spread=0.5).spread
    0.5

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", section 3.
    """

    spread: float = 1.0

    def __post_init__(self) -> None:
        require(self.spread >= 0, "sampling.spread", self.spread, "a number from 0, usually 0.7 to 1")


class Reconstruction(WeightsKept):
    """Unsupervised learning finds what inputs have in common without being told what they are.

    Here a model describes each input by a code, or by hidden causes, and makes it again from them (an autoencoder).
    With the bernoulli likelihood inputs become 0 or 1, whichever is nearer. A model of causes is judged on the test set
    by the evidence lower bound, in nats, over draws of the causes as they truly are: a choice is a choice there,
    whatever blends the model was trained with. A plain autoencoder is judged by its error beside that of principal
    components. Where the data know their own causes, the code is compared with them.

    >>> from locution.recipe import resolve
    >>> job = Reconstruction().prepare(resolve("digits/categorical_vae"))
    >>> sorted(job.data.train.inputs.unique().tolist())
    [0.0, 1.0]

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", section 2.
    """

    sampling: ClassVar[type[Any]] = CausesDrawn

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data, leave out the answers, and build the model."""
        objective = recipe.part("objective")
        if not isinstance(objective, OBJECTIVES) or (isinstance(objective, ELBO) and objective.explains != "inputs"):
            name = recipe.objective.get("name")
            allowed = "elbo, factor_vae, reconstruction_error"
            raise UserError(f"objective '{name}' needs answers; allowed here: {allowed}.")
        data = without_answers(recipe.part("data").load(recipe.seed), is_binary(objective))
        model: nn.Module = recipe.part("model").build(data.inputs, data.outputs)
        if not isinstance(model, Autoencoder | VAE | CategoricalVAE):
            what = f"model '{recipe.model.get('name')}' has no code that an input is made again from"
            raise UserError(f"{what}; allowed here: autoencoder, vae, categorical_vae.")
        optimizer = recipe.part("optimizer").build
        turns = [Turn(objective, optimizer)]
        if isinstance(objective, FactorVAE):
            model, turns = objective.beside(model), objective.turns(optimizer)
        with explained(model.eval()), torch.no_grad():
            objective(model, first_batch(data).rows(0, 1))
        observers: list[Any] = [GradientNorms(above=steep(objective, data.inputs))]
        if data.development is not None:
            observers.append(Overfitting(objective, data.development))
        return Job(model, turns, data.train, observers, data)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on the test set, and by the known causes of the data where there are any."""
        data: Dataset = job.data
        held = data.test if data.test is not None else data.train
        if not isinstance(held, TensorBatches):
            raise UserError(f"{recipe.name} has no test data to judge by; allowed: data with a test set.")
        objective, found = recipe.part("objective"), uncriticised(model)
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        results.metrics = factor_figures(found, recipe.part("data").load(recipe.seed), is_binary(objective))
        if isinstance(found, Autoencoder):
            results.metrics += error_figures(found, seen(data), held.inputs)
        else:
            results.metrics += bound_figures(elbo_of(objective), found, held.inputs)
        results.galleries = pictures(found, held.inputs, is_binary(objective))
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Describe each input: numbers, a .npy, .csv or .png file, or test:3; by its code, and how well that fits."""
        job, model, objective = self.opened(recipe, folder)
        rows = torch.stack([read_input(text, job.data) for text in inputs])
        rows = rows.round() if is_binary(objective) else rows
        codes = codes_of(model, rows)
        if isinstance(model, Autoencoder):
            with torch.no_grad():
                costs, what = reconstruction_error(model(rows), rows), "reconstruction error {:.4f}"
        else:
            costs, what = bound(*judged(elbo_of(objective), model, rows)), "negative ELBO {:.1f}"
        whole = not codes.is_floating_point()
        return [
            f"{' '.join(str(one) if whole else f'{one:.2f}' for one in code)} ({what.format(cost)})"
            for code, cost in zip(codes.tolist(), costs.tolist(), strict=True)
        ]

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: CausesDrawn) -> Samples:
        """Make new examples from causes that are drawn."""
        _, model, objective = self.opened(recipe, folder)
        if isinstance(model, Autoencoder):
            allowed = "a variational one, such as locution train digits/vae"
            raise UserError(f"{folder} is a plain autoencoder, whose codes nobody can draw; allowed: {allowed}.")
        if not isinstance(model, VAE):
            require(wishes.spread == 1.0, "sampling.spread", wishes.spread, "1: these causes are choices")
        made = new_ones(model, count, seed, *([wishes.spread] if isinstance(model, VAE) else []))
        values = made.sigmoid() if is_binary(objective) else made
        galleries = []
        if are_pictures(values):
            some = flat(values[:SHEET])
            shown = str(count) if len(some) == count else f"the first {SHEET} of {count}"
            note = f"{shown} made from causes drawn by seed {seed}"
            galleries = [Gallery("Samples", in_rows(some, 12), note)]
        return Samples(values, galleries)

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place inputs where their codes lie; without any, all examples of a part of the data."""
        job, model, objective = self.opened(recipe, folder)
        labels: list[str] = []
        if inputs:
            rows, names = torch.stack([read_input(text, job.data) for text in inputs]), list(inputs)
        else:
            known = recipe.part("data").load(recipe.seed)
            held = getattr(known, part, None)
            if not isinstance(held, TensorBatches):
                raise UserError(f"there is no part '{part}' of these data; allowed: train, development or test.")
            rows, names = held.inputs, [f"{part}:{number}" for number in range(len(held))]
            labels = [known.labels[one] for one in held.targets.tolist()] if known.labels else []
        codes = codes_of(model, rows.round() if is_binary(objective) else rows).float()
        return Embedding(codes, names, labels, flat(rows) if are_pictures(rows) else None)

    def opened(self, recipe: Recipe, folder: Path) -> tuple[Job, Any, Any]:
        """Take back what was trained: its data, what describes, and the objective."""
        job = self.prepare(recipe, quiet=True)
        return job, uncriticised(self.load(recipe, job, folder)), recipe.part("objective")


def is_binary(objective: Any) -> bool:
    """Say whether inputs are taken as 0 or 1."""
    return not isinstance(objective, ReconstructionError) and elbo_of(objective).likelihood == "bernoulli"


def steep(objective: Any, inputs: tuple[int, ...]) -> float:
    """Say from where on a gradient is unusual: a bound in nats adds up all numbers of an input, each by its precision.

    >>> steep(ELBO(), (1, 8, 8)), steep(ELBO(likelihood="gaussian", spread=0.5), (1, 16, 16))
    (100.0, 1600.0)
    """
    if isinstance(objective, ReconstructionError):
        return HUGE
    of = elbo_of(objective)
    precision = of.spread**-2 if of.likelihood == "gaussian" else 1.0
    return HUGE * max(1.0, precision * math.prod(inputs) / USUAL)


def seen(data: Dataset) -> Tensor:
    """Take the inputs that were learnt from."""
    assert isinstance(data.train, TensorBatches)
    inputs: Tensor = data.train.inputs
    return inputs


def without_answers(data: Dataset, binary: bool) -> Dataset:
    """Leave out the answers of a dataset; binary: make each number 0 or 1, whichever is nearer.

    >>> x = TensorBatches(torch.tensor([[0.4], [0.6]]), torch.tensor([1, 2]))
    >>> done = without_answers(Dataset(x, labels=("a", "b")), binary=True)
    >>> done.train.inputs.tolist(), done.train.targets, done.labels
    ([[0.0], [1.0]], None, ())
    """

    def bare(some: Any) -> Any:
        if some is None:
            return None
        if not isinstance(some, TensorBatches) or not isinstance(some.inputs, Tensor):
            raise UserError("the data are no tensors in memory; allowed here: data such as digits.")
        inputs = some.inputs.round() if binary else some.inputs
        if binary and not bool(((inputs == 0) | (inputs == 1)).all()):
            raise UserError("the inputs leave 0 to 1; allowed: such, or objective.likelihood=gaussian.")
        return TensorBatches(inputs, batch_size=some.batch_size, shuffle=some.shuffle)

    parts = {name: bare(getattr(data, name)) for name in ("train", "development", "test")}
    return replace(data, **parts, labels=(), factors=(), outputs=int(np.prod(data.inputs)))


def new_ones(model: Any, count: int, seed: int, *spread: float) -> Tensor:
    """Make so many new inputs, a part after the other: (count, *shape), before the sigmoid.

    The same seed makes the same, few or many.

    >>> from locution.models.vae import VAEModel
    >>> model = VAEModel(latents=2).build((1, 8, 8), 1)
    >>> torch.allclose(new_ones(model, 300, 0)[:2], new_ones(model, 2, 0))
    True
    """
    parts = []
    with torch.no_grad():
        for begin in range(0, count, CHUNK):
            # always as many: few numbers are drawn in another way than many
            made = model.sample(CHUNK, generator(seed, "samples", begin), *spread)
            parts.append(made[: count - begin].cpu())
    return torch.cat(parts)
