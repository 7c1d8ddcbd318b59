"""The task of describing: inputs without answers become a few hidden causes, and inputs again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from locution.data.dataset import Dataset, first_batch
from locution.engine import TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.losses.elbo import ELBO, bound
from locution.models.shapes import explained
from locution.reporting.results import Gallery, Metric, RunResults
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

DRAWS = 10  # of the hidden causes, for each example that is judged
SHOWN = 12  # pictures in a row of the report


class Reconstruction(WeightsKept):
    """Unsupervised learning finds what inputs have in common without being told what they are.

    Here a model describes each input by hidden causes and makes it again from them (an autoencoder). With the
    bernoulli likelihood inputs become 0 or 1, whichever is nearer. It is judged on the test set by the bound that the
    objective minimises, in nats, over draws of the causes as they truly are: a choice is a choice there, whatever
    blends the model was trained with.

    >>> from locution.recipe import resolve
    >>> job = Reconstruction().prepare(resolve("digits/categorical_vae"))
    >>> sorted(job.data.train.inputs.unique().tolist())
    [0.0, 1.0]

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", section 2.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data, leave out the answers, and build the model."""
        objective = recipe.part("objective")
        if not isinstance(objective, ELBO):
            raise UserError(f"objective '{recipe.objective.get('name')}' needs answers; allowed here: elbo.")
        data = without_answers(recipe.part("data").load(recipe.seed), objective.likelihood == "bernoulli")
        model: nn.Module = recipe.part("model").build(data.inputs, data.outputs)
        with explained(model.eval()), torch.no_grad():
            objective(model, first_batch(data).rows(0, 1))
        observers: list[Any] = [GradientNorms()]
        if data.development is not None:
            observers.append(Overfitting(objective, data.development))
        turn = Turn(objective, recipe.part("optimizer").build)
        return Job(model, [turn], data.train, observers, data)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on the test set, by true draws of the causes."""
        data: Dataset = job.data
        held = data.test if data.test is not None else data.train
        if not isinstance(held, TensorBatches):
            raise UserError(f"{recipe.name} has no test data to judge by; allowed: data with a test set.")
        objective: ELBO = recipe.part("objective")
        surprise, divergence = judged(objective, model, held.inputs)
        note = f"{len(held)} examples held out, {DRAWS} draws each, in nats"
        figures = {
            "negative_elbo": (bound(surprise, divergence), "negative ELBO"),
            "reconstruction": (surprise.mean(0), "surprise at the input"),
            "divergence": (divergence, "divergence of the causes"),
        }
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        for name, (values, label) in figures.items():
            better = "" if name == "divergence" else "lower"
            results.metrics.append(
                Metric(name, **bootstrap(values), label=label, group="ELBO", better=better, note=note)
            )
        results.galleries = pictures(model, held.inputs, objective.likelihood == "bernoulli")
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Describe each input: numbers, a .npy, .csv or .png file, or test:3; by its likeliest causes and its bound."""
        job = self.prepare(recipe, quiet=True)
        model: Any = self.load(recipe, job, folder)
        objective: ELBO = recipe.part("objective")
        rows = torch.stack([read_input(text, job.data) for text in inputs])
        rows = rows.round() if objective.likelihood == "bernoulli" else rows
        costs = bound(*judged(objective, model, rows))
        with torch.no_grad():
            codes = model.code(rows).tolist()
        return [
            f"{' '.join(map(str, code))} (negative ELBO {cost:.1f})"
            for code, cost in zip(codes, costs.tolist(), strict=True)
        ]


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
    return replace(data, **parts, labels=(), outputs=int(np.prod(data.inputs)))


def judged(objective: ELBO, model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Measure the two terms of the bound on draws of the causes: (S, N) and (N,)."""
    device = next(model.parameters()).device
    surprises, divergence = [], torch.empty(0)
    with torch.no_grad():
        for number in range(DRAWS):
            output = model.eval()(inputs.to(device), generator(0, "causes", number))
            surprise, divergence = objective.parts(output, inputs.to(device))
            surprises.append(surprise.cpu())
    return torch.stack(surprises), divergence.cpu()


def pictures(model: Any, inputs: Tensor, binary: bool) -> list[Gallery]:
    """Show inputs above what was made of them, and what the model makes of nothing at all."""
    if inputs.dim() < 3 or inputs.shape[-2] < 2:
        return []

    def drawn(outputs: Tensor) -> NDArray[Any]:
        grey = (outputs.sigmoid() if binary else outputs).cpu()
        found: NDArray[Any] = grey.reshape(-1, SHOWN, *inputs.shape[-2:]).numpy()
        return found

    some = inputs[:SHOWN]
    if len(some) < SHOWN:
        return []
    with torch.no_grad():
        again = model(some.to(next(model.parameters()).device))["outputs"]
        made = model.sample(4 * SHOWN, generator(0, "samples"))
    first = some[:, 0] if some.dim() > 3 else some
    seen = first.reshape(1, SHOWN, *inputs.shape[-2:]).cpu().numpy()
    both = np.concatenate([seen, drawn(again)])
    return [
        Gallery("Reconstructions", both, "above: test pictures; below: made again from drawn causes"),
        Gallery("Samples", drawn(made), "made from causes drawn evenly"),
    ]
