"""How a recogniser is judged: what it wrote of the test clips, and what that says of it, as a run's results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from locution.reporting.results import Hearing, Metric, RunResults, Utterance
from locution.speech.audio import read_audio
from locution.speech.cache import CachedFrames
from locution.speech.judge import Judgement, encoder_alone, judge
from locution.speech.logmel import log_mel
from locution.speech.manifest import Clip
from locution.speech.normalise import normalise
from locution.speech.recogniser import Recogniser
from locution.speech.wer import WordErrorRate
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

EMBEDDED_LIMITS = (
    "The embedded encoder and language model were raised on synthetic voices: no human speech is understood.",
    "For human speech name a Whisper encoder and a larger language model: model.encoder=openai/whisper-large-v3-turbo "
    "model.language_model=HuggingFaceTB/SmolLM3-3B.",
)


def judged(recipe: Recipe, job: Job, model: Recogniser, frames: CachedFrames) -> RunResults:
    """Write down the test clips, of sentences and voices that training never saw, and count the wrong words."""
    clips: list[Clip] = job.data["test"]
    texts = [normalise(clip.text) for clip in clips]
    found = judge(model, frames, texts, precision=recipe.precision)
    alone = encoder_alone(model.encoder, frames)
    results = RunResults(recipe.name, recipe.describe, metrics=figures(found))
    results.utterances = [
        Utterance(clip.path.name, said, written, None if alone is None else alone[row], clip.seconds)
        for row, (clip, said, written) in enumerate(zip(clips, found.said, found.written, strict=True))
    ]
    results.hearing = [hearing(clips[row], results.utterances[row]) for row in (0, found.worst(1)[0])]
    results.data = {split: f"{len(part)} utterances, {minutes(part)}" for split, part in job.data.items()}
    counts = found.wer.counts
    results.notes.append(
        f"{counts.substitutions} words taken for others, {counts.deletions} lost, {counts.insertions} made up; "
        f"{found.homophone_share():.0%} of the errors are homophones; "
        f"{found.stopped} of {len(found.said)} transcripts were cut off."
    )
    if "embedded" in (str(recipe.model.get(half, "embedded")) for half in ("encoder", "language_model")):
        results.limits = list(EMBEDDED_LIMITS)
    return results


def figures(found: Judgement) -> list[Metric]:
    """Put the word error rate beside that of the encoder alone and of the language model alone."""

    def metric(name: str, one: WordErrorRate, label: str, note: str) -> Metric:
        return Metric(name, one.value, one.low, one.high, label, "wer", "lower", note)

    many = f"{len(found.said)} held-out utterances"
    rows = [metric("wer", found.wer, "word error rate (WER)", many)]
    if found.encoder_alone is not None:
        rows.append(metric("encoder_wer", found.encoder_alone, "the encoder alone, greedy", many))
    rows.append(metric("text_only_wer", found.text_only, "the language model without audio", "the control"))
    return rows


def minutes(clips: Sequence[Clip]) -> str:
    """Say how long clips are together.

    >>> from pathlib import Path
    >>> minutes([Clip(Path("a"), "", seconds=90.0)])
    '1.5 minutes'
    """
    return f"{sum(clip.seconds for clip in clips) / 60:.1f} minutes"


def hearing(clip: Clip, utterance: Utterance) -> Hearing:
    """Show what the model saw of a clip."""
    audio = read_audio(clip.path)
    mel = log_mel(torch.as_tensor(audio.samples)).T.numpy()  # (M, T)
    return Hearing(utterance, mel, audio.seconds)
