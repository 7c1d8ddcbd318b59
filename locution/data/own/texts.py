"""One's own texts as data: found, cut into words, cleaned and split, every decision said in a plain line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from locution.data.dataset import Dataset, check_shares, held_out
from locution.data.leakage import near_duplicate_texts
from locution.data.own.parts import class_lines, into_parts, named, plural, without_copies
from locution.data.own.picture_files import walk, written
from locution.data.own.text_files import Rows, find_texts
from locution.data.own.words import Pieces, TextReader, list_words, plain, tokens
from locution.data.tables.target import find_target, standardised
from locution.engine.batches import TensorBatches
from locution.errors import LocutionError, UserError, require

LONGEST = 256  # pieces of a text that are read, unless more are asked for
SHARE = 0.95  # of the texts are read whole


@dataclass(frozen=True)
class TextsData:
    """One's own texts, in a table or in folders, become examples to learn from and to be judged by.

    Parameters
    ----------
    path: a CSV, TSV, Parquet or JSON-lines file, or a folder with a folder of .txt files for each class. text, target:
    the names of their columns; usual names are found. answers: classes, values, or auto. pieces: words, or letters for
    all runs of three letters, hashed. most: words that are known, the most frequent. length: words that are read of a
    text, 0 for what 95 in 100 texts need, up to 256. development, test: shares held out where no column `split` says
    it. split: the seed that chooses them. leaks: warn of near copies across parts, refuse them, or off.

    The list of words is made of the texts to learn from alone. Texts without a word, exact copies and rows without a
    target are left out and said.

    >>> TextsData(path="none.csv").load(seed=0)
    Traceback (most recent call last):
    locution.errors.UserError: data.path is 'none.csv', which is not there; allowed: a CSV, TSV, Parquet or ...

    Reference: C. Manning, P. Raghavan, H. Schütze, 2008, "Introduction to information retrieval", chapter 13.
    """

    path: str = ""
    text: str = ""
    target: str = ""
    batch_size: int = 32
    answers: Literal["auto", "classes", "values"] = "auto"
    pieces: Pieces = "words"
    most: int = 20000
    length: int = 0
    development: float = 0.15
    test: float = 0.15
    split: int = 0
    leaks: Literal["warn", "refuse", "off"] = "warn"

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        require(self.most >= 1, "data.most", self.most, "a whole number from 1, usually 20000")
        require(0 <= self.length <= 10000, "data.length", self.length, "words from 1 to 10000, or 0")
        check_shares(self.development, self.test)

    def load(self, seed: int) -> Dataset:
        """Read the texts and split them; the run's seed has no part in it."""
        if not self.path:
            raise UserError("data.path is missing; allowed: data=TABLE text=COLUMN target=COLUMN, or data=FOLDER.")
        path = Path(self.path)
        files = walk(path) if path.is_dir() else [path]
        return kept(self, tuple((file, written(file)) for file in files))

    def dataset(self, rows: Rows, source: str) -> Dataset:
        """Clean the texts, split them, list their words, and look for near copies across the parts."""
        rows, cut, said = self.cleaned(rows)
        target, why = find_target(rows.target, rows.targets, self.answers)
        if why:
            said.append(f"{rows.target}: {why}.")
        codes = target.encode(rows.targets) if target.labels else torch.zeros(len(rows.texts), dtype=torch.int64)
        parts, how = into_parts(codes, rows.parts, (self.development, self.test), self.split)
        learnt = parts["train"].tolist()
        if target.labels:
            counts = torch.bincount(codes, minlength=len(target.labels)).tolist()
            said += class_lines(target.labels, counts, "text")
        target = standardised(target, [rows.targets[row] for row in learnt])
        reader, more = self.reader(
            [cut[row] for row in learnt], cut, TextReader((), 1, target, text=rows.text, examples=len(learnt))
        )
        inputs, targets = reader.encode(cut), target.encode(rows.targets)
        held: dict[str, Any] = {part: held_out(inputs[place], targets[place]) for part, place in parts.items()}
        return Dataset(
            TensorBatches(inputs[parts["train"]], targets[parts["train"]], batch_size=self.batch_size),
            held["development"],
            held["test"],
            inputs=reader.shape,
            outputs=reader.outputs,
            labels=reader.labels,
            source=source,
            notes=(*rows.said, *said, *how, *more),
            warnings=tuple(near_copies(rows.texts, parts, self.leaks)),
            reader=reader,
            sizes=reader.sizes,
        )

    def cleaned(self, rows: Rows) -> tuple[Rows, list[list[str]], list[str]]:
        """Cut the texts into words, and leave out those without any, without a target, and copies."""
        said = []
        cut = [tokens(text, self.pieces) for text in rows.texts]
        asked = [row for row, cell in enumerate(rows.targets) if cell]
        if len(asked) < len(rows.texts):
            said.append(f"{plural(len(rows.texts) - len(asked), 'row')} without {rows.target} left out.")
        filled = [row for row in asked if cut[row]]
        if len(filled) < len(asked):
            said.append(f"{plural(len(asked) - len(filled), 'text')} without a word left out.")
        kept, copies = without_copies(
            [plain(rows.texts[row]) for row in filled],
            [rows.targets[row] for row in filled],
            [rows.parts[row] for row in filled],
            "text",
        )
        left = [filled[row] for row in kept]
        if len(left) < 2:
            raise UserError(
                f"{plural(len(left), 'text')} of {len(rows.texts):,} can be learnt from; allowed: two or more."
            )
        return rows.take(left), [cut[row] for row in left], [*said, *copies]

    def reader(
        self, learnt: Sequence[Sequence[str]], every: Sequence[Sequence[str]], reader: TextReader
    ) -> tuple[TextReader, list[str]]:
        """Decide how long texts are and which words are known, by the texts to learn from alone."""
        lengths = sorted(len(text) for text in learnt)
        length = self.length or max(1, min(LONGEST, lengths[min(len(lengths) - 1, int(SHARE * len(lengths)))]))
        what = "word" if self.pieces == "words" else "piece of three letters"
        several = "words" if self.pieces == "words" else "pieces of three letters"
        words = list_words(learnt, self.most) if self.pieces == "words" else []
        said = []
        if words:
            seen = len({word for text in learnt for word in text})
            rest = f"; the {seen - len(words):,} others, seen once or rarely, are one unknown word" * (
                seen > len(words)
            )
            said.append(f"{plural(len(words), 'word')} known, of those to learn from alone{rest}.")
        over = sum(len(text) > length for text in every)
        if over:
            said.append(f"{plural(over, 'text')} cut behind {plural(length, what, several)}; data.length=N reads more.")
        return replace(reader, words=tuple(words), length=length, pieces=self.pieces), said


