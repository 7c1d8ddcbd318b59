"""Word times against every path there is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from locution.speech.ctc import collapse
from locution.speech.word_times import align, spellable, word_times


def brute(scores: np.ndarray, letters: list[int]) -> float:
    """The oracle: of all ways to name the frames, the best one that spells the letters."""
    paths = (p for p in product(range(scores.shape[1]), repeat=len(scores)) if collapse(list(p)) == letters)
    return max((sum(float(scores[t, c]) for t, c in enumerate(path)) for path in paths), default=-np.inf)


@pytest.mark.parametrize("seed", range(40))
def test_the_path_is_the_best_of_all(seed: int) -> None:
    draw = np.random.default_rng(seed)
    frames, letters = int(draw.integers(1, 7)), draw.integers(1, 4, size=draw.integers(0, 4)).tolist()
    scores = np.log(draw.dirichlet(np.ones(4), size=frames)).astype(np.float32)
    path, best = align(scores, letters), brute(scores, letters)
    if path is None:
        assert best == -np.inf
        return
    classes = [letters[i] if i >= 0 else 0 for i in path]
    assert collapse(classes) == letters
    assert [i for i in dict.fromkeys(path) if i >= 0] == list(range(len(letters)))  # every letter, in order
    assert sum(float(scores[t, c]) for t, c in enumerate(classes)) == pytest.approx(best, abs=1e-4)


def test_nothing_is_all_blank_and_too_few_frames_are_none() -> None:
    scores = np.log(np.full((3, 4), 0.25, np.float32))
    assert align(scores, []) == [-1, -1, -1]
    assert align(scores, [1, 1]) == [0, -1, 1]
    assert align(scores[:2], [1, 1]) is None
    assert align(scores[:0], [1]) is None


def test_words_that_cannot_be_spelt_lie_between_their_neighbours() -> None:
    path = [spellable("a")[0], 0, 0, 0, 0, 1, spellable("b")[0], 0]
    scores = np.log(np.eye(29, dtype=np.float32)[path] * 0.9 + 0.003)
    words = word_times(scores, "a 42 € B", rate=10.0, start=100.0)
    assert [word.text for word in words] == ["a", "42", "€", "B"]
    assert [(word.start, word.end) for word in words] == [
        (100.0, 100.1),
        (100.1, 100.35),
        (100.35, 100.6),
        (100.6, 100.7),
    ]
    assert [word.confidence > 0.8 for word in words] == [True, False, False, True]
    crowded = word_times(scores[:2], "many words in no time", rate=10.0)
    assert [word.confidence for word in crowded] == [0.0] * 5
    assert crowded[-1].end == pytest.approx(0.2)
    assert word_times(scores, "", rate=10.0) == []
