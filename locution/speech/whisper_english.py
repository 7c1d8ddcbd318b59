"""The normaliser that papers on English speech recognition score with."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _normaliser() -> Any:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


def whisper_english(text: str) -> str:
    """Write English text as Whisper's authors do for scoring: numbers as digits, contractions in full, one spelling.

    Words in brackets and fillers such as "um" are dropped. Changes what is written far more than "basic-1" does: use
    it to compare with published figures, not for training labels.

    >>> whisper_english("Um, it's Mr. Hill's favourite: twenty-five [noise] dollars!")
    'it is mister hill is favorite $25'

    Reference: A. Radford et al., 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", appendix C.
    """
    return " ".join(str(_normaliser()(text)).split())
