"""Preferences: pairs of answers of which one is better, made by a plain rule on Python's documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.byte_pairs import END, Tokenizer
from locution.data.dataset import Dataset
from locution.data.prose import PARTS, Prose, ProseData, read_prose
from locution.engine.batch import Batch
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import LocutionError, require

KINDS = ("whole", "elsewhere", "rambling")  # of answers, the best first
PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
STOP = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"*])")
FEWEST = 8  # words of a sentence that is cut in two


@dataclass(frozen=True)
class Question:
    """A question is how a sentence begins; with it come how it goes on, and how the text goes on behind it.

    >>> Question("One two", " three.", " three.\\nAnd more of").whole
    ' three.'
    """

    begins: str
    whole: str
    rambling: str


def questions(chapter: str, reach: int = 600) -> list[Question]:
    """Cut each sentence of a chapter behind half of its words; `reach` letters are read on behind it.

    >>> found = questions("Title\\n=====\\n\\nThis is a sentence of no more words than eight. Here comes more.\\n")
    >>> found[0].begins, found[0].whole, found[0].rambling
    ('This is a sentence of', ' no more words than eight.', ' no more words than eight. Here comes more.\\n')
    """
    found = []
    for start, stop in sentences(chapter):
        words = list(re.finditer(r"\S+", chapter[start:stop]))
        if len(words) >= FEWEST:
            half = start + words[len(words) // 2 - 1].end()
            found.append(Question(chapter[start:half], chapter[half:stop], chapter[half : stop + reach]))
    return found


def sentences(chapter: str) -> Iterator[tuple[int, int]]:
    """Say where in a chapter its sentences begin and end, without headings, grammars and examples.

    >>> text = "Title\\n=====\\n\\nSome words. And\\nmore.\\n\\n   x = 1\\n"
    >>> [text[start:stop] for start, stop in sentences(text)]
    ['Some words.', 'And\\nmore.']
    """
    for paragraph in PARAGRAPH.finditer(chapter):
        begin = paragraph.start()
        for gap in (*STOP.finditer(chapter, begin, paragraph.end()), None):
            end = paragraph.end() if gap is None else gap.start()
            begin += len(chapter[begin:end]) - len(chapter[begin:end].lstrip())
            if chapter[begin].isupper() and chapter[end - 1] == "." and "::=" not in chapter[begin:end]:
                yield begin, end
            begin = end if gap is None else gap.end()


@dataclass(frozen=True)
class Asked:
    """What is known of pairs beside their tokens: how the sentence begins, and the kinds of both answers."""

    begins: Sequence[str]
    kinds: Sequence[tuple[str, str]]


NOBODY = Asked((), ())


def pairs(
    chapters: Sequence[str], tokenizer: Tokenizer, length: int, answer: int, seed: int, part: str
) -> tuple[dict[str, Tensor], Asked]:
    """Make a pair of two kinds of answers to each question, the better first.

    The best answer ends the sentence, and there it ends. Worse is one that ends another sentence; the worst goes on
    with what comes next, and finds no end within `answer` tokens. Which two of the three come is drawn by the seed.

    Returns tokens (N, 2, length) and answer (N, 2, length), True where the answer stands; what is behind it are ends.
    """
    asked = [one for chapter in chapters for one in questions(chapter)]
    draw = generator(seed, f"preferences {part}")
    order, turns = torch.randperm(len(asked), generator=draw), torch.randint(3, (len(asked),), generator=draw)
    rows, kept, kinds = [], [], []
    for at, one in enumerate(asked):
        other = asked[int(order[at])]
        endings = {
            "whole": [*tokenizer.encode(one.whole), END],
            "rambling": tokenizer.encode(one.rambling)[:answer],
            "elsewhere": [*tokenizer.encode(other.whole), END],
        }
        left_out = KINDS[int(turns[at])]
        two = tuple(kind for kind in KINDS if kind != left_out)
        begins = [END, *tokenizer.encode(one.begins)]
        fits = max(map(len, endings.values())) == len(endings["rambling"]) == answer > len(endings["whole"])
        if other is not one and fits and len(begins) + answer <= length:
            rows.append([(begins, endings[kind]) for kind in two])
            kept.append(one.begins)
            kinds.append((two[0], two[1]))
    tokens = torch.full((len(rows), 2, length), END)
    stands = torch.zeros(len(rows), 2, length, dtype=torch.bool)
    for row, both in enumerate(rows):
        for place, (begins, ending) in enumerate(both):
            tokens[row, place, : len(begins) + len(ending)] = torch.tensor(begins + ending)
            stands[row, place, len(begins) : len(begins) + len(ending)] = True
    return {"tokens": tokens, "answer": stands}, Asked(kept, kinds)


class Pairs:
    """Batches of pairs, each with how likely its answers were to the model where training began.

    `reference` (N, 2) is set before the first epoch. `asked` is of the pairs that a model is judged by, and `answer`
    the tokens of the longest answer.

    >>> pairs = Pairs({"tokens": torch.zeros(3, 2, 4), "answer": torch.ones(3, 2, 4)}, batch_size=2)
    >>> pairs.reference = torch.zeros(3, 2)
    >>> [batch.targets["reference"].shape for batch in pairs.epoch(0, seed=0)]
    [torch.Size([2, 2]), torch.Size([1, 2])]
    """

    def __init__(self, inputs: dict[str, Tensor], batch_size: int, asked: Asked = NOBODY, answer: int = 64) -> None:
        self.inputs, self.batch_size, self.asked, self.answer = inputs, batch_size, asked, answer
        self.reference: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs["tokens"])

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return -(-len(self) // self.batch_size)

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Permute all pairs, then hand out slices."""
        if self.reference is None:
            raise LocutionError("nothing is known of the model where training began; allowed: pairs with a reference.")
        targets = {"reference": self.reference}
        return TensorBatches(self.inputs, targets, batch_size=self.batch_size).epoch(number, seed, skip)


