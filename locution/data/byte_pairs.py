"""Byte-pair encoding: a text as tokens, each a run of bytes that often stand together."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from locution.errors import UserError, require

END, MASK = 0, 1  # the mark between texts, and the one that hides a token
MARKS = ("<end>", "[MASK]")
FIRST = len(MARKS)  # the token of byte 0; byte 255 is token 257, then come the merges
BYTES = 256
# a word with the space before it, a run of digits, of other signs or of white space: no merge crosses their borders
PIECE = re.compile(r" ?[^\W\d_]+| ?\d{1,3}| ?(?:_|[^\w\s])+|\s+(?!\S)|\s+")

Pair = tuple[int, int]


def pieces(text: str) -> list[str]:
    """Cut a text into words and runs of signs, the space before each with it; together they are the text.

    >>> pieces("It isn't 42,  no")
    ['It', ' isn', "'", 't', ' 42', ',', ' ', ' no']
    """
    return PIECE.findall(text)


def joined(tokens: Sequence[int], pair: Pair, number: int) -> list[int]:
    """Put a token in the place of each pair of tokens that stand together, from the left.

    >>> joined([1, 2, 2, 2, 1, 2], (2, 2), 9)
    [1, 9, 2, 1, 2]
    """
    found, at = [], 0
    while at < len(tokens):
        both = at + 1 < len(tokens) and (tokens[at], tokens[at + 1]) == pair
        found.append(number if both else tokens[at])
        at += 2 if both else 1
    return found


def learn_merges(texts: Iterable[str], count: int) -> list[Pair]:
    """Byte-pair encoding (BPE) learns tokens by joining, again and again, the two that most often stand together.

    Begins with single bytes, so that every text can be written, in any script; returns up to `count` pairs, in the
    order in which they are joined. Of pairs that are as frequent, the one with the smaller numbers comes first. No pair
    that stands together only once is joined.

    >>> merges = learn_merges(["low low low low low lower lower newest newest newest widest"], 3)
    >>> tokenizer = Tokenizer(merges)
    >>> [tokenizer.text([258 + number]) for number in range(3)]
    ['lo', 'low', ' low']

    Reference: R. Sennrich, B. Haddow, A. Birch, 2016, "Neural machine translation of rare words with subword units",
    algorithm 1; A. Radford et al., 2019, "Language models are unsupervised multitask learners", section 2.2 (of bytes).
    """
    counts = Counter(piece for text in texts for piece in pieces(text))
    words = [[FIRST + byte for byte in piece.encode("utf-8", "replace")] for piece in counts]
    weights = list(counts.values())
    seen: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for at, word in enumerate(words):
        for pair in pairwise(word):
            seen[pair] += weights[at]
            where[pair].add(at)
    merges: list[Pair] = []
    while len(merges) < count and seen:
        best = min(seen, key=lambda pair: (-seen[pair], pair))
        if seen[best] < 2:
            break
        for at in where.pop(best):
            before = words[at]
            after = words[at] = joined(before, best, FIRST + BYTES + len(merges))
            for pair in pairwise(before):
                seen[pair] -= weights[at]
            for pair in pairwise(after):
                seen[pair] += weights[at]
                where[pair].add(at)
        seen = +seen  # without those that are gone
        merges.append(best)
    return merges


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer writes a text as tokens, whole numbers that a model reads, and reads tokens back as a text.

    Token 0 marks an end, 1 hides a token, the next 256 are the single bytes of UTF-8, so that any text can be written
    and comes back as it was; then come the merges, each of two tokens before it.

    >>> tokenizer = Tokenizer([(2 + ord("a"), 2 + ord("b"))])
    >>> tokenizer.encode("abba"), tokenizer.text([258, 100])
    ([258, 100, 99], 'abb')
    >>> tokenizer.text(tokenizer.encode("naïve 🙂"))
    'naïve 🙂'

    Reference: R. Sennrich, B. Haddow, A. Birch, 2016, "Neural machine translation of rare words with subword units",
    section 3.2.
    """

    merges: Sequence[Pair]
    _known: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for at, pair in enumerate(self.merges):
            fine = len(pair) == 2 and all(FIRST <= token < FIRST + BYTES + at for token in pair)
            require(fine, "merge", tuple(pair), f"two tokens from {FIRST} up to {FIRST + BYTES + at - 1}")

    def __len__(self) -> int:
        return FIRST + BYTES + len(self.merges)

    @cached_property
    def ranks(self) -> Mapping[Pair, int]:
        """The place of each pair in the order of merges."""
        return {pair: at for at, pair in enumerate(self.merges)}

    @cached_property
    def spelled(self) -> list[bytes]:
        """The bytes of each token; those of the marks are none."""
        found = [b""] * FIRST + [bytes([byte]) for byte in range(BYTES)]
        for one, other in self.merges:
            found.append(found[one] + found[other])
        return found

    def encode(self, text: str) -> list[int]:
        """Write a text as tokens."""
        return [token for piece in pieces(text) for token in self.piece(piece)]

    def piece(self, piece: str) -> list[int]:
        """Write a piece as tokens: its bytes, joined in the order in which the merges were learnt."""
        if piece not in self._known:
            tokens = [FIRST + byte for byte in piece.encode("utf-8", "replace")]
            while len(tokens) > 1:
                rank, pair = min((self.ranks.get(pair, len(self)), pair) for pair in pairwise(tokens))
                if rank == len(self):
                    break
                tokens = joined(tokens, pair, FIRST + BYTES + rank)
            self._known[piece] = tokens
        return self._known[piece]

    def text(self, tokens: Iterable[int]) -> str:
        """Read tokens as a text, without the marks; bytes that are no letter become a question mark."""
        return b"".join(self.spelled[token] for token in tokens).decode("utf-8", "replace")

    def name(self, token: int) -> str:
        """Write one token so that a person sees it: marks by their names, bytes that are no letter as numbers.

        >>> [Tokenizer([]).name(token) for token in (0, 1, 34, 12, 200)]
        ['<end>', '[MASK]', '␣', '⏎', 'xC6']
        """
        if token < FIRST:
            return MARKS[token]
        name = self.spelled[token].decode("utf-8", "replace").replace(" ", "␣").replace("\n", "⏎")
        return name if self.readable(token) else "x" + self.spelled[token].hex().upper()

    def readable(self, token: int) -> bool:
        """Say whether a token is whole letters that a person can read; parts of letters and controls are not.

        >>> [Tokenizer([]).readable(token) for token in (34, 12, 200)]  # a space, a new line, a part of a letter
        [True, True, False]
        """
        name = self.spelled[token].decode("utf-8", "replace").replace("\n", "⏎")
        return name.isprintable() and "\N{REPLACEMENT CHARACTER}" not in name

    def sizes(self) -> list[int]:
        """Count the bytes of each token."""
        return [len(spelled) for spelled in self.spelled]

    def as_json(self) -> dict[str, Any]:
        """The tokenizer as plain data."""
        return {"kind": "byte pairs", "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Tokenizer:
        """Take back what `as_json` gave."""
        if kept.get("kind") != "byte pairs":
            raise UserError(f"the tokenizer is of the kind {kept.get('kind')!r}; allowed: 'byte pairs'.")
        return cls([(int(one), int(other)) for one, other in kept["merges"]])
