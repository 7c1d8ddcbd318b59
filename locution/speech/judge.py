"""How well a recogniser hears: its word error rate, beside that of its encoder alone and of its language model
alone; all that an evaluation needs is decoded here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from locution.errors import UserError
from locution.speech.confusions import Confusions
from locution.speech.control import write_deaf
from locution.speech.ctc_head import encoder_alone
from locution.speech.generate import Written, write_all
from locution.speech.hallucination import stopped_by
from locution.speech.normalise import normalise
from locution.speech.recogniser import Recogniser
from locution.speech.wer import WordErrorRate, error_table, rate_of, word_error_rate


@dataclass(frozen=True)
class Judgement:
    """What came of an evaluation.

    wer: of the recogniser. encoder_alone: of the encoder's own greedy CTC decoding; None where it has no such
    head. text_only: of the language model without the audio. said, written: every utterance, normalised. answers: the
    transcripts as they came, with why they stopped and how sure the model was. heard: what the encoder alone wrote.
    """

    wer: WordErrorRate
    encoder_alone: WordErrorRate | None
    text_only: WordErrorRate
    said: tuple[str, ...]
    written: tuple[str, ...]
    answers: tuple[Written, ...]
    heard: tuple[str, ...] | None = None

    @property
    def stopped(self) -> int:
        """How many transcripts the limit or the guard against loops had to end."""
        return stopped_by(self.answers, "limit") + stopped_by(self.answers, "loop")

    @cached_property
    def confusions(self) -> Confusions:
        """Which words were taken for which, lost and made up."""
        return Confusions.of(self.said, self.written)

    def worst(self, count: int = 10) -> list[int]:
        """Number the utterances with the most errors, worst first."""
        errors = self.wer.table[:, 1:].sum(1)
        return [int(row) for row in np.argsort(-errors, kind="stable")[:count]]

    def homophone_share(self) -> float:
        """Say which share of all errors are homophones, which no ear could have avoided."""
        return sum(self.confusions.homophones.values()) / max(self.wer.counts.errors, 1)


def judge(
    recogniser: Recogniser,
    frames: Sequence[Tensor],
    texts: Sequence[str],
    *,
    speakers: Sequence[str] | None = None,
    precision: str = "fp32",
    control: int = 200,
    controlled: Sequence[int] | None = None,
    seed: int = 0,
) -> Judgement:
    """Evaluate a recogniser on clips that training never saw: frames[i] (T_i, D) say texts[i], by speakers[i].

    The text-only control decodes `control` clips without their audio: the first ones that hold a word, of those that
    `controlled` numbers. A clip in which nothing is said may be among the rest: what is written for it is made up.
    """
    if not len(frames):
        raise UserError("there is nothing to evaluate on; allowed: at least one utterance.")
    recogniser.eval()
    said = [normalise(text) for text in texts]
    answers = write_all(recogniser, frames, precision=precision)
    spoken = [row for row in (range(len(said)) if controlled is None else controlled) if said[row]][:control]
    deaf = write_deaf(recogniser, [frames[row] for row in spoken], precision=precision)
    alone = encoder_alone(recogniser.encoder, frames)
    written = [normalise(one.text) for one in answers]
    return Judgement(
        rate_of(error_table(said, written), speakers=speakers, seed=seed),
        None if alone is None else word_error_rate(said, alone, speakers=speakers, seed=seed),
        word_error_rate([said[row] for row in spoken], [one.text for one in deaf], seed=seed),
        tuple(said),
        tuple(written),
        tuple(answers),
        None if alone is None else tuple(alone),
    )
