"""Word error rate: how many words went wrong, which, and how sure we are of the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from locution.errors import UserError
from locution.speech.normalise import normalise

if TYPE_CHECKING:
    from torch import Tensor

Table = NDArray[np.int64]  # (N, 4), an utterance a row: words said, substituted, deleted, inserted
FEWEST_DRAWS = 100  # below so many draws an interval says nothing


@dataclass(frozen=True)
class Pair:
    """One place of an alignment: what was said and what was written; None where one of them has nothing."""

    said: str | None
    written: str | None

    @property
    def kind(self) -> str:
        """Say what happened: hit, substitution, deletion (a word lost) or insertion (a word too many)."""
        if self.said is None:
            return "insertion"
        if self.written is None:
            return "deletion"
        return "hit" if self.said == self.written else "substitution"


@dataclass(frozen=True)
class WordErrors:
    """The errors of one utterance or of many: words said, and those substituted, deleted, inserted."""

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """Count all errors together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors for each word that was said; for an utterance without words, the number of words made up."""
        return self.errors / max(self.words, 1)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.words + other.words,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


def align(said: str, written: str) -> list[Pair]:
    """Pair the words of a reference with those of a hypothesis so that the fewest errors are left.

    Where several alignments leave equally few errors, one of them is taken.

    >>> for pair in align("turn the light on now", "turn light on now please"):
    ...     print(pair.kind, pair.said, pair.written)
    hit turn turn
    deletion the None
    hit light light
    hit on on
    hit now now
    insertion None please

    Reference: R. A. Wagner and M. J. Fischer, 1974, "The String-to-String Correction Problem", recurrence
    (1).
    """
    from rapidfuzz.distance import Levenshtein

    source, target = said.split(), written.split()
    pairs: list[Pair] = []
    for step in Levenshtein.opcodes(source, target):
        here, there = source[step.src_start : step.src_end], target[step.dest_start : step.dest_end]
        if step.tag in ("equal", "replace"):
            pairs += [Pair(a, b) for a, b in zip(here, there, strict=True)]
        else:  # one of the two is empty
            pairs += [Pair(word, None) for word in here] + [Pair(None, word) for word in there]
    return pairs


def word_errors(said: str, written: str) -> WordErrors:
    """Count the word errors of one utterance.

    >>> word_errors("a b c d", "a x c d e")
    WordErrors(words=4, substitutions=1, deletions=0, insertions=1)
    """
    return WordErrors(*error_table([said], [written])[0].tolist())


def error_table(said: Sequence[str], written: Sequence[str]) -> Table:
    """Count the word errors of many utterances, a row each: words said, substituted, deleted, inserted, (N, 4).

    The alignment is one with the fewest errors; where several have equally few, it is rapidfuzz's.

    >>> error_table(["a b c d", "stop"], ["a x c d e", "stop"]).tolist()
    [[4, 1, 0, 1], [1, 0, 0, 0]]

    Reference: R. A. Wagner and M. J. Fischer, 1974, "The String-to-String Correction Problem", recurrence (1).
    """
    from rapidfuzz.distance import Levenshtein

    steps, flat = Levenshtein.editops, list[int]()
    for one, other in zip(said, written, strict=True):  # one plain loop: anything kept longer costs more than it saves
        source = one.split()
        substituted = deleted = inserted = 0
        if one != other:
            for kind, _, _ in steps(source, other.split()).as_list():
                if kind == "replace":
                    substituted += 1
                elif kind == "delete":
                    deleted += 1
                else:
                    inserted += 1
        flat.extend((len(source), substituted, deleted, inserted))
    return np.fromiter(flat, np.int64, len(flat)).reshape(-1, 4)


@dataclass(frozen=True)
class WordErrorRate:
    """A word error rate with the interval that it would fall into for other utterances of the same kind.

    low, high: by drawing utterances again. by_speaker: the same by drawing whole speakers, which is wider where
    voices differ more than sentences do; None where fewer than two are known. table: (N, 4), see `error_table`.
    """

    value: float
    low: float
    high: float
    counts: WordErrors
    table: Table
    by_speaker: tuple[float, float] | None = None

    @property
    def utterances(self) -> tuple[WordErrors, ...]:
        """Give the errors of each utterance."""
        return tuple(WordErrors(*row) for row in self.table.tolist())

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def word_error_rate(
    said: Sequence[str],
    written: Sequence[str],
    *,
    normaliser: str | None = "basic-1",
    speakers: Sequence[str] | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> WordErrorRate:
    """The word error rate (WER) is the number of words wrong, lost or made up, for each word that was said.

    It can exceed one. The interval is the bootstrap by utterance: utterances are drawn again with replacement
    `samples` times and the rate is taken of each draw. With `speakers`, who spoke each utterance, there is a second
    interval by speaker: whole speakers are drawn again. Fewer than 100 samples give no interval: its ends are the
    value.

    >>> said, written = ["turn the light on", "stop"], ["turn light on", "stop it"]
    >>> wer = word_error_rate(said, written)
    >>> wer.value, wer.counts.deletions, wer.counts.insertions
    (0.4, 1, 1)

    Raises UserError if the lists differ in length or no word was said at all.

    Reference: M. Bisani and H. Ney, 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
    Evaluation", the bootstrap by utterance of section 3.
    """
    if len(said) != len(written):
        raise UserError(f"{len(said)} references came with {len(written)} transcripts; allowed: one each.")
    if normaliser is not None:
        said = [normalise(text, normaliser) for text in said]
        written = [normalise(text, normaliser) for text in written]
    table = error_table(said, written)
    return rate_of(table, speakers=speakers, samples=samples, confidence=confidence, seed=seed)


def rate_of(
    table: Table,
    *,
    speakers: Sequence[str] | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> WordErrorRate:
    """Take the word error rate, with its intervals, of errors already counted: (N, 4), see `error_table`."""
    counts = WordErrors(*table.sum(0).tolist())
    if not counts.words:
        raise UserError("the references hold no word; a word error rate needs at least one.")
    columns = np.stack([table[:, 1:].sum(1), table[:, 0]], axis=1).astype(np.float64)  # (N, 2): errors, words
    low, high = interval(columns, samples, confidence, seed)
    known = len(set(speakers)) if speakers is not None and all(speakers) else 0
    spread = None
    if speakers is not None and known >= 2:
        spread = interval(by_speaker(columns, speakers), samples, confidence, seed)
    return WordErrorRate(counts.rate, low, high, counts, table, spread)


def by_speaker(columns: NDArray[np.float64], speakers: Sequence[str]) -> NDArray[np.float64]:
    """Add up the rows (N, K) of each speaker: (S, K), the rows that a bootstrap by speaker draws from.

    >>> by_speaker(np.array([[1.0, 4.0], [0.0, 3.0], [2.0, 5.0]]), ["ann", "bob", "ann"]).tolist()
    [[3.0, 9.0], [0.0, 3.0]]

    Reference: A. C. Cameron, J. B. Gelbach and D. L. Miller, 2008, "Bootstrap-Based Improvements for Inference with
    Clustered Errors", section III (pairs cluster bootstrap).
    """
    names, place = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, place, columns)
    return sums


def interval(columns: NDArray[np.float64], samples: int, level: float, seed: int) -> tuple[float, float]:
    """Bootstrap the interval of a rate from rows (N, K) drawn again: the sums of all columns but the last over it."""
    import torch

    from locution.evaluation.intervals import bootstrap

    few = 1.0 / len(columns)  # one word in a whole draw, where it holds none

    def rate(means: Tensor) -> Tensor:
        return means[..., :-1].sum(-1) / means[..., -1].clamp(min=few)

    rows = torch.from_numpy(columns)
    if samples < FEWEST_DRAWS:
        value = float(rate(rows.mean(0)))
        return value, value
    found = bootstrap(rows, rate, resamples=samples, level=level, seed=seed)
    return found["low"], found["high"]