@lru_cache(maxsize=1)
def kept(part: TextsData, stamps: tuple[tuple[Path, tuple[int, int]], ...]) -> Dataset:
    """Read texts once for all runs of a process, such as those of a comparison, until one of their files changes."""
    path = Path(part.path)
    return part.dataset(find_texts(path, part.text, part.target), path.name)


def near_copies(texts: Sequence[str], parts: dict[str, torch.Tensor], leaks: str) -> list[str]:
    """Look for held-out texts that are near copies of some to learn from, and say which."""
    if leaks == "off":
        return []
    said = []
    learnt = [texts[row] for row in parts["train"].tolist()]
    for part, what in (("test", "to be judged by"), ("development", "to tune on")):
        held = [texts[row] for row in parts[part].tolist()]
        pairs = near_duplicate_texts(learnt, held)
        if pairs:
            are = "is a near copy of one" if len(pairs) == 1 else "are near copies of some"
            shown = named([f'"{" ".join(held[pair.second].split())[:60]}"' for pair in pairs], 2)
            count = plural(len(pairs), "text")
            said.append(f"{count} {what} {are} to learn from, so that figures flatter: {shown}.")
    if said and leaks == "refuse":
        raise LocutionError(f"{said[0]} Take them out, or say data.leaks=warn.")
    return said
