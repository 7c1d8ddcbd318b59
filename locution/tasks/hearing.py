"""The task of raising an encoder: it learns to spell what it hears."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from locution.engine import Observer, Turn
from locution.engine.observer import Record
from locution.errors import UserError
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.reporting import results as shown
from locution.reporting.bars import telling
from locution.reporting.results import RunResults, Utterance
from locution.speech.asked import Wishes, deliver
from locution.speech.ctc import ctc_objective
from locution.speech.encoder import SpeechEncoder
from locution.speech.encoder_parts import HELD_OUT, EncoderModel, SpokenData
from locution.speech.logmel import scale
from locution.speech.spelling import clear, figure, hardly, hours, spell
from locution.speech.spoken import SpokenBatches
from locution.speech.store import Store
from locution.speech.transcribe import spell_audio, transcripts
from locution.speech.wer import word_error_rate
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

MODEL = "model"
LIMITS = (
    "It was raised on voices synthesised by espeak-ng alone: it understands no human speech, and English only.",
    "It spells what it hears letter by letter; words that its sentences never held come out misspelt.",
)


class Hearing:
    """Hearing is learnt by spelling: an encoder writes the letters of what is said, nobody telling it when each is.

    The loss is connectionist temporal classification. `save` writes a folder that the recipe `speech` takes as
    `model.encoder=RUN/model`; the encoder alone transcribes too, by greedy decoding.

    >>> from locution.recipe import Recipe
    >>> data = {"name": "spoken", "train": 10}
    >>> recipe = Recipe(task="hearing", data=data, model={"name": "encoder"}, optimizer={"name": "muon"}, steps=1)
    >>> recipe.part("data").settings()["train"].utterances
    10

    Reference: A. Graves et al., 2006, "Connectionist temporal classification: labelling unsegmented sequence data
    with recurrent neural networks", section 4.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Make the speech, or find it in the cache, and build the encoder."""
        data: SpokenData = recipe.part("data")
        part: EncoderModel = recipe.part("model")
        with telling("synthesising speech", quiet) as told:
            stores = data.stores(told, workers=min(4, os.cpu_count() or 2))
        train = SpokenBatches(stores["train"], data.seconds, data.augment, data.noisy)
        dev = SpokenBatches(stores["dev_commands"], data.seconds, augment=False)
        watchers: list[Observer] = [
            GradientNorms(),
            Overfitting(ctc_objective, list(dev.epoch(0, recipe.seed))),
            Spelling({kind: stores[f"dev_{kind}"] for kind in HELD_OUT}, recipe.precision),
        ]
        turn = Turn(ctc_objective, recipe.part("optimizer").build)
        seconds = hours(stores["train"]) * 3600 / len(stores["train"])
        model = part.build(recipe.seed)
        return Job(model, [turn], train, watchers, stores, unit="s of audio", per_example=seconds)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Let the encoder, as it is kept, spell held-out sentences of held-out voices, and count the wrong words."""
        encoder = as_kept(model)
        results = RunResults(recipe.name, recipe.describe, limits=list(LIMITS))
        for kind in HELD_OUT:
            store: Store = job.data[f"test_{kind}"]
            with telling(f"spelling {kind}", quiet) as told:
                written = spell(encoder, clear(store), told=told)
            results.metrics.append(figure(kind, word_error_rate(store.texts, written), len(store)))
            results.utterances += [
                Utterance(f"{kind} {row}, {store.speakers[row]}", store.texts[row], text, seconds=frames / 100)
                for row, (text, frames) in enumerate(zip(written, store.frames.tolist(), strict=True))
            ]
        results.metrics += hardly(encoder, job.data["test_commands"])
        first = scale(job.data["test_commands"].mel(0)).T.numpy()  # (M, T)
        results.hearing = [shown.Hearing(results.utterances[0], first, results.utterances[0].seconds or 0.0)]
        results.data = {name: f"{len(store):,} clips, {hours(store):.1f} hours" for name, store in job.data.items()}
        return results

    def show(self, results: RunResults) -> None:
        """Print the figures and ten clips as they were spelt."""
        from locution.reporting.tables import print_heard

        print_heard(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the encoder, in bf16, as a folder that `model.encoder` takes."""
        trained(model).save(folder / MODEL)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take the encoder back."""
        return SpeechEncoder.load(folder / MODEL)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Spell sound files."""
        return [str(one) for one in transcripts(list(inputs), self.writer(folder))]

    def transcribe(self, recipe: Recipe, folder: Path, files: Sequence[str], wishes: Wishes) -> int:
        """Print or write what the encoder alone hears in sound files; returns the exit code."""
        wishes.check(files)
        if wishes.stream or wishes.microphone or wishes.hotwords:
            raise UserError("an encoder alone neither streams nor takes hotwords; allowed: --format, --output.")
        return deliver(transcripts(list(files), self.writer(folder)), wishes)

    def writer(self, folder: Path) -> Any:
        """Load the encoder of a run as a function from recordings to texts."""
        return partial(spell_audio, SpeechEncoder.load(folder / MODEL))


@dataclass
class Spelling(Observer):
    """Watches how many words the encoder still misspells, as "development_wer" and one figure for each kind."""

    stores: Mapping[str, Store]
    precision: str = "fp32"
    name: ClassVar[str] = "spelling"

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """Spell the development sets and count the wrong words."""
        found = {}
        for kind, store in self.stores.items():
            rate = word_error_rate(store.texts, spell(trained(model), clear(store), self.precision), samples=1)
            found[f"development_wer/{kind}"] = rate.value
        return {"development_wer": sum(found.values()) / len(found), **found}


def trained(model: nn.Module) -> SpeechEncoder:
    """Say that a model is an encoder, as everything that is kept must be."""
    if not isinstance(model, SpeechEncoder):
        raise UserError(f"this run trained a {type(model).__name__}; allowed: an encoder.")
    return model


def as_kept(model: nn.Module) -> SpeechEncoder:
    """Round a copy of the weights to bf16, as they are kept: what is judged is what is kept."""
    copy = deepcopy(trained(model)).cpu().eval()
    with torch.no_grad():
        for weight in copy.state_dict().values():
            weight.copy_(weight.to(torch.bfloat16))
    return copy
