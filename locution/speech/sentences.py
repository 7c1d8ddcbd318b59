"""Sentences to speak: an endless, repeatable supply of English text, kept apart by split."""

from __future__ import annotations

import hashlib
import random
import re
from functools import cache
from importlib import resources

from locution.errors import unknown
from locution.speech.words import spell_number, spell_ordinal, word_classes

KINDS = ("commands", "everyday", "prose")
SPLITS = ("train", "dev", "test")
SHUFFLED = 0.12  # of the commands: their words in a random order, which no language model can guess
Grammar = dict[str, list[list[str]]]


def split_of(text: str) -> str:
    """Say which split a sentence belongs to, whoever draws it: 92 % train, 3 % dev, 5 % test.

    The hash is of the sorted words, so that a test sentence in another word order is never trained on.

    >>> split_of("turn on the light") == split_of("light the on turn")
    True
    """
    digest = hashlib.blake2b(" ".join(sorted(text.split())).encode(), digest_size=4).digest()
    share = int.from_bytes(digest, "little") % 100
    return "train" if share < 92 else "dev" if share < 95 else "test"


@cache
def grammar(name: str) -> Grammar:
    """Read a grammar file of this package: a rule a line, its choices between bars.

    >>> grammar("commands")["onoff"]
    [['on'], ['off']]
    """
    rules: Grammar = {}
    text = resources.files("locution.speech").joinpath(f"{name}.txt").read_text("ascii")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            rule, choices = line.split(" = ", 1)
            rules[rule] = [re.split(r"(?<=\})|(?=\{)", choice) for choice in choices.split(" | ")]
            rules[rule] = [[piece for piece in choice if piece] for choice in rules[rule]]
    return rules


def expand(rules: Grammar, rule: str, draw: random.Random) -> str:
    """Expand one rule of a grammar into words, drawing every choice.

    >>> rules = {"greeting": [["hello ", "{who}"]], "who": [["world"]]}
    >>> expand(rules, "greeting", random.Random(0))
    'hello world'
    """
    return "".join(slot(rules, piece, draw) for piece in draw.choice(rules[rule]))


def slot(rules: Grammar, piece: str, draw: random.Random) -> str:
    """Fill a slot of a rule: plain text, a number {n 1 12}, an ordinal {nth 1 9}, a word class or a rule."""
    if not piece.startswith("{"):
        return piece
    name, *bounds = piece[1:-1].split()
    if bounds:
        return (spell_number if name == "n" else spell_ordinal)(draw.randint(int(bounds[0]), int(bounds[1])))
    if name.isupper():
        return draw.choice(word_classes()[name])
    return expand(rules, name, draw)


@cache
def prose() -> tuple[str, ...]:
    """Collect sentences of 3 to 14 plain words from the manual that Python carries (pydoc_data.topics).

    The manual changes a little with the version of Python, so this kind is repeatable within one version.

    >>> len(prose()) > 400
    True
    """
    from pydoc_data import topics

    found: dict[str, None] = {}
    for _, page in sorted(topics.topics.items()):
        for block in re.split(r"\n\s*\n", page):
            for part in re.split(r"(?<=[a-z)])[.:;]\s", " ".join(block.split()) + " "):
                text = part.strip().lower().replace(",", "")
                if re.fullmatch(r"[a-z' ]+", text) and 3 <= len(text.split()) <= 14:
                    found[" ".join(text.strip("' ").split())] = None
    return tuple(text for text in found if max(map(len, text.split())) <= 15)


def propose(kind: str, draw: random.Random) -> str:
    """Draw one sentence of a kind, of whatever split."""
    if kind == "prose":
        return draw.choice(prose())
    text = expand(grammar(kind), "sentence", draw)
    if kind == "commands":
        words = text.split()
        if draw.random() < SHUFFLED:
            draw.shuffle(words)
        return " ".join(words)
    return re.sub(r"\ba(?= [aeiou])", "an", text)


def fits(kind: str, text: str) -> bool:
    """Say whether a sentence is as long as one breath: 4 to 12 words for commands, 2 to 14 for the rest."""
    low, high = (4, 12) if kind == "commands" else (2, 14)
    return low <= len(text.split()) <= high


def sentence(seed: int, split: str, index: int, kind: str = "commands") -> str:
    """Write the sentence number `index` of a split: lower-case words, numbers spelt out, no punctuation.

    `kind`: "commands" (about 600 words: commands, numbers, dates, small messages; 12 % in random word order),
    "everyday" (a grammar over 2,600 common words) or "prose" (from Python's manual). The same four
    arguments give the same sentence; no sentence, in whatever word order, belongs to two splits.

    >>> sentence(0, "test", 1) == sentence(0, "test", 1)
    True
    >>> split_of(sentence(0, "test", 2, "everyday"))
    'test'
    """
    if kind not in KINDS:
        raise unknown("kind of sentence", kind, KINDS)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    draw = random.Random(f"{seed}/{split}/{index}/{kind}")  # seeded by SHA-512 of the text, alike everywhere
    while True:
        text = propose(kind, draw)
        if fits(kind, text) and split_of(text) == split:
            return text
