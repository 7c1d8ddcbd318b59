"""Kinds of sentences, and how often each comes: checked where a recipe names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locution.errors import require, unknown
from locution.speech.sentences import KINDS


def check_kinds(kinds: Mapping[str, Any], where: str) -> None:
    """Refuse kinds of sentences that nobody knows, and shares that leave nothing."""
    for kind, share in kinds.items():
        if kind not in KINDS:
            raise unknown("kind of sentence", kind, KINDS)
        fits = isinstance(share, (int, float)) and not isinstance(share, bool) and share >= 0
        require(fits, f"{where}.{kind}", share, "a share from 0")
    require(sum(kinds.values()) > 0, where, dict(kinds), "at least one share above 0")
