"""The task of Bayesian regression: weights known to a spread, held against the posterior that can be written down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.engine import TensorBatches, Turn
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap
from locution.gradients.norms import GradientNorms
from locution.inference.predict import predict
from locution.losses.elbo import ELBO, gaussian_surprise
from locution.models.bayesian_linear import BayesianLinear, BayesianLinearModel, exact_posterior
from locution.models.gaussian_posterior import divergence_between
from locution.reporting.results import Graph, Metric, RunResults, Table
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.task import Job

if TYPE_CHECKING:
    from torch import nn

    from locution.recipe import Recipe

BAND = 1.96  # standard deviations on either side that hold 95 %
PLACES = 101


class Bayesian(WeightsKept):
    """Bayesian regression learns how sure it can be of each weight, and so how sure its answer is at each place.

    The weights' posterior is approached by variational inference, and compared with the exact one, which a linear model
    with Gaussian noise has in closed form.

    >>> from locution.recipe import resolve
    >>> job = Bayesian().prepare(resolve("bayesian"))
    >>> job.model.posterior.mean.tolist()
    [0.0, 0.0]

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", sections 3.3 and 10.3.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data and build the model."""
        objective = recipe.part("objective")
        fits = isinstance(objective, ELBO) and objective.explains == "targets" and objective.likelihood == "gaussian"
        if not fits:
            allowed = "{name: elbo, likelihood: gaussian, explains: targets, spread: the noise}"
            raise UserError(f"objective is {recipe.objective}; allowed for a Bayesian regression: {allowed}.")
        data = recipe.part("data").load(recipe.seed)
        if data.labels or data.outputs != 1 or not isinstance(data.train, TensorBatches):
            raise UserError(f"the data are {data.describe()}; allowed for a Bayesian regression: one number to answer.")
        if not isinstance(recipe.part("model"), BayesianLinearModel):
            raise UserError(f"model '{recipe.model.get('name')}' has no posterior; allowed here: bayesian_linear.")
        model = recipe.part("model", **{"examples": len(data.train), **data.sizes}).build(data.inputs, data.outputs)
        turn = Turn(objective, recipe.part("optimizer").build)
        return Job(model, [turn], data.train, [GradientNorms()], data)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Compare with the exact posterior, and judge what is expected of held-out examples."""
        assert isinstance(model, BayesianLinear)
        model, noise, data = model.cpu(), recipe.part("objective").spread, job.data
        mean, covariance = posterior_of(model)
        wanted, exact = exact_weights(model, data, noise)
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        results.metrics = against_exact(mean, covariance, wanted, exact)
        if isinstance(data.test, TensorBatches):
            results.metrics += foreseen(model, data.test, noise)
        results.tables = [weights_table(mean, covariance, wanted, exact)]
        if data.inputs == (1,):
            results.graphs = [band(model, data, wanted, exact), density(mean, covariance, wanted, exact)]
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer each input with a value and its standard deviation, noise and all."""
        job = self.prepare(recipe, quiet=True)
        model = self.load(recipe, job, folder)
        noise = recipe.part("objective").spread
        said = predict(model, torch.stack([read_input(text, job.data) for text in inputs])).outputs
        spread = (said["spread"].square() + noise**2).sqrt()
        pairs = zip(said["outputs"].flatten().tolist(), spread.flatten().tolist(), strict=True)
        return [f"{value:.3f} +- {spread:.3f}" for value, spread in pairs]


def posterior_of(model: BayesianLinear) -> tuple[Tensor, Tensor]:
    """Take the mean (D,) and the covariance (D, D) that were learnt, in double precision."""
    with torch.no_grad():
        factor = model.posterior.factor().double()
        return model.posterior.mean.double(), factor @ factor.T


def exact_weights(model: BayesianLinear, data: Dataset, noise: float) -> tuple[Tensor, Tensor]:
    """Work out what the posterior is, from all examples that were learnt from."""
    assert isinstance(data.train, TensorBatches)
    features = model.features(data.train.inputs.double())
    return exact_posterior(features, data.train.targets.double().flatten(), noise, model.prior)


