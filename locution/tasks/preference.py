"""The task of learning from preferences: pairs of answers teach a model which is better, or to answer better itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn

from locution.data.byte_pairs import END
from locution.data.dataset import Dataset
from locution.data.preferences import Pairs
from locution.engine import Turn
from locution.engine.weights import read_weights
from locution.errors import UserError
from locution.gradients.norms import GradientNorms
from locution.losses.preferences import DPO, RewardLoss
from locution.models.language_model import LanguageTransformer
from locution.models.reward_model import RewardTransformer
from locution.reporting.results import RunResults
from locution.tasks.abilities import Generation
from locution.tasks.answering import answers
from locution.tasks.going_on import streamed, went_on
from locution.tasks.keeping import WeightsKept
from locution.tasks.preference_judged import by_kinds, endings, figures, side_by_side, spread, surprises
from locution.tasks.reference import Reference, judged
from locution.tasks.task import Job
from locution.tasks.tokens_kept import check_same, keep_tokenizer, read_tokenizer
from locution.tasks.transformers_folder import write_transformers

if TYPE_CHECKING:
    from locution.recipe import Recipe

REFERENCE = "reference.safetensors"


class PreferenceTask(WeightsKept):
    """Learning from preferences (RLHF) goes by which of two answers a person likes better, where no answer is right.

    Two ways: with the objective `reward` a reward model learns to tell, for any text, how good it is; with `dpo` a
    language model learns to answer better without one. Both are judged by pairs whose questions are new: by how much
    the preferred answer is ahead of the other, and how often; a language model by how it answers those questions before
    and after, too.

    >>> from locution.recipe import resolve
    >>> job = PreferenceTask().prepare(resolve("texts/reward", ["data.vocabulary=300"]), quiet=True)
    >>> job.unit
    'pairs'

    Reference: P. Christiano et al., 2017, "Deep reinforcement learning from human preferences"; N. Stiennon et al.,
    2020, "Learning to summarize from human feedback", section 3.
    """

    def __init__(self) -> None:
        self.reference: Reference | None = None

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Make the pairs and build the model that learns from them."""
        objective, data = recipe.part("objective"), recipe.part("data").load(recipe.seed)
        if not isinstance(data.train, Pairs):
            raise UserError(f"data '{recipe.data.get('name')}' holds no pairs; allowed: data such as preferences.")
        model = recipe.part("model", **data.sizes).build(data.inputs, data.outputs)
        check(recipe, objective, model)
        self.reference = Reference(data, objective, drawn=isinstance(objective, DPO))
        turn = Turn(objective, recipe.part("optimizer").build)
        return Job(model, [turn], data.train, [GradientNorms(), self.reference], data, unit="pairs")

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on pairs whose questions it never saw."""
        data: Dataset = job.data
        assert self.reference is not None
        assert data.test is not None
        objective, before = self.reference.objective, self.reference.kept
        now = judged(model, objective, data.test.inputs)
        rewards = objective.rewards(now, before["test"])
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()}, notes=list(data.notes))
        results.metrics = figures(objective, now, before["test"])
        results.tables = [by_kinds(rewards, data)]
        results.graphs = [spread(objective, now, before["test"], rewards, data)]
        if "answers" in before:
            after = answers(model, data)
            results.metrics += [*endings(before["answers"], after), *surprises(now, before["test"], data)]
            results.tables.append(side_by_side(before["answers"], after, data))
        return results

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the weights, the tokenizer, and what the model said before it learnt."""
        super().save(recipe, model, folder)
        keep_tokenizer(recipe, folder)
        if self.reference is not None and self.reference.kept:
            save_file(self.reference.kept, folder / REFERENCE)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take the weights back, and what is measured from."""
        check_same(job.data, folder)
        for one in job.observers:
            if isinstance(one, Reference):
                one.kept = read_weights(folder / REFERENCE)
                self.reference = one
        return super().load(recipe, job, folder)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say of each text how good it is, the higher the better; or go on with it, the likeliest token each time."""
        if isinstance(recipe.part("objective"), DPO):
            return self.generate(recipe, folder, inputs, Generation(temperature=0.0, length=64))
        model, tokenizer = self.opened(recipe, folder)
        found = []
        for text in inputs:
            tokens = torch.tensor([[END, *tokenizer.encode(text)]])
            with torch.no_grad():
                found.append(f"{model(tokens)[0, -1].item():.3f}")
        return found

    def generate(self, recipe: Recipe, folder: Path, prompts: Sequence[str], wishes: Generation) -> list[str]:
        """Go on with each text; what comes back begins with the text itself."""
        model, tokenizer = self.writer(recipe, folder)
        return [text + went_on(model, tokenizer, text, wishes, at) for at, text in enumerate(prompts)]

    def stream(self, recipe: Recipe, folder: Path, prompts: Sequence[str], wishes: Generation) -> Iterator[str]:
        """Hand out the same piece by piece, each as soon as it is drawn."""
        return streamed(*self.writer(recipe, folder), prompts, wishes)

    def writer(self, recipe: Recipe, folder: Path) -> tuple[Any, Any]:
        """Open a run whose model writes; refuse one that judges."""
        if not isinstance(recipe.part("objective"), DPO):
            raise UserError(f"{folder} judges texts and writes none; what it can: evaluate, predict.")
        return self.opened(recipe, folder)

    def export(self, recipe: Recipe, folder: Path, place: Path) -> list[Path]:
        """Write a language model and its tokenizer as a folder that transformers loads."""
        if not isinstance(recipe.part("objective"), DPO):
            raise UserError(f"{folder} holds a reward model; allowed for a folder of transformers: a language model.")
        return write_transformers(*self.opened(recipe, folder), place)

    def opened(self, recipe: Recipe, folder: Path) -> tuple[Any, Any]:
        """Open a run's model and tokenizer from its folder alone."""
        tokenizer, length = read_tokenizer(folder)
        model = recipe.part("model", vocabulary=len(tokenizer)).build((length,), len(tokenizer))
        return super().load(recipe, Job(model, [], None), folder), tokenizer


def check(recipe: Recipe, objective: Any, model: Any) -> None:
    """Refuse an objective and a model that do not go together."""
    goes = {DPO: LanguageTransformer, RewardLoss: RewardTransformer}
    needs = {DPO: "language_model", RewardLoss: "reward_model"}
    wanted = goes.get(type(objective))
    if wanted is None:
        raise UserError(f"objective '{recipe.objective.get('name')}' knows no pairs; allowed: dpo, reward.")
    if not isinstance(model, wanted):
        came, name = recipe.model.get("name"), needs[type(objective)]
        raise UserError(f"model '{came}' came with {recipe.objective.get('name')}; allowed: {name}.")
    if isinstance(model, LanguageTransformer) and not model.causal:
        raise UserError("model.causal is false: it would see the answer before it gives it; allowed: true.")
