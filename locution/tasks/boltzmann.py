"""The task of Boltzmann machines: to learn what is likely, without answers, and to draw more of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.engine import TensorBatches, Turn
from locution.engine.sequence import TaskSequence
from locution.errors import UserError, require
from locution.evaluation.partition_function import log_likelihood
from locution.gradients.norms import GradientNorms
from locution.losses.contrastive_divergence import ContrastiveDivergence, Layerwise
from locution.models.belief import DeepBeliefNet
from locution.models.boltzmann import BoltzmannMachine
from locution.reporting.results import RunResults
from locution.tasks.abilities import Samples
from locution.tasks.boltzmann_judged import drawn, in_rows, judge_belief, judge_machine, log_partition, made_again
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.reconstruction import without_answers
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe


@dataclass(frozen=True)
class BoltzmannSampling:
    """How new examples are drawn from a Boltzmann machine: from states of chance, by so many steps of Gibbs sampling.

    >>> BoltzmannSampling(steps=100).steps
    100

    Reference: S. Geman, D. Geman, 1984, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of
    images".
    """

    steps: int = 1000

    def __post_init__(self) -> None:
        require(self.steps >= 1, "sampling.steps", self.steps, "a whole number from 1, usually 1,000")


class BoltzmannLearning(WeightsKept):
    """Energy-based learning gives a low energy to what is seen and a high one to all else: it learns what is likely.

    Here the energy is that of a Boltzmann machine, or of a stack of them, each trained for its share of the epochs on
    what the ones below hand up. Inputs become 0 or 1, whichever is nearer. A machine is judged by how likely it finds
    the test set, for which its partition function is counted where it can be, and estimated besides.

    >>> from locution.recipe import resolve
    >>> job = BoltzmannLearning().prepare(resolve("digits/belief_layers", ["epochs=6"]))
    >>> [job.batches.task_of(epoch) for epoch in range(6)]  # two epochs for each of three layers
    [0, 0, 1, 1, 2, 2]

    Reference: Y. LeCun, S. Chopra, R. Hadsell, M. Ranzato, F. Huang, 2006, "A tutorial on energy-based learning".
    """

    sampling: ClassVar[type[Any]] = BoltzmannSampling

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data, leave out the answers, and build the machine, or the stack of them."""
        objective = recipe.part("objective")
        if not isinstance(objective, ContrastiveDivergence):
            name = recipe.objective.get("name")
            raise UserError(f"objective '{name}' trains no Boltzmann machine; allowed here: contrastive_divergence.")
        data = without_answers(recipe.part("data").load(recipe.seed), binary=True)
        model = recipe.part("model").build(data.inputs, data.outputs)
        batches: Any = data.train
        goal: Any = objective
        if isinstance(model, DeepBeliefNet):
            goal, batches = Layerwise(objective), one_layer_after_another(data, len(model.layers), recipe.epochs)
        elif not isinstance(model, BoltzmannMachine):
            raise UserError(f"model '{recipe.model.get('name')}' is no Boltzmann machine; allowed: boltzmann, belief.")
        return Job(model, [Turn(goal, recipe.part("optimizer").build)], batches, [GradientNorms()], data)

    def evaluate(self, recipe: Recipe, job: Job, model: Any, *, quiet: bool = False) -> RunResults:
        """Judge by the likelihood of the test set, or by what a stack makes of it again, and draw."""
        data: Dataset = job.data
        held = data.test if data.test is not None else data.train
        seen = data.train
        if not isinstance(held, TensorBatches) or not isinstance(seen, TensorBatches):
            raise UserError(f"{recipe.name} has no data in memory to judge by; allowed: data such as digits.")
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        judge = judge_belief if isinstance(model, DeepBeliefNet) else judge_machine
        judge(results, model.cpu().eval(), seen.inputs, held.inputs)
        return results

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: BoltzmannSampling) -> Samples:
        """Draw new inputs: the chances of what is seen, behind so many steps of Gibbs sampling."""
        job = self.prepare(recipe, quiet=True)
        model: Any = self.load(recipe, job, folder)
        made = drawn(model, count, wishes.steps, seed)
        return Samples(made, in_rows("Samples", made, f"after {wishes.steps:,} steps of Gibbs sampling"))

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say how likely each input is to a machine, in nats; of a stack, which units on top are more than half on."""
        job = self.prepare(recipe, quiet=True)
        model: Any = self.load(recipe, job, folder)
        rows = torch.stack([read_input(text, job.data) for text in inputs]).round()
        with torch.no_grad():
            if isinstance(model, DeepBeliefNet):
                codes = (model.up(rows, len(model.layers)) > 0.5).int().tolist()
                errors = made_again(model, rows)[-1].tolist()
                pairs = zip(codes, errors, strict=True)
                return [f"{''.join(map(str, code))} (squared error {error:.3f})" for code, error in pairs]
            likely = log_likelihood(model, rows, log_partition(model, job.data.train.inputs)[0]).tolist()
            energies: list[float] = model.energy(rows.flatten(1)).tolist()
        both = zip(likely, energies, strict=True)
        return [f"log-likelihood {chance:.1f} (free energy {energy:.1f})" for chance, energy in both]


def one_layer_after_another(data: Dataset, layers: int, epochs: int | None) -> TaskSequence:
    """Go through the data for each layer in turn, an equal share of the epochs each; targets name the layer."""
    if epochs is None or epochs % layers:
        raise UserError(f"epochs is {epochs}; allowed: a multiple of {layers}, as many epochs for each layer.")
    train = data.train
    assert isinstance(train, TensorBatches), "without_answers hands over no others"
    inputs: Tensor = train.inputs

    def marked(layer: int) -> TensorBatches:
        names = torch.full((len(inputs),), layer)
        return TensorBatches(inputs, names, batch_size=train.batch_size, shuffle=train.shuffle)

    return TaskSequence([marked(layer) for layer in range(layers)], epochs // layers)
