"""Near duplicates among texts: the same words with a few changed, found without comparing every pair."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from locution.data.near_duplicates import Pair
from locution.errors import require

Words = NDArray[np.uint64]
LETTERS = 5  # in a shingle
BANDS, ROWS = 20, 3  # texts that share half their shingles meet in a band 93 times in 100, those of 0.8 always
ODD = np.uint64(0x9E3779B97F4A7C15)


def near_duplicate_texts(first: Sequence[str], second: Sequence[str], likeness: float = 0.8) -> list[Pair]:
    """Near duplicate texts share most of their pieces: likeness is the share of five-letter pieces that both have.

    Case, punctuation and spaces do not count. Pairs that may be alike are found by minima of hashes (MinHash) that
    fall together; then their likeness (Jaccard's: shared pieces over all pieces) is counted exactly.

    Returns at most one pair for each text of `second`, with the one of `first` that it is most alike, closest pairs
    first; those of at least `likeness`. Empty texts are alike to none.

    >>> train = ["The cat sat on the mat by the door.", "Call now to win a prize!"]
    >>> near_duplicate_texts(train, ["the cat sat on the mat by the doors", "See you at noon"])
    [Pair(first=0, second=0, likeness=0.9667)]

    Reference: A. Broder, 1997, "On the resemblance and containment of documents", sections 2 and 4.
    """
    require(0.0 < likeness <= 1.0, "likeness", likeness, "a share above 0, usually 0.8")
    left, right = [shingles(text) for text in first], [shingles(text) for text in second]
    buckets: list[dict[int, list[int]]] = [{} for _ in range(BANDS)]
    for index, signature in enumerate(signatures(left)):
        for bucket, key in zip(buckets, signature.tolist(), strict=True):
            if len(left[index]):
                bucket.setdefault(key, []).append(index)
    pairs = []
    for index, signature in enumerate(signatures(right)):
        if not len(right[index]):
            continue
        met = {one for bucket, key in zip(buckets, signature.tolist(), strict=True) for one in bucket.get(key, ())[:50]}
        scored = [(jaccard(left[one], right[index]), -one) for one in met]
        best, one = max(scored, default=(0.0, 0))
        if best >= likeness:
            pairs.append(Pair(-one, index, round(best, 4)))
    return sorted(pairs, key=lambda pair: (-pair.likeness, pair.second))


def shingles(text: str) -> Words:
    """Cut a text into all its pieces of five letters, each a number, every piece once; shorter texts are one piece.

    >>> len(shingles("Banana, banana!")), len(shingles("ok")), len(shingles("!?"))
    (7, 1, 0)
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    plain = " ".join("".join(c if c.isalnum() else " " for c in folded).split())
    if not plain:
        return np.zeros(0, np.uint64)
    points = np.frombuffer(plain.ljust(LETTERS).encode("utf-32-le"), np.uint32).astype(np.uint64)
    pieces = np.lib.stride_tricks.sliding_window_view(points, LETTERS)  # (pieces, 5)
    value = np.zeros(len(pieces), np.uint64)
    for column in range(LETTERS):
        value = mix(value + pieces[:, column])
    return np.unique(value)


def mix(values: Words) -> Words:
    """Scatter whole numbers over all 64 bits (SplitMix64)."""
    values = values + ODD
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def signatures(texts: Sequence[Words]) -> Words:
    """Sum up each text's pieces in BANDS numbers, alike for texts that share most pieces: (texts, BANDS)."""
    filled = [pieces if len(pieces) else np.zeros(1, np.uint64) for pieces in texts]
    if not filled:
        return np.zeros((0, BANDS), np.uint64)
    every = np.concatenate(filled)
    starts = np.cumsum([0, *(len(pieces) for pieces in filled[:-1])])
    seeds = mix(np.arange(BANDS * ROWS, dtype=np.uint64))
    bands = []
    for band in range(BANDS):
        key = np.zeros(len(filled), np.uint64)
        for row in range(ROWS):
            key = mix(key + np.minimum.reduceat(mix(every ^ seeds[band * ROWS + row]), starts))
        bands.append(key)
    return np.stack(bands, 1)


def jaccard(left: Words, right: Words) -> float:
    """Count what two sets share, over all that they hold.

    >>> jaccard(np.array([1, 2, 3], np.uint64), np.array([2, 3, 4], np.uint64))
    0.5
    """
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / max(1, len(left) + len(right) - shared)
