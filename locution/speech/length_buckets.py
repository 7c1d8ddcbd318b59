"""Batches by a budget of places: clips of like sizes together, no batch larger than what fits into memory."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from locution.engine.random import generator
from locution.errors import require

PROBES = 32  # lengths at which a projector is asked what it makes of them
BUCKET = 8  # batches that draw from one bucket: large enough to stay random, small enough for like sizes


def buckets(sizes: Sequence[int] | Tensor, budget: int) -> list[tuple[Tensor, int]]:
    """A length bucket holds utterances of like sizes, so that a batch of them needs little padding.

    sizes[i] counts the places that utterance i takes. The longest go first; a bucket holds as many as 8 batches whose
    padded size, rows times the longest, stays within `budget`, but none that would fit in by a third more. Returns
    each bucket's utterances and rows a batch: the same at every call, so every epoch has as many batches.

    >>> [(rows.tolist(), many) for rows, many in buckets([3, 9, 4, 2], budget=12)]
    [([1], 1), ([2, 0], 3), ([3], 6)]

    Reference: M. Ott et al., 2018, "Scaling neural machine translation", section 3.1 (batches by tokens, like lengths
    together).
    """
    counts = torch.as_tensor(sizes, dtype=torch.long)
    order = torch.argsort(counts, descending=True, stable=True)
    largest = int(counts.max()) if len(counts) else 0
    require(largest <= budget, "data.token_budget", budget, f"a whole number from {largest}, the longest utterance")
    fit = (budget // counts.clamp(min=1))[order]  # how many of its own size a batch would hold
    found = []
    start = 0
    while start < len(order):
        rows = int(fit[start])
        alike = int(torch.searchsorted(fit, rows + rows // 3, right=True))
        stop = min(start + BUCKET * rows, alike)
        found.append((order[start:stop], rows))
        start = stop
    return found


def budgeted(found: Sequence[tuple[Tensor, int]], number: int, seed: int, shuffle: bool = True) -> list[list[int]]:
    """Cut buckets into the batches of an epoch: shuffled within each bucket, then the batches among each other.

    >>> made = budgeted(buckets([3, 9, 4, 2], budget=12), number=0, seed=0)
    >>> sorted(row for batch in made for row in batch)
    [0, 1, 2, 3]
    """
    draw = generator(seed, "data", number)
    batches: list[list[int]] = []
    for members, rows in found:
        if shuffle:
            members = members[torch.randperm(len(members), generator=draw)]
        listed = members.tolist()
        batches += [listed[i : i + rows] for i in range(0, len(listed), rows)]
    if not shuffle:
        return batches
    return [batches[i] for i in torch.randperm(len(batches), generator=draw).tolist()]


def padding_share(batches: Sequence[Sequence[int]], sizes: Sequence[int] | Tensor) -> float:
    """Padding is what makes clips of unequal lengths one block; its share is work that is done for nothing.

    >>> padding_share([[0, 1], [2]], sizes=[4, 2, 5])
    0.15384615384615385

    Reference: M. Ott et al., 2018, "Scaling neural machine translation", section 3.1.
    """
    counts = torch.as_tensor(sizes, dtype=torch.long)
    whole = sum(len(rows) * int(counts[list(rows)].max()) for rows in batches)
    return 1 - float(counts[[row for rows in batches for row in rows]].sum()) / max(whole, 1)


@torch.no_grad()
def audio_places(projector: nn.Module, lengths: Sequence[int], width: int) -> Tensor:
    """Say how many places of a language model clips of so many frames take once a projector has shortened them.

    The projector is asked at up to 32 lengths from the shortest to the longest; between them the next longer one
    counts, so that no clip takes more places than are said.

    >>> from locution.speech.projectors import build_projector
    >>> audio_places(build_projector("mlp", 2, 2, gain=1.0, stack=4), [4, 8, 9], width=2).tolist()
    [1, 2, 2]
    """
    every = sorted(set(lengths))
    steps = torch.linspace(0, len(every) - 1, min(PROBES, len(every))).round().int().tolist()
    asked = torch.tensor([every[step] for step in steps])  # (U,)
    copy = deepcopy(projector).eval()  # what a projector notes of itself in passing is not of these zeros
    like = next(copy.parameters())
    answers = [
        int(copy(like.new_zeros(1, int(count), width), torch.tensor([int(count)], device=like.device))[1])
        for count in asked
    ]
    return torch.tensor(answers)[torch.searchsorted(asked, torch.tensor(list(lengths)))]
