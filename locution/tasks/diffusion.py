"""The task of a diffusion model: to learn which noise was added, and so to draw new examples from noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset, first_batch
from locution.data.gaussian_mixture import GaussianMixture
from locution.data.known_density import KnownDensity
from locution.engine import TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.inference.diffusion import NetworkSays, annealed_langevin, diffusion_sample
from locution.losses.diffusion import NoisePrediction, noise_prediction_loss
from locution.losses.score_matching import ScoreMatching
from locution.models.diffusion import predicted_noise
from locution.models.shapes import explained
from locution.reporting.results import RunResults
from locution.tasks.abilities import Samples
from locution.tasks.clouds import gallery_of
from locution.tasks.diffusion_judged import judge_pictures, judge_points
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.task import Job
from locution.tasks.wanted import classes_wanted, told_no_class

if TYPE_CHECKING:
    from locution.recipe import Recipe

CHUNK = 500  # examples drawn at once


@dataclass(frozen=True)
class DiffusionSampling:
    """How new examples are drawn from a diffusion model.

    `label` is the class that is wanted, by its name; all by turns if none is. `guidance` says how clearly: 0 tells the
    class and no more; none is 1 where classes are told. `kind`: ddim in `steps` steps, with a share `eta` of the noise
    drawn anew; ddpm, as random as the way there was, over all levels; langevin, small steps along the score.

    >>> DiffusionSampling(steps=0)
    Traceback (most recent call last):
    locution.errors.UserError: steps is 0; allowed: a whole number from 1, usually 50.
    """

    label: int | str | None = None
    guidance: float | None = None
    kind: Literal["ddim", "ddpm", "langevin"] = "ddim"
    steps: int = 50
    eta: float = 0.0

    def __post_init__(self) -> None:
        require(
            self.guidance is None or self.guidance >= 0, "guidance", self.guidance, "a number from 0, usually 0 to 4"
        )
        require(self.steps >= 1, "steps", self.steps, "a whole number from 1, usually 50")
        require(0 <= self.eta <= 1, "eta", self.eta, "a number from 0 to 1")


class Diffusion(WeightsKept):
    """A diffusion model learns to take noise out of examples, and draws new ones by taking it out of noise alone.

    With the objective `noise_prediction` data fade into noise, with `score_matching` noise comes to them; the network
    says the noise in either case. Pictures, from 0 to 1, are learnt as from -1 to 1. Where the density of the data is
    known, the score is held against the true one; pictures are judged by whether a classifier recognises them.

    >>> from locution.recipe import resolve
    >>> job = Diffusion().prepare(resolve("digits/diffusion"))
    >>> pictures = job.data.train.inputs
    >>> float(pictures.min()), float(pictures.max())
    (-1.0, 1.0)

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", algorithms 1 and 2.
    """

    sampling: type[Any] = DiffusionSampling

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data, centre pictures, and build the network."""
        objective = recipe.part("objective")
        if not isinstance(objective, (NoisePrediction, ScoreMatching)):
            allowed = "noise_prediction, score_matching"
            raise UserError(f"objective '{recipe.objective.get('name')}' adds no noise; allowed here: {allowed}.")
        conditional = recipe.model.get("conditional", False)
        data = ready(recipe.part("data").load(recipe.seed), conditional)
        model: nn.Module = recipe.part("model", **data.sizes).build(data.inputs, max(1, len(data.labels)))
        with explained(model.eval()), torch.no_grad():
            objective(model, first_batch(data).rows(0, 1))
        observers: list[Any] = [GradientNorms()]
        if data.development is not None:
            observers.append(Overfitting(objective, data.development))
        turn = Turn(objective, recipe.part("optimizer").build)
        return Job(model, [turn], data.train, observers, data)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Draw examples, and judge them and the score."""
        data, objective, part = job.data, recipe.part("objective"), recipe.part("data")
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})

        def draw(count: int, **wishes: Any) -> Tensor:
            return drawn(model.eval(), recipe, data, count, 0, DiffusionSampling(**wishes))

        truth = part.truth() if isinstance(part, KnownDensity) else None
        if isinstance(truth, GaussianMixture):
            judge_points(results, model, objective.noise, truth, draw)
        else:
            judge_pictures(results, data, draw, recipe.model.get("conditional", False))
        return results

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: DiffusionSampling) -> Samples:
        """Draw so many new examples, in the units of the data."""
        job = self.prepare(recipe, quiet=True)
        values = drawn(self.load(recipe, job, folder), recipe, job.data, count, seed, wishes)
        return Samples(values, gallery_of(values, "Samples"))

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say how wrong the model is about noise in each input, on average, and the score there if it is a point."""
        job = self.prepare(recipe, quiet=True)
        model, levels = self.load(recipe, job, folder), recipe.part("objective").noise
        rows = torch.stack([read_input(text, recipe.part("data").load(recipe.seed)) for text in inputs])
        pictures = len(job.data.inputs) == 3
        rows = 2 * rows - 1 if pictures else rows
        at = torch.linspace(1, len(levels), min(100, len(levels))).long()  # (L,)
        lines = []
        for row in rows:
            many = row.expand(len(at), *row.shape)
            noise = torch.randn(many.shape, generator=generator(0, "noise"))
            with torch.no_grad():
                said = predicted_noise(model, levels.noised(many, noise, at), levels, at)
                line = f"noise prediction loss {noise_prediction_loss(said, noise).mean():.4f}"
                if not pictures:
                    first = torch.ones(1, dtype=torch.int64)
                    score = -predicted_noise(model, row[None], levels, first) / levels.sigmas[1]
                    line += f", score {' '.join(f'{value:.3f}' for value in score.flatten().tolist())}"
            lines.append(line)
        return lines


