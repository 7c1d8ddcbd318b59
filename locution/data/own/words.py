"""Texts become whole numbers: cut into words or pieces of words, each with its place in a list."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from locution.data.own.picture_files import is_there
from locution.data.own.records import LINES, column, read_records
from locution.data.tables.reading import PARQUET, decoded
from locution.data.tables.target import Target
from locution.errors import UserError

Pieces = Literal["words", "letters"]
PADDING, UNKNOWN, FIRST = 0, 1, 2  # the first word of the list is number 2
TABLES = (".csv", ".tsv", ".tab", *PARQUET, *LINES)
TEXT_COLUMNS = ("text", "body", "message", "sentence", "review", "comment", "content", "document")
# scripts that are written without spaces are cut into letters: Thai to Khmer, kana and Han
DENSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# signs that belong to the letter before them: accents, points, and the vowels of India's scripts, letters among them
MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u0dff"
LETTER = rf"(?:[^\W{DENSE}]|[{MARKS}])"
JOINERS = "\u200b-\u200f\ufe00-\ufe0f"  # they are not seen: they join or tint emoji
WORD = re.compile(rf"[{DENSE}]|{LETTER}+(?:['’]{LETTER}+)*|[^\w\s{JOINERS}]")


def plain(text: str) -> str:
    """Write a text the one way in which it is compared: compatible letters made one, lower case, single spaces.

    >>> plain("  Ｗell,\\n WELL ")
    'well, well'
    """
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def tokens(text: str, pieces: Pieces = "words") -> list[str]:
    """Tokenisation cuts a text into the pieces that a model knows: here lower-cased words and single signs.

    Scripts without spaces are cut into letters; an emoji is a sign. With `letters` the pieces are all runs of three
    letters, which tell misspelt words and endings apart.

    >>> tokens("Don't panic: 42 🙂!"), tokens("日本 ok"), tokens("no no", "letters")
    (["don't", 'panic', ':', '42', '🙂', '!'], ['日', '本', 'ok'], ['_no', 'no_', 'o_n', '_no', 'no_'])

    Reference: C. Manning, P. Raghavan, H. Schütze, 2008, "Introduction to information retrieval", section 2.2.1.
    """
    line = plain(text)
    if pieces == "words":
        return WORD.findall(line)
    padded = "_" + line.replace(" ", "_") + "_"
    return [padded[at : at + 3] for at in range(len(padded) - 2)] if line else []


def list_words(texts: Iterable[Sequence[str]], most: int) -> list[str]:
    """Choose the words that are known, most frequent first: those seen twice or more, if they are many.

    >>> list_words([["a", "b", "a"], ["c", "a"]], most=2)
    ['a', 'b']
    """
    counts = Counter(word for text in texts for word in text)
    least = 2 if len(counts) > 1000 else 1
    ranked = sorted((-count, word) for word, count in counts.items() if count >= least)
    return [word for _, word in ranked[:most]]


@dataclass(frozen=True)
class TextReader:
    """What a run must remember to read a new text as it read those it learnt from.

    words: the list of those that are known; with `pieces` of letters there is no list, and each piece's place is its
    hash among `buckets`. length: how many are read of each text. text: the name of the column of texts. target: what
    is answered. examples: how many were learnt from.

    >>> reader = TextReader(("good", "bad"), length=4, target=Target("mood", ("no", "yes")))
    >>> reader.encode([["bad", "very", "good"]])
    tensor([[3, 1, 2, 0]])
    """

    kind: ClassVar[str] = "texts"

    words: tuple[str, ...]
    length: int
    target: Target
    pieces: Pieces = "words"
    buckets: int = 5000
    text: str = ""
    examples: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return (self.length,)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes; none for values."""
        return self.target.labels

    @property
    def outputs(self) -> int:
        """How many numbers the model puts out."""
        return self.target.outputs

    @property
    def sizes(self) -> Mapping[str, Any]:
        """Settings of the model that only the data know: how many numbers there are, and how many examples."""
        known = self.buckets if self.pieces == "letters" else len(self.words)
        return {"vocabulary": FIRST + known, "examples": self.examples}

    def encode(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Turn words into numbers (N, length): 0 behind the end, 1 for an unknown word; what is longer is cut."""
        places = {word: FIRST + at for at, word in enumerate(self.words)}

        def place(word: str) -> int:
            if self.pieces == "letters":
                return FIRST + zlib.crc32(word.encode("utf-8", "surrogatepass")) % self.buckets
            return places.get(word, UNKNOWN)

        rows = torch.full((len(texts), self.length), PADDING, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            found = [place(word) for word in text[: self.length]]
            row[: len(found)] = torch.tensor(found, dtype=torch.int64)
        return rows

    def read(self, words: Sequence[str]) -> tuple[list[str], Tensor]:
        """Read texts as they are typed, or all rows of a table, or a .txt file: numbers (N, length)."""
        texts = [text for word in words for text in texts_of(word, self.text)]
        return [""] * len(texts), self.encode([tokens(text, self.pieces) for text in texts])

    def decode(self, outputs: Tensor) -> Tensor:
        """Bring values to their own units; scores of classes stay."""
        return self.target.decode(outputs)

    def as_json(self) -> dict[str, Any]:
        """The reader as plain data."""
        return {**asdict(self), "target": self.target.as_json()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> TextReader:
        """Take back what `as_json` gave."""
        target = Target.from_json(kept["target"])
        return cls(**{**kept, "words": tuple(kept["words"]), "target": target})


def texts_of(word: str, name: str) -> list[str]:
    """Take what a user typed: a text, or the texts of a file that is there."""
    place = Path(word)
    kind = place.suffix.lower() if "\n" not in word else ""
    if kind in TABLES:
        records = read_records(place)
        there = name if name in records.columns else ""
        return records.columns[column(records, there, TEXT_COLUMNS, "the column of texts")]
    if kind == ".txt" and is_there(place):
        return [read_text(place)]
    return [word]


def read_text(file: Path) -> str:
    """Read a text file, whatever it is written in."""
    try:
        return decoded(file.read_bytes(), file.name)[0]
    except OSError as error:
        raise UserError(f"'{file}' cannot be read: {error.strerror}.") from error
