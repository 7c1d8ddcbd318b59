"""How a recogniser is judged: what it wrote of the test clips, and what that says of it, as a run's results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from locution.evaluation.proportions import proportion
from locution.reporting.results import Hearing, Metric, RunResults, Utterance
from locution.speech.audio import read_audio
from locution.speech.breakdown import rows_of
from locution.speech.cache import CachedFrames
from locution.speech.calibrated import transcript_probability
from locution.speech.hallucination import SOUNDS, Hallucinations, hallucinations, stopped_by
from locution.speech.judge import Judgement, judge
from locution.speech.logmel import log_mel
from locution.speech.manifest import Clip
from locution.speech.recogniser import Recogniser
from locution.speech.wer import WordErrorRate, rate_of, word_error_rate
from locution.tasks.recognition_findings import findings
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

EMBEDDED_LIMITS = (
    "The embedded encoder and language model were raised on synthetic voices: no human speech is understood.",
    "For human speech name a Whisper encoder and a larger language model: model.encoder=openai/whisper-large-v3-turbo "
    "model.language_model=HuggingFaceTB/SmolLM3-3B.",
)
NORMALISERS = {
    "raw_wer": (None, "WER of the text as written"),
    "whisper_english_wer": ("whisper-english-1", "WER as Whisper is scored"),
}


def judged(recipe: Recipe, job: Job, model: Recogniser, frames: CachedFrames) -> RunResults:
    """Write down the test clips, of sentences and voices that training never saw, and count the wrong words."""
    clips: list[Clip] = job.data["test"]
    first = next(iter(rows_of([clip.group for clip in clips]).values()))
    speakers = [clip.speaker for clip in clips]
    texts = [clip.text for clip in clips]
    found = judge(model, frames, texts, speakers=speakers, precision=recipe.precision, controlled=first)
    unspoken = [] if model.encoder is None else [
        hallucinations(model, sound, precision=recipe.precision) for sound in SOUNDS
    ]  # fmt: skip
    results = RunResults(recipe.name, recipe.describe)
    results.speech = findings(found, clips, unspoken)
    results.metrics = [*figures(found, clips), *normalised_otherwise(found, clips, first), *failing(found, unspoken)]
    results.metrics.append(
        Metric("calibration_error", results.speech.calibration_error or 0.0, label="calibration error (ECE)",
               better="lower", note="how far its confidence is from the share that is right")
    )  # fmt: skip
    results.utterances = utterances(found, clips)
    results.hearing = [hearing(clips[row], results.utterances[row]) for row in (first[0], found.worst(1)[0])]
    results.data = {split: f"{len(part):,} utterances, {minutes(part)}" for split, part in job.data.items()}
    results.notes.append(summary(found))
    if "embedded" in (str(recipe.model.get(half, "embedded")) for half in ("encoder", "language_model")):
        results.limits = list(EMBEDDED_LIMITS)
    return results


def utterances(found: Judgement, clips: Sequence[Clip]) -> list[Utterance]:
    """List what was said and what was written, normalised as it was scored."""
    return [
        Utterance(
            clip.path.name,
            found.said[row],
            found.written[row],
            None if found.heard is None else found.heard[row],
            clip.seconds,
            clip.group,
            clip.speaker,
            transcript_probability(found.answers[row]),
        )
        for row, clip in enumerate(clips)
    ]


def summary(found: Judgement) -> str:
    """Say in a line what kinds of errors there are."""
    counts = found.wer.counts
    return (
        f"{counts.substitutions:,} words taken for others, {counts.deletions:,} lost, {counts.insertions:,} made up; "
        f"{found.homophone_share():.0%} of the errors are homophones; "
        f"{found.stopped:,} of {len(found.said):,} transcripts were cut off."
    )


def figures(found: Judgement, clips: Sequence[Clip]) -> list[Metric]:
    """Put the word error rate of each test set beside that of the encoder alone, the first beside the control too."""
    rows: list[Metric] = []
    for number, (group, some) in enumerate(rows_of([clip.group for clip in clips]).items()):
        name, where = (f"/{group}", f", {group}") if number else ("", "")
        scale = f"WER, {group}" if number else "wer"
        speakers = [clips[row].speaker for row in some]
        said = f"{len(some):,} held-out utterances{f' of {group}' if group and not number else ''}"
        ours = rate_of(found.wer.table[some], speakers=speakers)
        rows.append(metric(f"wer{name}", ours, f"word error rate (WER){where}", scale, spread(said, ours)))
        if found.encoder_alone is not None:
            alone = rate_of(found.encoder_alone.table[some], speakers=speakers)
            rows.append(metric(f"encoder_wer{name}", alone, f"the encoder alone, greedy{where}", scale, said))
        if not number:
            label = "the language model without audio"
            rows.append(metric("text_only_wer", found.text_only, label, scale, "the control"))
    return rows


def metric(name: str, rate: WordErrorRate, label: str, group: str, note: str) -> Metric:
    """Write a word error rate as a figure."""
    return Metric(name, rate.value, rate.low, rate.high, label, group, "lower", note)


def spread(said: str, rate: WordErrorRate) -> str:
    """Say what a rate was measured on, and how far it would move with other speakers, where they are known."""
    if rate.by_speaker is None:
        return said
    low, high = rate.by_speaker
    return f"{said}; by speaker [{low:.3f}, {high:.3f}]"


def normalised_otherwise(found: Judgement, clips: Sequence[Clip], rows: Sequence[int]) -> list[Metric]:
    """Score the first test set again, as it was written and as published figures are."""
    said, written = [clips[row].text for row in rows], [found.answers[row].text for row in rows]
    rates = []
    for name, (normaliser, label) in NORMALISERS.items():
        rate = word_error_rate(said, written, normaliser=normaliser)
        rates.append(metric(name, rate, label, "normalisers", normaliser or "nothing normalised"))
    return rates


def failing(found: Judgement, unspoken: Sequence[Hallucinations]) -> list[Metric]:
    """Count text that nobody said: on noise, on silence, in loops, and cut off by the limit."""
    rows = [
        (f"hallucination_{one.sound}", len(one.texts), len(one.written), f"hallucinates on {one.sound}")
        for one in unspoken
    ]
    rows += [
        (f"hallucination_{one.sound}_ungated", sum(bool(text.text) for text in one.ungated), len(one.ungated),
         f"would hallucinate on {one.sound}, were the encoder not asked whether anybody speaks")
        for one in unspoken if one.ungated
    ]  # fmt: skip
    total = len(found.answers)
    rows.append(("loop_rate", stopped_by(found.answers, "loop"), total, "repeats itself without end"))
    rows.append(("cut_off_rate", stopped_by(found.answers, "limit"), total, "finds no end, cut off"))
    figures = []
    for name, count, of, label in rows:
        share = proportion(count, of)
        note = f"{count:,} of {of:,}"
        figures.append(Metric(name, share["value"], share["low"], share["high"], label, "failures", "lower", note))
    return figures


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
