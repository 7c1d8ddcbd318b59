"""The task of raising a language model: it learns to repeat what a poor listener heard."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from locution.engine import Batch, Turn
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.reporting.bars import telling
from locution.reporting.results import RunResults, Utterance
from locution.speech.babble import Texts
from locution.speech.decoder import load_decoder, repeat_objective, save_decoder
from locution.speech.decoder_parts import DecoderModel, RepetitionData
from locution.speech.repeated import HeldOut, held_out, repeat
from locution.speech.repetition import repetition
from locution.speech.tokenizer import LETTERS, train_tokenizer
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

MODEL = "model"
LIMITS = (
    "It repeats what it is given, letter by letter, and knows nothing: it is no model to talk to.",
    "It was raised on made sentences of lower-case English letters, apostrophe and space, of at most 96 letters.",
)


class Repeating:
    """Repeating teaches a language model to write what stands before it, so that it listens where others would guess.

    Each text is damaged as a poor listener would hear it, then written again by the model (noisy repetition). `save`
    writes a folder that the recipe `speech` takes as `model.language_model=RUN/model`.

    >>> from locution.recipe import Recipe
    >>> parts = {"data": {"name": "repetitions", "train": 9}, "model": {"name": "letter_model"}}
    >>> recipe = Recipe(task="repeating", optimizer={"name": "muon"}, steps=1, **parts)
    >>> Repeating().prepare(recipe, quiet=True).model.num_parameters()
    2225664

    Reference: M. Lewis et al., 2020, "BART: denoising sequence-to-sequence pre-training for natural language
    generation, translation, and comprehension", section 2.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Write the sentences and build the model."""
        data: RepetitionData = recipe.part("data")
        part: DecoderModel = recipe.part("model")
        with telling("writing sentences", quiet) as told:
            texts = data.texts(told)
        turn = Turn(repeat_objective, recipe.part("optimizer").build)
        watchers = [GradientNorms(), Overfitting(repeat_objective, development(data, texts))]
        return Job(part.build(recipe.seed), [turn], data.repetitions(texts), watchers, texts, unit="texts")

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Let the model, as it is kept, repeat texts that training never saw, and count what went wrong."""
        data: RepetitionData = recipe.part("data")
        kept = as_kept(model)
        results = RunResults(recipe.name, recipe.describe, limits=list(LIMITS))
        tokenizer = train_tokenizer()
        for one in held_out(job.data, data.test, data.seed, "test"):
            with telling(f"repeating {one.name}", quiet) as told:
                found = repeat(kept, tokenizer, one, data.noise, told)
            results.metrics += found.metrics()
            results.utterances += [
                Utterance(f"{one.name} {row}", said, written)
                for row, (said, written) in enumerate(zip(one.texts[:25], found.written, strict=False))
            ]
        sentences = sum(data.counts().values())
        results.data = {"to learn from": f"{sentences:,} sentences, and made-up words without end"}
        return results

    def show(self, results: RunResults) -> None:
        """Print the figures and ten texts as they were repeated."""
        from locution.reporting.tables import print_heard

        print_heard(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the model, in bf16, with its tokenizer, as a folder that `model.language_model` takes."""
        save_decoder(folder / MODEL, model, train_tokenizer(), torch.bfloat16)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take the model back."""
        model: nn.Module = load_decoder(folder / MODEL)[0]
        return model

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Repeat texts, heard clearly: of lower-case letters, apostrophe and space."""
        data: RepetitionData = recipe.part("data")
        model, tokenizer = load_decoder(folder / MODEL)
        for text in inputs:
            odd = next((letter for letter in text if letter not in LETTERS), None)
            if odd is not None:
                raise UserError(f"{odd!r} in {text!r}; allowed: a to z in lower case, apostrophe and space.")
        return list(repeat(model, tokenizer, HeldOut("input", tuple(inputs)), data.noise).written)


def development(data: RepetitionData, texts: Texts) -> list[Batch]:
    """Draw a few texts of each kind that training never saw, to watch the loss on."""
    sets = [one for one in held_out(texts, 32, data.seed, "dev") if one.name != "silence"]
    return [repetition(one.texts, generator(0, f"development {one.name}"), data.noise, one.level) for one in sets]


def as_kept(model: nn.Module) -> Any:
    """Round a copy of the weights to bf16, as they are kept: what is judged is what is kept."""
    copy: Any = deepcopy(model).cpu().to(torch.bfloat16).float().eval()
    return copy.requires_grad_(False)