def against_exact(mean: Tensor, covariance: Tensor, wanted: Tensor, exact: Tensor) -> list[Metric]:
    """Measure how far a posterior is from the exact one: as a whole, in its means and in its spreads."""
    spread, right = covariance.diagonal().sqrt(), exact.diagonal().sqrt()
    note = f"{len(mean)} weights, against the posterior in closed form"
    lost = float(divergence_between(mean, covariance, wanted, exact))
    off = float(((mean - wanted).abs() / right).max())
    ratio = float((spread / right).log().mean().exp())
    return [
        Metric("divergence_from_exact", lost, label="divergence from the exact posterior", better="lower", note=note),
        Metric("mean_error", off, label="largest error of a mean, in exact spreads", better="lower", note=note),
        Metric("spread_ratio", ratio, label="spread found over spread there is", note=f"{note}; 1 is right"),
    ]


def foreseen(model: BayesianLinear, held: TensorBatches, noise: float) -> list[Metric]:
    """Judge what is expected of held-out examples: how surprising they are, and how many the 95 % band holds."""
    said = predict(model, held.inputs).outputs
    spread = (said["spread"].square() + noise**2).sqrt()
    away = (held.targets - said["outputs"]) / spread  # (N, 1)
    surprise = gaussian_surprise(torch.zeros_like(away), away) + spread.log().flatten()
    note = f"{len(held)} examples held out"
    inside = bootstrap((away.abs() <= BAND).double().flatten())
    lost = bootstrap(surprise)
    return [
        Metric(
            "negative_log_predictive",
            lost["value"],
            lost["low"],
            lost["high"],
            label="surprise at a held-out example",
            better="lower",
            note=f"{note}, in nats",
        ),
        Metric(
            "held_by_band",
            inside["value"],
            inside["low"],
            inside["high"],
            label="held-out examples within the 95 % band",
            note=note,
        ),
    ]


def weights_table(mean: Tensor, covariance: Tensor, wanted: Tensor, exact: Tensor) -> Table:
    """Set each weight beside what it should be."""
    columns = ["weight", "mean", "exact mean", "spread", "exact spread"]
    numbers = (mean, wanted, covariance.diagonal().sqrt(), exact.diagonal().sqrt())
    rows = [[f"w{index}", *(f"{float(column[index]):.4f}" for column in numbers)] for index in range(len(mean))]
    return Table("The posterior, weight by weight", columns, rows, "w0 is the answer at 0")


def band(model: BayesianLinear, data: Dataset, wanted: Tensor, exact: Tensor) -> Graph:
    """Draw the answer with its 95 % band, found and exact, over the points that were learnt from."""
    assert isinstance(data.train, TensorBatches)
    points = data.train.inputs.flatten(), data.train.targets.flatten()
    low, high = float(points[0].min()), float(points[0].max())
    x = torch.linspace(low - 0.25 * (high - low), high + 0.25 * (high - low), PLACES)
    features = model.features(x[:, None].double())
    drawn: dict[str, tuple[Tensor, Tensor]] = {}
    for name, (mean, covariance) in {"found": posterior_of(model), "exact": (wanted, exact)}.items():
        middle, spread = features @ mean, ((features @ covariance) * features).sum(1).sqrt()
        drawn[name] = x, middle
        edge = torch.cat([middle + BAND * spread, (middle - BAND * spread).flip(0)])  # there above, and back below
        drawn[f"{name}, 95 %"] = torch.cat([x, x.flip(0)]), edge
    return Graph(
        "The line and how sure it is",
        {name: (xs.tolist(), ys.tolist()) for name, (xs, ys) in drawn.items()},
        (points[0].tolist(), points[1].tolist()),
        note="without the noise; dots: what was learnt from",
    )


def density(mean: Tensor, covariance: Tensor, wanted: Tensor, exact: Tensor) -> Graph:
    """Draw how likely each value of the slope is, as found and as it is."""
    right = float(exact[1, 1].sqrt())
    x = torch.linspace(float(wanted[1]) - 4 * right, float(wanted[1]) + 4 * right, PLACES, dtype=torch.float64)
    lines = {}
    for name, (middle, spread) in {
        "found": (mean[1], covariance[1, 1].sqrt()),
        "exact": (wanted[1], exact[1, 1].sqrt()),
    }.items():
        surprise = gaussian_surprise(middle.expand(PLACES, 1), x[:, None], float(spread))
        lines[name] = (x.tolist(), surprise.neg().exp().tolist())
    return Graph("The posterior of the slope", lines, across="w1", note="how likely each value of it is")
