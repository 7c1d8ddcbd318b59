"""Prose: Python's own documentation as one long English text, for language models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from locution.data.byte_pairs import BYTES, END, FIRST, Tokenizer, learn_merges
from locution.data.dataset import Dataset, check_shares, held_out
from locution.data.kept_tokens import read_tokenizer
from locution.data.near_duplicate_texts import near_duplicate_texts
from locution.data.passages import Passages, cut
from locution.engine.random import generator
from locution.errors import require

SHORT = 40  # letters: a shorter paragraph, a heading or a line of code, may stand in many chapters
OWN = 0.5  # of a chapter's letters: one that has less of its own stands in another chapter
ALIKE = 0.5  # shared pieces over all pieces: paragraphs that are more alike say the same
PARTS = ("train", "development", "test")


def paragraphs(chapter: str) -> list[str]:
    """Cut a chapter into its paragraphs, as they stand.

    >>> paragraphs("Title\\n=====\\n\\nSome\\nwords.\\n\\n   x = 1\\n")
    ['Title\\n=====', 'Some\\nwords.', '   x = 1']
    """
    return [found for found in re.split(r"\n(?:[ \t]*\n)+", chapter.strip("\n")) if found.strip()]


def own_paragraphs(chapters: Mapping[str, str]) -> dict[str, list[str]]:
    """Leave each paragraph in one chapter, the longest in which it stands; leave out chapters with little of their own.

    >>> whole = "This paragraph stands in one chapter and in another too."
    >>> own_paragraphs({"part": whole, "all": whole + "\\n\\nAnd then comes something else, of which there is more."})
    {'all': ['This paragraph ...', 'And then comes ...']}
    """
    kept: dict[str, list[str]] = {}
    seen: set[str] = set()
    for name in sorted(chapters, key=lambda name: (-len(chapters[name]), name)):
        every = paragraphs(chapters[name])
        keys = [" ".join(one.split()) for one in every]
        own = [one for one, key in zip(every, keys, strict=True) if len(key) < SHORT or key not in seen]
        seen.update(keys)
        if sum(map(len, own)) >= OWN * sum(map(len, every)):
            kept[name] = own
    return kept


def divided(chapters: Mapping[str, Sequence[str]], shares: Sequence[float], seed: int) -> list[list[str]]:
    """Deal whole chapters out by a seed: the first part takes the rest, each other up to its share of all letters.

    >>> divided({"a": ["1234"], "b": ["12"], "c": ["1234"]}, [0.25], seed=0)
    [['a', 'c'], ['b']]
    """
    sizes = {name: sum(map(len, own)) for name, own in chapters.items()}
    names = sorted(chapters)
    left = [names[at] for at in torch.randperm(len(names), generator=generator(seed, "chapters")).tolist()]
    parts: list[list[str]] = []
    for share in shares:
        room, part = share * sum(sizes.values()), list[str]()
        for name in left:
            if sizes[name] <= room:
                part.append(name)
                room -= sizes[name]
        left = [name for name in left if name not in part]
        parts.append(sorted(part))
    return [sorted(left), *parts]


@cache
def read_prose(development: float, test: float, split: int) -> tuple[dict[str, dict[str, str]], int]:
    """Read the manual's chapters in three parts: of each, its chapters by name; and how many paragraphs were left out.

    A chapter is in one part alone. Paragraphs of training that a held-out chapter has too, word for word or nearly so,
    are left out of training, and those of the development chapters that the test has are left out there.

    >>> parts, _ = read_prose(0.1, 0.1, 0)
    >>> list(parts), "statement" in " ".join(parts["train"].values())
    (['train', 'development', 'test'], True)

    Reference: G. van Rossum and the Python development team, "The Python language reference" (pydoc_data.topics).
    """
    from pydoc_data.topics import topics

    chapters = own_paragraphs(topics)
    training, *held = divided(chapters, [development, test], split)
    parts: dict[str, dict[str, str]] = {}
    taken: list[str] = []
    dropped = 0
    for name, chosen in zip(reversed(PARTS), [*reversed(held), training], strict=True):
        own = {chapter: [one for one in chapters[chapter] if one.strip()] for chapter in chosen}
        flat = [one for some in own.values() for one in some]
        alike = {
            flat[pair.second] for pair in near_duplicate_texts(taken, flat, ALIKE) if len(flat[pair.second]) >= SHORT
        }
        dropped += sum(one in alike for one in flat)
        left = {chapter: [one for one in some if one not in alike] for chapter, some in own.items()}
        taken += [one for some in left.values() for one in some]
        parts[name] = {chapter: "\n\n".join(some) + "\n" for chapter, some in left.items() if some}
    return {name: parts[name] for name in PARTS}, dropped


@dataclass(frozen=True)
class Prose:
    """What a language model must know of its text: the tokenizer, each part's texts, and each as one stream (S,).

    `chapters` are the names of a part's texts.
    """

    tokenizer: Tokenizer
    texts: Mapping[str, Sequence[str]]
    streams: Mapping[str, Tensor]
    chapters: Mapping[str, Sequence[str]]


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
    """Python's own documentation, some 370 kilobytes of English prose and examples, cut into passages of tokens.

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
        parts, dropped = read_prose(self.development, self.test, self.split)
        merges = self.vocabulary - FIRST - BYTES
        kept = read_tokenizer(Path(self.tokens))[0] if self.tokens else None
        tokenizer = kept or learnt(tuple(parts["train"].values()), merges)
        texts = {name: list(chapters.values()) for name, chapters in parts.items()}
        streams = {name: stream_of(tokenizer, some) for name, some in texts.items()}
        held = {name: held_out(*cut(streams[name], self.length), self.batch_size) for name in PARTS[1:]}
        sizes = ", ".join(f"{sum(map(len, parts[name].values())):,} letters of {name}" for name in PARTS)
        return Dataset(
            Passages(streams["train"], self.length, self.batch_size),
            held["development"],
            held["test"],
            inputs=(self.length,),
            outputs=len(tokenizer),
            source=f"Python's documentation ({sizes})",
            notes=(f"{dropped} paragraphs were left out that stand, nearly or wholly, in a held-out chapter too.",),
            reader=Prose(tokenizer, texts, streams, {name: list(some) for name, some in parts.items()}),
            sizes={"vocabulary": len(tokenizer)},
        )


@cache
def learnt(texts: tuple[str, ...], merges: int) -> Tokenizer:
    """Learn a tokenizer once for each text and size."""
    return Tokenizer(learn_merges(texts, merges))