@dataclass(frozen=True)
class PreferencesData:
    """Pairs of answers to how a sentence of Python's documentation goes on, of which one is preferred.

    The rule stands in for a person's liking: best is an answer that ends the sentence and stops; worse one that ends
    another sentence; worst one that goes on and on. Tokens and chapters are those of `prose`: what a pair of the test
    begins with, nobody has seen in training.

    Settings
    --------
    length: tokens of question and answer together. answer: tokens of the longest answer. mistakes: the share of pairs
    to learn from in which the worse was preferred. vocabulary, development, test, split: of `prose`.

    >>> data = PreferencesData(vocabulary=300).load(seed=0)
    >>> data.inputs, data.outputs
    ((128,), 300)

    Reference: P. Christiano et al., 2017, "Deep reinforcement learning from human preferences", section 2.2; R.
    Rafailov et al., 2023, "Direct preference optimization", section 3.
    """

    batch_size: int = 16
    length: int = 128
    answer: int = 64
    mistakes: float = 0.0
    vocabulary: int = 512
    development: float = 0.1
    test: float = 0.1
    split: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        require(self.answer >= 8, "data.answer", self.answer, "a whole number from 8, usually 64")
        require(
            self.length >= 2 * self.answer, "data.length", self.length, f"from {2 * self.answer}, twice data.answer"
        )
        require(0 <= self.mistakes < 0.5, "data.mistakes", self.mistakes, "a share from 0 up to, not with, 0.5")
        self.prose()

    def prose(self) -> ProseData:
        """Say how the text is read: as by a language model's data."""
        return ProseData(vocabulary=self.vocabulary, development=self.development, test=self.test, split=self.split)

    def load(self, seed: int) -> Dataset:
        """Read the text and make the pairs; the run's seed has no part in it."""
        prose: Prose = self.prose().load(seed).reader
        parts, _ = read_prose(self.development, self.test, self.split)
        made = {
            name: pairs(list(parts[name].values()), prose.tokenizer, self.length, self.answer, self.split, name)
            for name in PARTS
        }
        inputs = {name: found[0] for name, found in made.items()}
        inputs["train"] = mistaken(inputs["train"], self.mistakes, self.split)
        return Dataset(
            Pairs(inputs["train"], self.batch_size, made["test"][1], self.answer),
            TensorBatches(inputs["development"], batch_size=64, shuffle=False),
            TensorBatches(inputs["test"], batch_size=64, shuffle=False),
            inputs=(self.length,),
            outputs=len(prose.tokenizer),
            source="pairs of answers",
            reader=prose,
            sizes={"vocabulary": len(prose.tokenizer)},
        )


def mistaken(inputs: dict[str, Tensor], share: float, seed: int) -> dict[str, Tensor]:
    """Let a share of the pairs, drawn by the seed, have the worse answer first.

    >>> tokens = torch.tensor([[[1], [2]]]).repeat(1000, 1, 1)
    >>> int((mistaken({"tokens": tokens}, 0.1, seed=0)["tokens"][:, 0] == 2).sum())
    100
    """
    count = len(inputs["tokens"])
    wrong = torch.zeros(count, dtype=torch.bool)
    wrong[torch.randperm(count, generator=generator(seed, "mistakes"))[: round(share * count)]] = True
    return {name: torch.where(wrong[:, None, None], both.flip(1), both) for name, both in inputs.items()}
