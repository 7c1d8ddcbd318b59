"""Whether anybody speaks: how clearly the letters of an encoder's CTC head are heard at best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

CLEAREST = 3  # frames that are asked whether anybody speaks
# `python -m benchmarks.no_speech_gate` prints what this trades: lower lets noise pass, higher loses single words. Lost
# speech is worse than made-up text, so it stays where whole sentences are never lost and hardly a word is.
SPEAKS = 0.6


def letters(encoder: Any, frames: Tensor) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """Score letters for each frame (T, D) with the encoder's CTC head: log-probabilities (T, C); None without one."""
    head = getattr(encoder, "head", None)
    if head is None:
        return None
    with torch.inference_mode():
        weight = next(head.parameters())
        scores: np.ndarray[Any, np.dtype[np.float32]] = head(frames.to(weight)).float().log_softmax(-1).cpu().numpy()
    return scores


def clearness(scores: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """Say how clearly letters are heard at best, from 0 to 1: (T, C) log-probabilities, blank and space first.

    >>> round(clearness(np.log(np.full((9, 29), 1 / 29, np.float32))), 3)
    0.034
    """
    clearest = np.sort(np.exp(scores[:, 2:].max(1)))[-CLEAREST:]
    return float(clearest.sum() / CLEAREST)  # of less than that nothing is clear


def anybody_speaks(scores: np.ndarray[Any, np.dtype[np.float32]], least: float = SPEAKS) -> bool:
    """Say whether letters are heard clearly anywhere: (T, C) log-probabilities, blank and space first.

    >>> anybody_speaks(np.log(np.full((9, 29), 1 / 29, np.float32)))
    False
    """
    return clearness(scores) >= least


def heard_in(encoder: Any, frames: Sequence[Tensor]) -> list[bool]:
    """Say of each piece's frames (T_i, D) whether anybody speaks in it; an encoder without a CTC head cannot tell."""
    least = float(getattr(getattr(encoder, "head", None), "speaks", SPEAKS))  # a head that was trained knows its own
    scores = (letters(encoder, one) for one in frames)
    return [one is None or anybody_speaks(one, least) for one in scores]