def ready(data: Dataset, conditional: bool) -> Dataset:
    """Take pictures from 0..1 to -1..1, and leave out the classes of what is not to be told any.

    >>> x = TensorBatches(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([1]))
    >>> done = ready(Dataset(x, inputs=(1, 1, 2), labels=("a", "b")), conditional=False)
    >>> done.train.inputs.flatten().tolist(), done.train.targets
    ([-1.0, 1.0], None)
    """
    if conditional and not data.labels:
        raise UserError("model.conditional is true and the data have no classes; allowed: false, or data with classes.")

    def one(some: Any) -> Any:
        if some is None:
            return None
        if not isinstance(some, TensorBatches) or not isinstance(some.inputs, Tensor):
            raise UserError("the data are no tensors in memory; allowed here: data such as digits.")
        inputs = some.inputs
        if not inputs.is_floating_point():
            kind = str(inputs.dtype).removeprefix("torch.")
            raise UserError(f"the inputs are {kind}; allowed here: fractions, to which noise can be added.")
        if len(data.inputs) == 3:
            if not 0 <= float(inputs.min()) <= float(inputs.max()) <= 1:
                raise UserError("the pictures leave 0 to 1; allowed here: pictures from 0 to 1.")
            inputs = 2 * inputs - 1
        targets = some.targets if conditional else None
        return TensorBatches(inputs, targets, batch_size=some.batch_size, shuffle=some.shuffle)

    return replace(data, **{name: one(getattr(data, name)) for name in ("train", "development", "test")})


def drawn(model: nn.Module, recipe: Recipe, data: Dataset, count: int, seed: int, wishes: DiffusionSampling) -> Tensor:
    """Draw new examples from a network as a user wishes, in the units of the data: (count, *inputs)."""
    levels, home = recipe.part("objective").noise, next(model.parameters()).device
    conditional, pictures = recipe.model.get("conditional", False), len(data.inputs) == 3
    label = wanted(wishes, data, conditional, count)
    guidance = 1.0 if wishes.guidance is None else wishes.guidance
    limit = 1.0 if pictures else None
    found = []
    with torch.inference_mode():
        for begin in range(0, count, CHUNK):
            size = min(CHUNK, count - begin)
            chance = generator(seed, "diffusion", begin)
            start = torch.randn(size, *data.inputs, generator=chance).to(home)
            of = None if label is None else label[begin : begin + size].to(home)
            says = NetworkSays(model, levels, of, guidance)
            if wishes.kind == "langevin":
                if float(levels.alphas[-1]) < 1:
                    raise UserError("langevin came to a run whose data fade; allowed: ddim, ddpm.")
                x = annealed_langevin(says, levels, start, chance)
            else:
                whole = wishes.kind == "ddpm"
                steps, eta = (None, 1.0) if whole else (min(wishes.steps, len(levels)), wishes.eta)
                x = diffusion_sample(says, levels, start, steps=steps, eta=eta, draw=chance, limit=limit)
            found.append(x.cpu())
    values = torch.cat(found).clone()
    return (values.clamp(-1, 1) + 1) / 2 if pictures else values


def wanted(wishes: DiffusionSampling, data: Dataset, conditional: bool, count: int) -> Tensor | None:
    """Say of which class each example is to be (count,): the one that is wished for, or all by turns; None for none."""
    if not conditional:
        for name in ("label", "guidance"):
            if getattr(wishes, name) is not None:
                raise told_no_class(name)
        return None
    return classes_wanted(wishes.label, data.labels, count)
