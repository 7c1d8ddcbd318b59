"""The class that new examples are wanted of, as a user names it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from locution.errors import UserError, unknown


def classes_wanted(label: int | str | None, names: Sequence[str], count: int) -> Tensor:
    """Say of which class each new example is to be (count,): the one that is wished for, or all by turns.

    >>> classes_wanted("b", ("a", "b"), 3).tolist(), classes_wanted(None, ("a", "b"), 3).tolist()
    ([1, 1, 1], [0, 1, 0])
    """
    if label is None:
        return torch.arange(count) % len(names)
    if str(label) not in names:
        raise unknown("class of these data", str(label), names)
    return torch.full((count,), list(names).index(str(label)))


def told_no_class(name: str) -> UserError:
    """Refuse a wish that only a network can fulfil which is told classes."""
    return UserError(f"{name} came to a run that is told no class; allowed: one with model.conditional=true.")
