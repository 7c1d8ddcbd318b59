"""Texts to repeat: sentences, the same words out of order, and words that no dictionary has."""

from __future__ import annotations

import bisect
import random
from collections.abc import Mapping, Sequence

from locution.errors import require

ONSETS = "b c d f g h j k l m n p r s t v w z ch sh th st tr br pl qu".split()  # noqa: SIM905
VOWELS = "a e i o u a e i o u ai ea oo ee y".split()  # noqa: SIM905
CODAS = ("", "", "", "n", "r", "s", "t", "l", "ck", "m", "ng", "x", "'s")
SHARES = {"sentence": 0.6, "shuffled": 0.14, "babble": 0.13, "letters": 0.06, "word": 0.03, "silence": 0.04}


def pseudo_word(draw: random.Random) -> str:
    """Make up a word that can be spoken and means nothing, of one to four syllables.

    >>> pseudo_word(random.Random(1)) == pseudo_word(random.Random(1))
    True
    """
    syllables = draw.choice((1, 1, 2, 2, 3, 4))
    return "".join(draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(CODAS) for _ in range(syllables))


def letter_word(draw: random.Random) -> str:
    """Put one to seven letters in a row, all equally likely: nothing but copying can write them again."""
    return "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.randint(1, 7)))


class Texts:
    """An endless, repeatable supply of texts of a wanted length, most of them sentences.

    Parameters
    ----------
    sentences: what real texts are drawn from. shares: how often each kind comes: a whole "sentence", one
    with its words "shuffled", made-up words ("babble"), random "letters", a short "word", or "silence" (no
    text at all).

    >>> texts = Texts(["turn on the light", "go home"])
    >>> draw = random.Random(0)
    >>> texts.draw(draw, 7, "sentence"), texts.draw(draw, 7, "silence")
    ('go home', '')
    >>> len(texts.draw(draw, 30, "babble")) <= 30
    True
    """

    def __init__(self, sentences: Sequence[str], shares: Mapping[str, float] = SHARES) -> None:
        require(len(sentences) > 0, "sentences", len(sentences), "at least one")
        odd = sorted(set(shares) - set(SHARES))
        require(not odd, "shares", ", ".join(odd), ", ".join(SHARES))
        self.sentences = sorted(sentences, key=lambda text: (len(text), text))
        self.lengths = [len(text) for text in self.sentences]
        self.kinds, self.odds = list(shares), list(shares.values())

    def draw(self, draw: random.Random, length: int, kind: str | None = None) -> str:
        """Draw one text of at most about `length` letters; where `kind` is None, of any kind."""
        kind = kind or draw.choices(self.kinds, self.odds)[0]
        if kind in ("sentence", "shuffled"):
            text = self.near(draw, length)
            return text if kind == "sentence" else shuffled(text, draw)
        if kind == "silence":
            return ""
        make = letter_word if kind == "letters" else pseudo_word
        return fill(make, draw, min(length, draw.randint(1, 9)) if kind == "word" else length)

    def near(self, draw: random.Random, length: int) -> str:
        """Draw a sentence that is at most six letters shorter than `length`, or the nearest ones below it."""
        last = bisect.bisect_right(self.lengths, length)
        first = min(bisect.bisect_left(self.lengths, length - 6), last - 1)
        return self.sentences[draw.randrange(max(first, 0), max(last, 1))]


def shuffled(text: str, draw: random.Random) -> str:
    """Put the words of a text into a random order."""
    words = text.split()
    draw.shuffle(words)
    return " ".join(words)


def fill(make: object, draw: random.Random, length: int) -> str:
    """Make words until the next would not fit into `length` letters; cut the first if it is too long by
    itself."""
    assert callable(make)
    words = [str(make(draw))[: max(length, 1)]]
    while True:
        word = str(make(draw))
        if sum(map(len, words)) + len(words) + len(word) > length:
            return " ".join(words)
        words.append(word)
