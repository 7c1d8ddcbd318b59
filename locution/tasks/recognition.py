"""The task of speech recognition: train a projector between a frozen encoder and a frozen language model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from locution.engine import Turn
from locution.engine.device import pick_device
from locution.reporting.bars import telling
from locution.reporting.results import RunResults
from locution.speech.asked import Wishes, answer
from locution.speech.augmentation import refuse_with_cache
from locution.speech.cache import CachedFrames
from locution.speech.checkpoint import load_recogniser, save_projector
from locution.speech.ctc_head import with_ctc_head
from locution.speech.data_parts import SpeechData, say_aloud
from locution.speech.encode import frames_of_files
from locution.speech.manifest import Clip
from locution.speech.normalise import normalise
from locution.speech.parts import RecogniserModel
from locution.speech.recogniser import Recogniser, transcript_objective
from locution.speech.streamed import StreamedUtterances, refuse_epochs
from locution.speech.transcribe import transcribe
from locution.speech.utterances import Utterances
from locution.speech.waves import Waves
from locution.tasks.recognition_judged import judged
from locution.tasks.recognition_memory import forecaster, note_memory
from locution.tasks.task import Job
from locution.tasks.watching import watchers

if TYPE_CHECKING:
    from locution.recipe import Recipe

MODEL = "model"


class Recognition:
    """Automatic speech recognition (ASR) writes down what is said; here a language model writes what an encoder hears.

    `prepare` finds or makes the speech, computes the encoder's frames once and keeps them, and builds the projector
    between the two frozen halves, the only part that learns.

    >>> from locution.recipe import Recipe
    >>> recipe = Recipe(task="recognition", data={"name": "speech"}, optimizer={"name": "adamw"}, steps=1)
    >>> Recognition.names(recipe)
    ('embedded', 'embedded')

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity", section 3.
    """

    @staticmethod
    def names(recipe: Recipe) -> tuple[str, str]:
        """Name the encoder and the language model of a recipe."""
        model = recipe.model
        return str(model.get("encoder", "embedded")), str(model.get("language_model", "embedded"))

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Make the speech, hear it once, build the projector."""
        data: SpeechData = recipe.part("data")
        part: RecogniserModel = recipe.part("model")
        if data.cache and not data.streams:
            refuse_with_cache(recipe.built_methods())
        with telling("checking the data" if data.path else "synthesising speech", quiet) as told:
            clips = data.clips(told=told, workers=min(4, os.cpu_count() or 2), say=aloud(quiet))
        recogniser = part.build()
        recogniser.to(pick_device(recipe.device))  # what is heard below is heard there
        train = self.training(recipe, recogniser, data, clips["train"], quiet)
        dev = self.utterances(
            recipe, recogniser, clips["dev"], quiet, "development speech", batch_size=100, shuffle=False
        )
        turn = Turn(transcript_objective, recipe.part("optimizer").build)
        measured = clips["train"] or clips["dev"]
        seconds = sum(clip.seconds for clip in measured) / len(measured)
        watching = [*watchers(recogniser, dev, recipe.seed, **part.listening), forecaster(recipe, train, quiet=quiet)]
        return Job(recogniser, [turn], train, watching, clips, unit="s of audio", per_example=seconds or 1.0)

    def frames(
        self, recipe: Recipe, recogniser: Recogniser, clips: Sequence[Clip], quiet: bool, what: str
    ) -> CachedFrames:
        """Take the encoder's frames from the cache, or compute them once and keep them."""
        paths, seconds = [clip.path for clip in clips], [clip.seconds or 5.0 for clip in clips]
        with telling(f"hearing the {what}", quiet) as told:
            return frames_of_files(recogniser.encoder, paths, seconds, precision=recipe.precision, progress=told)

    def training(
        self, recipe: Recipe, recogniser: Recogniser, data: SpeechData, clips: Sequence[Clip], quiet: bool
    ) -> Utterances | StreamedUtterances:
        """Put what is learnt from into batches: cached frames, samples read anew in each epoch, or a stream."""
        if data.streams:
            refuse_epochs(data.path, recipe.epochs)
            return data.stream(recogniser, aloud(quiet))
        size: dict[str, Any] = {"batch_size": data.batch_size, "token_budget": data.token_budget}
        if not data.cache:
            return fresh(recogniser, clips, **size)
        return self.utterances(recipe, recogniser, clips, quiet, "training speech", **size)

    def utterances(
        self,
        recipe: Recipe,
        recogniser: Recogniser,
        clips: Sequence[Clip],
        quiet: bool,
        what: str,
        **settings: Any,
    ) -> Utterances:
        """Put frames and transcripts into batches."""
        frames = self.frames(recipe, recogniser, clips, quiet, what)
        return Utterances.of(recogniser, frames, [normalise(clip.text) for clip in clips], **settings)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Write down the test clips, of sentences and voices that training never saw, and count the wrong words."""
        assert isinstance(model, Recogniser)
        frames = self.frames(recipe, model, job.data["test"], quiet, "test speech")
        return note_memory(judged(recipe, job, model, frames), job)

    def show(self, results: RunResults) -> None:
        """Print the figures and ten transcriptions under their references."""
        from locution.reporting.tables import print_heard

        print_heard(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the projector, with the hashes of all that it belongs to."""
        assert isinstance(model, Recogniser)
        encoder, language_model = self.names(recipe)
        save_projector(model, folder / MODEL, encoder=encoder, language_model=language_model)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take the projector back, and refuse other halves than those it was trained between."""
        return with_ctc_head(load_recogniser(folder / MODEL), folder / MODEL)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Write down sound files."""
        recogniser = with_ctc_head(load_recogniser(folder / MODEL), folder / MODEL)
        return [str(one) for one in transcribe(recogniser, list(inputs))]

    def transcribe(self, recipe: Recipe, folder: Path, files: Sequence[str], wishes: Wishes) -> int:
        """Print or write what is said in sound files; one that cannot be heard is named, and makes the exit code 1."""
        return answer(lambda: with_ctc_head(load_recogniser(folder / MODEL), folder / MODEL), files, wishes)


def aloud(quiet: bool) -> Callable[[str], None]:
    """Say what was done with the data, or nothing."""
    return (lambda line: None) if quiet else say_aloud


def fresh(recogniser: Recogniser, clips: Sequence[Clip], **settings: Any) -> Utterances:
    """Put samples and transcripts into batches: nothing is cached, every clip is read anew in each epoch."""
    waves = Waves([clip.path for clip in clips], [clip.seconds for clip in clips])
    texts = [normalise(clip.text) for clip in clips]
    return Utterances.of(recogniser, waves, texts, sound="waves", counts=waves.counts, **settings)
