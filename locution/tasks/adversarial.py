"""The task of generative adversarial networks: two networks that learn against each other, in two turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset, first_batch
from locution.data.noise import WithNoise
from locution.engine import Observer, Turn
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.gradients.norms import GradientNorms
from locution.losses.adversarial import Adversarial
from locution.models.gan import GAN
from locution.models.shapes import explained
from locution.reporting.results import RunResults
from locution.tasks.abilities import Samples
from locution.tasks.adversarial_judged import JUDGED, ModesWatch, judged
from locution.tasks.generated_pictures import shown
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.reconstruction import without_answers
from locution.tasks.task import Job
from locution.tasks.wanted import classes_wanted, told_no_class

if TYPE_CHECKING:
    from locution.recipe import Recipe

CHUNK = 1000  # examples made at once
LEAST = 6  # held-out pictures: each of them and the five that are nearest to it


@dataclass(frozen=True)
class GANSampling:
    """How new examples are made by a GAN: `scale` below 1 starts from noise nearer to the middle, for examples that are
    more usual and less varied. `label` is the class that is wanted, by its name; all by turns if none is.

    >>> GANSampling(scale=0)
    Traceback (most recent call last):
    locution.errors.UserError: scale is 0; allowed: a number above 0, usually 0.5 to 1.
    """

    scale: float = 1.0
    label: int | str | None = None

    def __post_init__(self) -> None:
        require(self.scale > 0, "scale", self.scale, "a number above 0, usually 0.5 to 1")


class AdversarialTraining(WeightsKept):
    """Adversarial training of a generator lets it learn from a critic that learns to tell its examples from real ones.

    Each step is a turn of the critic, and every few steps, as many as the objective's `critic_steps`, one of the
    generator; each moves its own weights only. Answers of the data are left out, unless both are told the class
    (`model.conditional`). Where the density of the data is known
    it is judged by which of its modes are made, and a collapse is warned of; pictures are judged by a classifier that
    learnt from real ones, and set beside those of a Gaussian fitted to the pixels.

    >>> from locution.recipe import resolve
    >>> job = AdversarialTraining().prepare(resolve("ring"), quiet=True)
    >>> [(turn.name, turn.every) for turn in job.turns]
    [('critic', 1), ('generator', 2)]

    Reference: I. Goodfellow et al., 2014, "Generative adversarial nets", algorithm 1.
    """

    sampling: type[Any] = GANSampling

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data, leave out the answers, and build both networks."""
        objective = recipe.part("objective")
        if not isinstance(objective, Adversarial):
            allowed = "gan_loss, wasserstein_gan, hinge_gan"
            raise UserError(f"objective '{recipe.objective.get('name')}' has no two sides; allowed here: {allowed}.")
        data: Dataset = recipe.part("data").load(recipe.seed)
        bare = with_classes(data) if recipe.model.get("conditional", False) else without_answers(data, False)
        check_held(data)
        model = recipe.part("model", **data.sizes).build(bare.inputs, len(data.labels))
        if not isinstance(model, GAN):
            raise UserError(f"model '{recipe.model.get('name')}' has no two sides; allowed here: gan.")
        with explained(model.eval()), torch.no_grad():
            objective.critic(model, first_batch(bare).rows(0, 1))
        build = recipe.part("optimizer").build
        turns = [
            Turn(objective.critic, build, of_critic, "critic"),
            Turn(objective.generator, build, of_generator, "generator", objective.critic_steps),
        ]
        observers: list[Observer] = [GradientNorms(), *ModesWatch.of(recipe.part("data"))]
        return Job(model, turns, WithNoise(bare.train, model.latents), observers, data)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Make examples and judge them."""
        assert isinstance(model, GAN)
        results = RunResults(recipe.name, recipe.describe, data={"data": job.data.describe()})
        names = job.data.labels if model.classes else ()

        def make(count: int, seed: int) -> Tensor:
            return made(model, count, seed, label=classes_wanted(None, names, count) if names else None)

        asked = classes_wanted(None, names, JUDGED) if names else None
        judged(results, model, recipe.part("data"), job.data, make, asked, mend(recipe))
        return results

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: GANSampling) -> Samples:
        """Make so many new examples."""
        job = self.prepare(recipe, quiet=True)
        model = self.load(recipe, job, folder)
        assert isinstance(model, GAN)
        if not model.classes and wishes.label is not None:
            raise told_no_class("label")
        label = classes_wanted(wishes.label, job.data.labels, count) if model.classes else None
        values = made(model, count, seed, wishes.scale, label)
        return Samples(values, shown(values, "Samples"))

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say of each input how real the critic takes it to be: its score, the higher the more."""
        job = self.prepare(recipe, quiet=True)
        rows = torch.stack([read_input(text, job.data) for text in inputs])
        model = self.load(recipe, job, folder)
        assert isinstance(model, GAN)
        with torch.no_grad():
            scores = model.score(rows.to(next(model.parameters()).device)).tolist()
        return [f"critic's score {score:.3f}" for score in scores]


