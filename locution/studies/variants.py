"""What is compared: a recipe as it is, and variants of it, read from the words of a command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from locution.errors import UserError

NAMED = re.compile(r"^([\w+.-]+):\s+(.*)$", re.DOTALL)
METHODS = re.compile(r"\+[A-Za-z][\w-]*")


@dataclass(frozen=True)
class Variant:
    """A variant is a recipe with something changed: its name, and the overrides that make the change.

    >>> Variant("sam", ("+sam", "+sam.rho=0.1")).slug
    'sam'
    """

    name: str
    words: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """Its name as a folder may be called."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-.") or "variant"


def read_words(words: Sequence[str]) -> tuple[list[str], list[Variant]]:
    """Tell what all runs share (key=value) from the variants: +method, +one+another, or one quoted group of words.

    A group may say its name before a colon: "wide: model.width=128 steps=200"; a value with spaces stands in quotes.

    >>> shared, variants = read_words(["steps=20", "+sam", "+mixup+sam", "hot: optimizer.lr=1.0 +sam.rho=0.1"])
    >>> shared
    ['steps=20']
    >>> [(variant.name, variant.words) for variant in variants]
    [('sam', ('+sam',)), ('mixup+sam', ('+mixup', '+sam')), ('hot', ('optimizer.lr=1.0', '+sam.rho=0.1'))]
    """
    shared, variants = [], []
    for word in words:
        named = NAMED.match(word.strip())
        if named:
            variants.append(Variant(named[1], tuple(_split(named[2]))))
        elif word.startswith("+") or " " in word.strip():
            variants.append(Variant(_name(word), tuple(_split(word))))
        elif "=" in word or word.startswith(("-", "~")):
            shared.append(word)
        else:
            raise UserError(
                f"'{word}' is neither; allowed: key=value for all runs, +method, or a quoted variant 'name: words'."
            )
    names = [variant.name for variant in variants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"the variant '{twice[0]}' came twice; allowed: each name once, as in '{twice[0]}-2: words'.")
    return shared, variants


def _split(words: str) -> list[str]:
    try:
        several = shlex.split(words)
    except ValueError as error:
        raise UserError(f"'{words}' cannot be read: {str(error).lower()}; allowed: quotes in pairs.") from error
    found: list[str] = []
    for word in several:
        found += METHODS.findall(word) if "=" not in word and word.startswith("+") else [word]
    return found


def _name(word: str) -> str:
    return word.strip().removeprefix("+")
