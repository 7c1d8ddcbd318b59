"""Who watches a recogniser while it learns."""

from __future__ import annotations

from typing import Any

from locution.engine.batch import Batch
from locution.engine.observer import Observer
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.speech.listener import Listening
from locution.speech.recogniser import Recogniser, transcript_objective
from locution.speech.routers import Routers, is_routed
from locution.speech.utterances import Utterances

HEARD = 16  # development clips that are heard three ways


def watchers(recogniser: Recogniser, development: Utterances, seed: int, **listening: Any) -> list[Observer]:
    """Build what watches a recogniser's training: gradients, overfitting, whether it listens, and the routers.

    development: utterances that training never sees, not shuffled. listening: settings of `Listening`.
    """
    batches = list(development.epoch(0, seed))
    found: list[Observer] = [GradientNorms(), Overfitting(transcript_objective, batches)]
    clips = middle(development, HEARD)
    if len(clips) >= 2:
        found.append(Listening(clips, **listening))
    if is_routed(recogniser.projector):
        found.append(Routers(clips))
    return found


def middle(development: Utterances, count: int) -> Batch:
    """Take so many utterances of middling length, alike in length, out of those in which something is said."""
    ends = 1  # an utterance of nothing has only its end mark
    spoken = [i for i, tokens in enumerate(development.tokens) if len(tokens) > ends]
    ranked = sorted(spoken or range(len(development)), key=lambda i: int(development.frame_counts[i]))
    first = max(0, (len(ranked) - count) // 2)
    return development.batch(ranked[first : first + count])
