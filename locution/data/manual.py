"""Sentences of Python's own manual, each of one of its chapters: real English that comes with Python."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from locution.data.dataset import Dataset
from locution.data.own.text_files import Rows
from locution.data.own.texts import TextsData
from locution.errors import require

CHAPTERS = {
    "types": "data model",
    "compound": "statements",
    "formatstrings": "formatting",
    "specialnames": "special methods",
    "comparisons": "comparisons",
    "assignment": "assignment",
    "import": "imports",
    "debugger": "debugger",
}
END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"*])")


def sentences(chapter: str) -> list[str]:
    """Take the sentences of five words or more out of a chapter, without its headings, grammars and examples.

    >>> sentences("Title\\n*****\\n\\nOne sees here a plain sentence. Short one.\\n\\n   x = 1\\n")
    ['One sees here a plain sentence.']
    """
    found = []
    for paragraph in re.split(r"\n\s*\n", chapter):
        if "::=" in paragraph or any(line.startswith("   ") for line in paragraph.split("\n")):
            continue
        for sentence in END.split(" ".join(paragraph.split())):
            if sentence.endswith(".") and len(sentence.split()) >= 5:
                found.append(sentence)
    return found


def read_manual() -> tuple[list[str], list[str]]:
    """Read the sentences that stand in one of the eight longest chapters and nowhere else, and name its chapter.

    >>> texts, chapters = read_manual()
    >>> len(texts) == len(set(texts)) == len(chapters), sorted(set(chapters))[:3]
    (True, ['assignment', 'comparisons', 'data model'])
    """
    from pydoc_data.topics import topics

    everywhere = Counter(sentence for chapter in topics.values() for sentence in set(sentences(chapter)))
    texts, chapters = [], []
    for name, title in CHAPTERS.items():
        own = [sentence for sentence in dict.fromkeys(sentences(topics[name])) if everywhere[sentence] == 1]
        texts += own
        chapters += [title] * len(own)
    return texts, chapters


@dataclass(frozen=True)
class ManualData:
    """Sentences of Python's manual, each to be assigned to the one of eight chapters in which it stands.

    Some 600 sentences of real English, which come with Python itself; how many there are depends on its version.
    `pieces` and `length` are those of one's own texts; `development` and `test` are the shares held out, `split` the
    seed that chooses them.

    >>> ManualData().load(seed=0).classes
    8

    Reference: G. van Rossum and the Python development team, "The Python language reference" (pydoc_data.topics).
    """

    batch_size: int = 32
    pieces: Literal["words", "letters"] = "words"
    length: int = 0
    development: float = 0.1
    test: float = 0.4
    split: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        self.texts()

    def texts(self) -> TextsData:
        """Say how the sentences are read: as one's own texts are."""
        return TextsData(
            batch_size=self.batch_size,
            pieces=self.pieces,
            length=self.length,
            development=self.development,
            test=self.test,
            split=self.split,
        )

    def load(self, seed: int) -> Dataset:
        """Read the sentences and split them; the run's seed has no part in it."""
        texts, chapters = read_manual()
        return self.texts().dataset(Rows(texts, chapters, [None] * len(texts), target="chapter"), "the manual")