def check_held(data: Dataset) -> None:
    """Refuse fewer pictures than a neighbourhood has, before anything is trained: none could be judged by them."""
    held: Any = data.test if data.test is not None else data.train
    if len(data.inputs) == 3 and len(held) < LEAST:
        allowed = f"{LEAST} or more: more pictures, or a larger data.test"
        raise UserError(f"{len(held)} pictures are there to judge by; allowed: {allowed}.")


def mend(recipe: Recipe) -> str:
    """Say what may help against a collapse: the loss that is known to, or else patience.

    >>> from locution.recipe import resolve
    >>> mend(resolve("ring/plain")), mend(resolve("ring"))
    ('Try objective.name=wasserstein_gan.', 'Try more steps.')
    """
    wasserstein = recipe.objective.get("name") == "wasserstein_gan"
    return "Try more steps." if wasserstein else "Try objective.name=wasserstein_gan."


def with_classes(data: Dataset) -> Dataset:
    """Keep the classes of examples, for networks that are told them.

    >>> from locution.engine import TensorBatches
    >>> with_classes(Dataset(TensorBatches(torch.zeros(2, 1))))
    Traceback (most recent call last):
    locution.errors.UserError: model.conditional is true and the data have no classes; allowed: false, or data with ...
    """
    if not data.labels:
        allowed = "false, or data with classes such as digits"
        raise UserError(f"model.conditional is true and the data have no classes; allowed: {allowed}.")
    without_answers(data, False)  # refuses what is no examples in memory
    return data


def of_critic(model: nn.Module) -> Iterable[nn.Parameter]:
    """Pick the critic's parameters."""
    assert isinstance(model, GAN)
    return model.critic.parameters()


def of_generator(model: nn.Module) -> Iterable[nn.Parameter]:
    """Pick the generator's parameters."""
    assert isinstance(model, GAN)
    return model.generator.parameters()


def made(model: nn.Module, count: int, seed: int, scale: float = 1.0, label: Tensor | None = None) -> Tensor:
    """Make new examples, asleep and on the processor: (count, *shape); the same seed makes the same, few or many.

    label: the class of each (count,), where the networks are told one.

    >>> from locution.models.gan import GANModel
    >>> gan = GANModel().build((2,), 0)
    >>> torch.allclose(made(gan, 20, seed=0)[:2], made(gan, 2, seed=0))
    True
    """
    assert isinstance(model, GAN)
    found = []
    with torch.inference_mode():
        for begin in range(0, count, CHUNK):
            # always as much noise: few numbers are drawn in another way than many
            noise = model.noise(CHUNK, generator(seed, "samples", begin))[: count - begin]
            of = None if label is None else label[begin : begin + CHUNK].to(noise.device)
            samples = model.eval().make(scale * noise, of)
            found.append(samples.float().cpu())
    return torch.cat(found).clone()
