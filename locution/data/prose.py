"""Prose: one's own texts, or Python's documentation, as one long text for language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from locution.data.byte_pairs import BYTES, END, FIRST, Tokenizer, learn_merges
from locution.data.chapters import PARTS as PARTS
from locution.data.chapters import SHORT as SHORT
from locution.data.chapters import Chapters, into_parts
from locution.data.chapters import divided as divided
from locution.data.chapters import own_paragraphs as own_paragraphs
from locution.data.chapters import paragraphs as paragraphs
from locution.data.dataset import Dataset, check_shares, held_out
from locution.data.kept_tokens import read_tokenizer
from locution.data.own.books import find_books
from locution.data.own.picture_files import walk, written
from locution.data.passages import Passages, cut
from locution.errors import UserError, require

SOURCE = "Python's documentation"


@cache
def read_prose(development: float, test: float, split: int) -> tuple[Chapters, int]:
    """Read the manual's chapters in three parts: of each, its chapters by name; and how many paragraphs were left out.

    >>> parts, _ = read_prose(0.1, 0.1, 0)
    >>> list(parts), "statement" in " ".join(parts["train"].values())
    (['train', 'development', 'test'], True)

    Reference: G. van Rossum and the Python development team, "The Python language reference" (pydoc_data.topics).
    """
    from pydoc_data.topics import topics

    return into_parts(topics, {}, (development, test), split)


@lru_cache(maxsize=1)
def read_own(
    path: Path, stamps: tuple[tuple[Path, tuple[int, int]], ...], development: float, test: float, split: int
) -> tuple[Chapters, int, tuple[str, ...]]:
    """Read one's own texts in three parts, once for all runs of a process, until one of their files changes."""
    books = find_books(path)
    return *into_parts(books.texts, books.parts, (development, test), split), books.said


@dataclass(frozen=True)
class Prose:
    """What a language model must know of its text: the tokenizer, each part's texts, and each as one stream (S,).

    `chapters` are the names of a part's texts; `own` says that the text is the user's.
    """

    tokenizer: Tokenizer
    texts: Mapping[str, Sequence[str]]
    streams: Mapping[str, Tensor]
    chapters: Mapping[str, Sequence[str]]
    own: bool = False

    def beginnings(self, usual: Sequence[str]) -> list[str]:
        """Take texts to go on with: the usual ones, or, of the user's own, how held-out chapters begin.

        >>> Prose(Tokenizer([]), {"test": ["It was a dark night."]}, {}, {}, own=True).beginnings(["The"])
        ['', 'It was a dark']
        """
        if not self.own:
            return list(usual)
        held = next((some for part in reversed(PARTS) if (some := self.texts.get(part))), [])
        return ["", *dict.fromkeys(" ".join(text.split()[:4]) for text in held[:3])]


def stream_of(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Write texts as one stream of tokens (S,), an end mark before each and behind the last.

    >>> stream_of(Tokenizer([]), ["a", "b"]).tolist()
    [0, 99, 0, 100, 0]
    """
    found = [END]
    for text in texts:
        found += [*tokenizer.encode(text), END]
    return torch.tensor(found, dtype=torch.int64)


@dataclass(frozen=True)
class ProseData:
    """Running text, cut into passages of tokens: one's own, or Python's documentation, some 370 kilobytes of English.

    `path` is a text file, a folder of .txt, .md or .rst files, perhaps in train/, valid/ and test/, or a table with a
    column of texts; each file is a chapter, a long one several. Without a path Python's own documentation is read.
    The tokens are byte pairs learnt from the training text: `vocabulary` of them in all, 258 for single bytes and two
    marks. A passage has `length` tokens. `development` and `test` are the shares of the text that are held out, whole
    chapters, which the seed `split` chooses; what training would share with them, nearly or wholly, is left out of it.
    `tokens` is the folder of a run whose tokens are taken as they are, so that its model can go on learning here.

    >>> data = ProseData(vocabulary=300, length=16).load(seed=0)
    >>> data.inputs, data.outputs
    ((16,), 300)

    Reference: G. van Rossum and the Python development team, "The Python language reference" (pydoc_data.topics).
    """

    batch_size: int = 32
    length: int = 128
    vocabulary: int = 512
    development: float = 0.1
    test: float = 0.1
    split: int = 0
    path: str = ""
    tokens: str = ""

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        require(self.length >= 1, "data.length", self.length, "a whole number from 1, usually 128")
        least = FIRST + BYTES
        require(self.vocabulary >= least, "data.vocabulary", self.vocabulary, f"a whole number from {least}, the bytes")
        check_shares(self.development, self.test)
        require(abs(self.split) < 2**62, "data.split", self.split, "a whole number below 2**62")

    def load(self, seed: int) -> Dataset:
        """Read the text, learn the tokens and cut the passages; the run's seed has no part in it."""
        parts, dropped, said = self.read()
        if not parts["train"]:
            raise UserError(f"'{self.path}' leaves no text to learn from; allowed: longer texts, or more of them.")
        merges = self.vocabulary - FIRST - BYTES
        kept = read_tokenizer(Path(self.tokens))[0] if self.tokens else None
        tokenizer = kept or learnt(tuple(parts["train"].values()), merges)
        texts = {name: list(chapters.values()) for name, chapters in parts.items()}
        streams = {name: stream_of(tokenizer, some) for name, some in texts.items()}
        held = {name: held_out(*cut(streams[name], self.length), self.batch_size) for name in PARTS[1:]}
        sizes = ", ".join(f"{sum(map(len, parts[name].values())):,} letters of {name}" for name in PARTS)
        left_out = f"{dropped} paragraphs were left out that stand, nearly or wholly, in a held-out chapter too."
        return Dataset(
            Passages(streams["train"], self.length, self.batch_size),
            held["development"],
            held["test"],
            inputs=(self.length,),
            outputs=len(tokenizer),
            source=f"{Path(self.path).name or SOURCE} ({sizes})",
            notes=(*said, left_out),
            reader=Prose(
                tokenizer, texts, streams, {name: list(some) for name, some in parts.items()}, bool(self.path)
            ),
            sizes={"vocabulary": len(tokenizer)},
        )

    def read(self) -> tuple[Chapters, int, tuple[str, ...]]:
        """Read the chapters of each part, how many paragraphs were left out, and what was decided, a line each."""
        if not self.path:
            return *read_prose(self.development, self.test, self.split), ()
        path = Path(self.path)
        files = walk(path) if path.is_dir() else [path]
        stamps = tuple((file, written(file)) for file in files)
        return read_own(path, stamps, self.development, self.test, self.split)


@cache
def learnt(texts: tuple[str, ...], merges: int) -> Tokenizer:
    """Learn a tokenizer once for each text and size."""
    return Tokenizer(learn_merges(texts, merges))
