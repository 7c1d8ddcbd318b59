"""When each word was said: the written text laid over the encoder's own spelling, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from locution.speech.ctc import BLANK, CHARACTERS

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """A word with the seconds in which it was said, and how clearly: 1 where every letter was heard for certain."""

    text: str
    start: float
    end: float
    confidence: float = 1.0


def align(scores: Scores, letters: Sequence[int]) -> list[int] | None:
    """Forced alignment says which frame is which letter of a text that is known: the likeliest path that spells it.

    scores (T, C) log-probabilities, letters L classes without the blank. Gives for each frame the number of its letter,
    -1 for a blank; None where the frames are too few. Time and memory go as T times L.

    >>> sure = np.log(np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], np.float32))
    >>> align(sure, [1, 2])
    [0, -1, 1]

    Reference: L. Kürzinger et al., 2020, "CTC-Segmentation of Large Corpora for German End-to-End Speech Recognition",
    section 3; A. Graves et al., 2006, "Connectionist temporal classification", section 4.1 (the lattice).
    """
    states = [BLANK]
    for letter in letters:
        states += [letter, BLANK]
    labels = np.array(states)  # (S,): blank, letter, blank, ..., blank
    skip = np.zeros(len(labels), bool)  # a letter may follow the letter before, unless they are the same
    skip[2:] = (labels[2:] != BLANK) & (labels[2:] != labels[:-2])
    best = np.full(len(labels), -np.inf)
    if not len(scores):
        return None
    best[:2] = scores[0, labels[:2]]
    came = np.zeros((len(scores), len(labels)), np.int8)  # how many states back the path came from
    for t in range(1, len(scores)):
        one = np.concatenate([[-np.inf], best[:-1]])
        two = np.where(skip, np.concatenate([[-np.inf, -np.inf], best[:-2]])[: len(best)], -np.inf)
        ways = np.stack([best, one, two])
        came[t] = ways.argmax(0)
        best = ways.max(0) + scores[t, labels]
    state = len(labels) - 1 if len(labels) == 1 or best[-1] >= best[-2] else len(labels) - 2
    if not np.isfinite(best[state]):
        return None
    path = []
    for t in range(len(scores) - 1, -1, -1):
        path.append((state - 1) // 2 if state % 2 else -1)
        state -= int(came[t, state])
    return path[::-1]


def spellable(word: str) -> list[int]:
    """Turn what can be spelt of a word into classes, accents left out; digits and marks have no letters.

    >>> spellable("Éa7!")
    [7, 3]
    """
    plain = normalize("NFKD", word.lower())
    return [CHARACTERS.index(letter) + 1 for letter in plain if letter in CHARACTERS and letter != " "]


def word_times(scores: Scores, text: str, rate: float, start: float = 0.0) -> list[Word]:
    """Word times say when each word of a text begins and ends, in seconds, `rate` frames to the second.

    scores (T, C): the encoder's log-probabilities of letters. `start` is added to all. A word that cannot be spelt, and
    all of them where the frames are too few, share the time between their neighbours, with confidence 0.

    >>> heard = np.log(np.eye(29, dtype=np.float32)[[0, 11, 0, 1, 17, 17]] * 0.9 + 0.003)  # blank i blank space o o
    >>> [(word.text, word.start, word.end) for word in word_times(heard, "i o", rate=10.0)]
    [('i', 0.1, 0.2), ('o', 0.4, 0.6)]

    Reference: A. Graves et al., 2006, "Connectionist temporal classification", section 4.1.
    """
    words = text.split()
    classes: list[int] = []
    spans: list[tuple[int, int]] = []  # the letters of each word
    for word in words:
        letters = spellable(word)
        if letters and classes:
            classes.append(1)  # the space
        spans.append((len(classes), len(classes) + len(letters)))
        classes += letters
    path = align(scores, classes) if classes else None
    found: list[tuple[float, float, float] | None] = [None] * len(words)
    if path is not None:
        for number, (first, behind) in enumerate(spans):
            frames = [t for t, letter in enumerate(path) if first <= letter < behind]
            if frames:
                sure = sum(float(scores[t, classes[path[t]]]) for t in frames) / len(frames)
                found[number] = (frames[0] / rate, (frames[-1] + 1) / rate, math.exp(sure))
    times = _filled(found, len(scores) / rate)
    return [
        Word(word, round(start + a, 3), round(start + b, 3), round(sure, 4))
        for word, (a, b, sure) in zip(words, times, strict=True)
    ]


def _filled(found: Sequence[tuple[float, float, float] | None], end: float) -> list[tuple[float, float, float]]:
    """Share the time between neighbours among words that have none."""
    times: list[tuple[float, float, float]] = []
    for number, one in enumerate(found):
        if one is None:
            before = times[-1][1] if times else 0.0
            later = [other for other in found[number:] if other is not None]
            count = next((i for i, other in enumerate(found[number:]) if other is not None), len(found) - number)
            step = ((later[0][0] if later else end) - before) / max(1, count)
            one = (before, before + max(0.0, step), 0.0)
        times.append(one)
    return times
