"""The task of training a CTC head: the frames of an encoder that cannot spell become letters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from locution.engine import Turn
from locution.engine.device import pick_device
from locution.engine.run_folder import RunFolder
from locution.errors import UserError
from locution.evaluation.overfitting import Overfitting
from locution.evaluation.proportions import proportion
from locution.gradients.norms import GradientNorms
from locution.reporting.bars import telling
from locution.reporting.results import Metric, RunResults, Utterance
from locution.speech.asked import Wishes, deliver
from locution.speech.ctc_head import (
    MODEL,
    CTCHead,
    attach,
    ctc_head_objective,
    load_ctc_head,
    read_head_card,
    save_ctc_head,
    spell_frames,
)
from locution.speech.ctc_head_parts import HeadModel, Spelt, clearnesses, dividing, noise_frames, spelling
from locution.speech.data_parts import SpeechData, say_aloud
from locution.speech.encode import frames_of_files
from locution.speech.frozen import load_encoder
from locution.speech.hear import cutting_for, spell_audio
from locution.speech.manifest import Clip
from locution.speech.normalise import normalise
from locution.speech.transcribe import transcripts
from locution.speech.wer import word_error_rate
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

NOISES = 60  # clips of noise to find the threshold by, to judge by, and at most to learn from
SHARE = 0.05  # noise among what is learnt from: with more the head is slow to say anything
LIMITS = ("It spells English letters, for word times and silence: the language model writes better.",)


class HeadTraining:
    """Training a CTC head teaches an encoder that cannot spell to: word times, and whether anybody speaks, need it.

    The encoder hears each clip once and stays frozen; the head learns from its cached frames, the same that a projector
    learns from. `save` writes `model/ctc_head.safetensors`, which `transcribe RUN --ctc-head` takes; with
    `model.beside=RUN` it is written beside that run's projector too.

    >>> from locution.recipe import resolve
    >>> resolve("speech/ctc_head", ["model.encoder=my/whisper"]).part("model").name
    'my/whisper'

    Reference: A. Graves et al., 2006, "Connectionist temporal classification", section 4.
    """

    def __init__(self) -> None:
        self.spoken: list[Tensor] = []
        self.unspoken: list[Tensor] = []
        self.encoder: Any = None

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Hear the speech once, and some noise, and build the head."""
        data: SpeechData = recipe.part("data")
        if data.streams:
            raise UserError(f"{data.path} is a stream; allowed for a CTC head: data that stay, an hour is enough.")
        part: HeadModel = recipe.part("model")
        self.encoder = part.load().to(pick_device(recipe.device))
        with telling("checking the data" if data.path else "synthesising speech", quiet) as told:
            found = data.clips(told=told, workers=min(4, os.cpu_count() or 2), say=partial(say, quiet))
        clips = {split: spelt(split, some, quiet) for split, some in found.items()}
        heard = {split: self.frames(recipe, found[split], clips[split], quiet, split) for split in clips}
        letters = {split: [spelling(normalise(clip.text)) or [] for clip in some] for split, some in clips.items()}
        noise = noise_frames(self.encoder, min(NOISES, max(1, round(SHARE * len(clips["train"])))), 0)
        size: dict[str, Any] = {"batch_size": data.batch_size, "token_budget": data.token_budget}
        train = Spelt([*heard["train"], *noise], [*letters["train"], *([] for _ in noise)], **size)
        dev = Spelt(heard["dev"], letters["dev"], batch_size=100, shuffle=False)
        self.spoken = [frames for frames, text in zip(heard["dev"], letters["dev"], strict=True) if text]
        self.unspoken = noise_frames(self.encoder, NOISES, 2)
        turn = Turn(ctc_head_objective, recipe.part("optimizer").build)
        watching = [GradientNorms(), Overfitting(ctc_head_objective, list(dev.epoch(0, recipe.seed)))]
        seconds = sum(clip.seconds for clip in clips["train"]) / max(1, len(clips["train"]))
        job = Job(part.build(self.encoder), [turn], train, watching, unit="s of audio", per_example=seconds or 1.0)
        job.data = {"clips": clips, "frames": heard["test"]}
        return job

    def frames(
        self, recipe: Recipe, found: Sequence[Clip], kept: Sequence[Clip], quiet: bool, split: str
    ) -> list[Tensor]:
        """Take the frames of the clips that can be spelt from those of all, which a projector's run may have kept."""
        paths, seconds = [clip.path for clip in found], [clip.seconds or 5.0 for clip in found]
        with telling(f"hearing the {split} speech", quiet) as told:
            frames = frames_of_files(self.encoder, paths, seconds, precision=recipe.precision, progress=told)
        wanted = {id(clip) for clip in kept}
        return [frames[row] for row, clip in enumerate(found) if id(clip) in wanted]

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Let the head spell clips that it never learnt from, and ask it whether anybody speaks there and in noise."""
        head, clips = self.divided(model), job.data["clips"]["test"]
        said, frames = [normalise(clip.text) for clip in clips], job.data["frames"]
        written = spell_frames(head, frames)
        rate = word_error_rate(said, written, speakers=[clip.speaker for clip in clips])
        results = RunResults(recipe.name, recipe.describe, limits=list(LIMITS))
        note = f"{len(clips):,} held-out utterances"
        results.metrics = [
            Metric("wer", rate.value, rate.low, rate.high, "word error rate (WER)", "wer", "lower", note)
        ]
        speech = [clip for clip, text in zip(frames, said, strict=True) if text]
        missed = sum(one < head.speaks for one in clearnesses(head, speech))
        heard = sum(one >= head.speaks for one in clearnesses(head, noise_frames(self.encoder, NOISES, 1)))
        for name, count, of, label in (
            ("speech_unheard", missed, len(speech), "speech taken for silence"),
            ("heard_in_noise", heard, NOISES, "noise taken for speech"),
        ):
            share = proportion(count, of)
            about = f"{count} of {of}, at {head.speaks:g}"
            results.metrics.append(Metric(name, share["value"], share["low"], share["high"], label, "", "lower", about))
        results.utterances = [
            Utterance(clip.path.name, one, other, None, clip.seconds, clip.group, clip.speaker)
            for clip, one, other in zip(clips, said, written, strict=True)
        ]
        results.data = {split: f"{len(some):,} utterances" for split, some in job.data["clips"].items()}
        return results

    def divided(self, model: nn.Module) -> CTCHead:
        """Tell a trained head how clear a letter must be for somebody to speak: measured on development clips."""
        if not isinstance(model, CTCHead):
            raise UserError(f"this run trained a {type(model).__name__}; allowed: a CTC head.")
        model.eval().speaks = dividing(clearnesses(model, self.spoken), clearnesses(model, self.unspoken))
        return model

    def show(self, results: RunResults) -> None:
        """Print the figures and ten clips as they were spelt."""
        from locution.reporting.tables import print_heard

        print_heard(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the head, and put it beside the projector that was named."""
        part: HeadModel = recipe.part("model")
        places = [folder / MODEL, *([RunFolder.open(part.beside).path / MODEL] if part.beside else [])]
        for place in places:
            save_ctc_head(self.divided(model), self.encoder, place, part.name)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take the head back."""
        return load_ctc_head(folder / MODEL, self.encoder)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Spell sound files."""
        encoder = spelling_encoder(folder / MODEL)
        return [str(one) for one in transcripts(list(inputs), partial(spell_audio, encoder), cutting_for(encoder))]

    def transcribe(self, recipe: Recipe, folder: Path, files: Sequence[str], wishes: Wishes) -> int:
        """Print or write what the encoder alone spells with this head; returns the exit code."""
        wishes.check(files)
        if wishes.stream or wishes.microphone or wishes.hotwords or wishes.ctc_head:
            raise UserError("a CTC head neither streams nor takes hotwords; allowed: --format, --output.")
        encoder = spelling_encoder(folder / MODEL)
        return deliver(transcripts(list(files), partial(spell_audio, encoder), cutting_for(encoder)), wishes)


def spelling_encoder(folder: Path) -> nn.Module:
    """Load the encoder of a head, and let it spell with it."""
    card = read_head_card(folder)
    encoder = load_encoder(card["name"], unpadded=card["unpadded"])
    attach(encoder, load_ctc_head(folder, encoder))
    return encoder


def say(quiet: bool, line: str) -> None:
    """Say what was done with the data, or nothing."""
    if not quiet:
        say_aloud(line)


def spelt(split: str, clips: Sequence[Clip], quiet: bool) -> list[Clip]:
    """Keep the clips whose text can be spelt, and say which cannot."""
    kept = [clip for clip in clips if spelling(normalise(clip.text)) is not None]
    if not kept:
        raise UserError(
            f"no text of the split '{split}' can be spelt; allowed: texts in Latin letters, without digits."
        )
    if len(kept) < len(clips):
        odd = next(clip.text for clip in clips if spelling(normalise(clip.text)) is None)
        say(
            quiet,
            f"{len(clips) - len(kept)} of {len(clips)} texts of '{split}' cannot be spelt, such as {odd!r}: left out",
        )
    return kept
