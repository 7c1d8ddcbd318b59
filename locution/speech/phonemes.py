"""How words sound, as espeak-ng would say them: what was written as it sounds is an error that no ear could avoid.

espeak-ng runs in a process of its own: `python -m locution.speech.phonemes` reads a JSON list of words from standard
input and writes a JSON list of their sounds, one for each of two accents.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from locution.speech.homophones import homophones

ACCENTS = (b"en-us", b"en")
SYNCHRONOUS, UTF8, IPA = 2, 1, 2  # constants of espeak-ng's speak_lib.h
STRESS = re.compile("[ˈˌː\u200d\\s]")  # stress and length marks: a word alone carries more of them than in a sentence


def sounds(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """A pronunciation is the row of sounds (phonemes) that a word is said with: here one in each of two accents.

    Returns nothing where espeak-ng is not installed or does not answer.

    >>> found = sounds(["flour", "flower"])
    >>> not found or found["flour"] == found["flower"]
    True

    Reference: International Phonetic Association, 1999, "Handbook of the International Phonetic Association", part 1.
    """
    asked = sorted(set(words))
    if not asked:
        return {}
    command = [sys.executable, "-m", "locution.speech.phonemes"]
    try:
        done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True)
        answers: list[list[str]] = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        return {}
    return {word: tuple(answer) for word, answer in zip(asked, answers, strict=True)}


def sound_alike(taken: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Keep the confusions (said, written) that sound the same: homophones, and words spelt as they sound.

    >>> sound_alike(Counter({("their", "there"): 2, ("cat", "dog"): 1}))
    Counter({('their', 'there'): 2})
    """
    said = sounds(word for pair in taken for word in pair)

    def alike(one: str, other: str) -> bool:
        pairs = zip(said.get(one, ()), said.get(other, ()), strict=False)
        return homophones(one, other) or any(a == b != "" for a, b in pairs)

    return Counter({pair: count for pair, count in taken.items() if alike(*pair)})


def pronounce(words: Sequence[str]) -> list[list[str]]:
    """Ask the one espeak-ng of this process how each word sounds in each accent."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    folder = os.path.dirname(espeakng_loader.get_data_path()).encode()
    if library.espeak_Initialize(SYNCHRONOUS, 0, folder, 0) <= 0:
        raise RuntimeError("espeak-ng did not start")
    found: list[list[str]] = [[] for _ in words]
    for accent in ACCENTS:
        library.espeak_SetVoiceByName(accent)
        for word, answers in zip(words, found, strict=True):
            text = ctypes.c_char_p(word.encode())
            pieces = []
            while text.value is not None:  # a clause a call; the pointer is NULL behind the last
                pieces.append(library.espeak_TextToPhonemes(ctypes.byref(text), UTF8, IPA) or b"")
            answers.append(STRESS.sub("", b"".join(pieces).decode("utf-8", errors="replace")))
    return found


if __name__ == "__main__":
    print(json.dumps(pronounce(json.load(sys.stdin))))
