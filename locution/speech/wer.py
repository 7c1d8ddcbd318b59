"""Word error rate: how many words went wrong, which, and how sure we are of the figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from locution.errors import UserError
from locution.speech.homophones import homophones
from locution.speech.normalise import normalise


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
    from rapidfuzz.distance import Levenshtein

    source, target = said.split(), written.split()
    tags = Counter(step.tag for step in Levenshtein.editops(source, target))
    return WordErrors(len(source), tags["replace"], tags["delete"], tags["insert"])


@dataclass(frozen=True)
class WordErrorRate:
    """A word error rate with the interval that it would fall into for other utterances of the same kind."""

    value: float
    low: float
    high: float
    counts: WordErrors
    utterances: tuple[WordErrors, ...]

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def word_error_rate(
    said: Sequence[str],
    written: Sequence[str],
    *,
    normaliser: str | None = "basic-1",
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> WordErrorRate:
    """The word error rate (WER) is the number of words wrong, lost or made up, for each word that was said.

    It can exceed one. The interval is the bootstrap by utterance: utterances are drawn again with replacement
    `samples` times and the rate is taken of each draw.

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
    each = tuple(word_errors(a, b) for a, b in zip(said, written, strict=True))
    counts = sum(each, WordErrors())
    if not counts.words:
        raise UserError("the references hold no word; a word error rate needs at least one.")
    low, high = _bootstrap(each, samples, confidence, seed)
    return WordErrorRate(counts.rate, low, high, counts, each)


def _bootstrap(each: Sequence[WordErrors], samples: int, confidence: float, seed: int) -> tuple[float, float]:
    errors = np.array([one.errors for one in each], dtype=np.float64)  # (N,)
    words = np.array([one.words for one in each], dtype=np.float64)  # (N,)
    random, rates = np.random.default_rng(seed), []
    for _ in range(samples):
        drawn = random.integers(0, len(each), len(each))
        rates.append(errors[drawn].sum() / max(words[drawn].sum(), 1.0))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(rates, [tail, 1.0 - tail])
    return float(low), float(high)


def confusions(said: Iterable[str], written: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count which word was taken for which, over many utterances; `most_common()` sorts them.

    >>> confusions(["i hear you", "come here"], ["i here you", "come here"]).most_common()
    [(('hear', 'here'), 1)]
    """
    pairs = (pair for a, b in zip(said, written, strict=True) for pair in align(a, b))
    return Counter((p.said, p.written) for p in pairs if p.kind == "substitution" and p.said and p.written)


def homophone_errors(said: Iterable[str], written: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count the errors that no ear could avoid: a word taken for another that sounds the same.

    >>> homophone_errors(["i hear you two"], ["i here you too"])
    Counter({('hear', 'here'): 1, ('two', 'too'): 1})
    """
    wrong = confusions(said, written)
    return Counter({pair: count for pair, count in wrong.items() if homophones(*pair)})
