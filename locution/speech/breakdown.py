"""Where the errors are: by how long an utterance is, by the condition it was recorded in, by who spoke."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from locution.speech.wer import Table, WordErrorRate, rate_of

K = TypeVar("K", bound=Hashable)
LENGTHS = (2.0, 4.0, 8.0, 15.0)  # seconds; the longest clips that a Whisper hears at once have 30


def rows_of(keys: Sequence[K]) -> dict[K, list[int]]:
    """Say which rows belong to each key, keys in the order in which they first come.

    >>> rows_of(["b", "a", "b"])
    {'b': [0, 2], 'a': [1]}
    """
    found: dict[K, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return found


def length_class(seconds: float, bounds: Sequence[float] = LENGTHS) -> str:
    """Name the class of lengths that a clip falls into.

    >>> [length_class(seconds) for seconds in (0.5, 2.0, 60.0)]
    ['under 2 s', '2 to 4 s', '15 s and more']
    """
    for low, high in zip((0.0, *bounds), bounds, strict=False):
        if seconds < high:
            return f"under {high:g} s" if low == 0.0 else f"{low:g} to {high:g} s"
    return f"{bounds[-1]:g} s and more"


def broken_down(table: Table, rows: Mapping[K, Sequence[int]], *, samples: int = 1000) -> dict[K, WordErrorRate]:
    """A breakdown gives the word error rate of parts of a test set, each with its own interval.

    table: (N, 4), see `error_table`; rows: which of the N belong to each part. Parts in which no word was said are
    left out, for they have no rate.

    >>> from locution.speech.wer import error_table
    >>> table = error_table(["stop now", "go", ""], ["stop", "go", ""])
    >>> found = broken_down(table, {"long": [0], "short": [1], "silent": [2]}, samples=0)
    >>> {name: rate.value for name, rate in found.items()}
    {'long': 0.5, 'short': 0.0}

    Reference: S. Barocas et al., 2021, "Designing Disaggregated Evaluations of AI Systems", section 1.
    """
    parts = {key: table[np.asarray(list(some), dtype=int)] for key, some in rows.items()}
    return {key: rate_of(part, samples=samples) for key, part in parts.items() if part[:, 0].sum()}


def by_length(table: Table, seconds: Sequence[float], *, samples: int = 1000) -> dict[str, WordErrorRate]:
    """Break a word error rate down by the length of the clips in seconds (N,), the shortest first; 0 is not known."""
    known = [row for row, one in enumerate(seconds) if one > 0]
    order = sorted(known, key=lambda row: seconds[row])
    parts = rows_of([length_class(seconds[row]) for row in order])
    return broken_down(table, {key: [order[one] for one in some] for key, some in parts.items()}, samples=samples)
