"""One way of writing, for training labels and for scoring alike, with a version."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable

from locution.errors import unknown
from locution.speech.whisper_english import whisper_english

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})
_LOOSE = re.compile(r"(?<!\w)'|'(?!\w)")  # quotation marks, not the apostrophe inside a word
_OTHER = re.compile(r"[^\w']|_")  # everything that is no letter, digit or apostrophe


def basic(text: str) -> str:
    """Write text in lower case without punctuation, words parted by single spaces.

    >>> basic("  Don’t stop: it's 7-ish, 'quoted' CAFÉ! ")
    "don't stop it's 7 ish quoted café"
    """
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).lower()
    return " ".join(_OTHER.sub(" ", _LOOSE.sub(" ", text)).split())


NORMALISERS: dict[str, Callable[[str], str]] = {"basic-1": basic, "whisper-english-1": whisper_english}
"""Every version that was ever released, so that an old checkpoint is scored as it was trained."""


def normalise(text: str, version: str = "basic-1") -> str:
    """Text normalisation writes what means the same in the same way, so that only true differences count.

    Training labels and test references must go through the same version: markers or capitals that only one
    side has would be counted as errors.

    >>> normalise("Set the timer for 20 minutes!")
    'set the timer for 20 minutes'
    >>> normalise("a", "basic-9")
    Traceback (most recent call last):
    locution.errors.UserError: 'basic-9' is no normaliser. Did you mean 'basic-1'? Allowed: basic-1, whisper-english-1.

    Reference: A. Radford et al., 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", appendix
    C (why a normaliser is part of a measurement).
    """
    if version not in NORMALISERS:
        raise unknown("normaliser", version, NORMALISERS)
    return NORMALISERS[version](text)


PROBE = (
    "Don’t STOP: it's 7-ish, 'quoted' café!",
    "Mr. Smith's 20,000 colours [noise] (uh) um 3.5% £5",
    "ﬁne — twenty one",
)


def normaliser_digest(version: str) -> str:
    """Hash a normaliser by its version and by what it makes of some lines: code that changed shows.

    >>> normaliser_digest("basic-1") == normaliser_digest("whisper-english-1")
    False
    """
    made = [version, *(normalise(line, version) for line in PROBE)]
    return f"{version}:{hashlib.blake2b(json.dumps(made).encode(), digest_size=16).hexdigest()}"
