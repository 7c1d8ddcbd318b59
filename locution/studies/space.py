"""What is searched: the settings of a recipe that may vary, read from the words of a command line."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from locution.errors import UserError, nearest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = str | float | int | bool
KINDS = ("log", "lin", "int", "logint")
RANGE = re.compile(r"^([A-Za-z]+):(?:([^:]+):([^:]+)|.*)$")
SWITCH = re.compile(r"^\+([A-Za-z]\w*)\?$")
GRAMMAR = "log:0.0001:0.1, lin:0:0.5, int:1:8, logint:16:1024, or choices with commas between"


@dataclass(frozen=True)
class Dimension:
    """A setting that may vary: over a range (kind lin, log, int, logint), among choices, or a method on or off.

    >>> Dimension("optimizer.lr", "log", 1e-4, 0.1).word(0.01)
    'optimizer.lr=0.01'
    >>> Dimension("sam", "switch").word(True), Dimension("sam", "switch").word(False)
    ('+sam', '')
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    off: str = ""  # the word that switches a method off, where it would be on otherwise

    @property
    def whole(self) -> bool:
        """Say whether it counts."""
        return self.kind.endswith("int")

    @property
    def log(self) -> bool:
        """Say whether it is searched by its logarithm."""
        return self.kind.startswith("log")

    def word(self, value: Value) -> str:
        """Write one value of it as a word of the command line; nothing for a method that stays off."""
        if self.kind == "switch":
            return f"+{self.name}" if value else self.off
        if isinstance(value, float):
            return f"{self.name}={value:.6g}"
        return f"{self.name}={value}"

    def values(self) -> list[Value] | None:
        """List all values it can take; None where they cannot be counted."""
        if self.kind == "switch":
            return [False, True]
        if self.choices:
            return list(self.choices)
        return list(range(int(self.low), int(self.high) + 1)) if self.whole else None

    def distribution(self) -> BaseDistribution:
        """Say it in optuna's terms."""
        from optuna import distributions as are

        if self.kind == "switch":
            return are.CategoricalDistribution((False, True))
        if self.choices:
            return are.CategoricalDistribution(self.choices)
        if self.whole:
            return are.IntDistribution(int(self.low), int(self.high), log=self.log)
        return are.FloatDistribution(self.low, self.high, log=self.log)


def read_space(words: Sequence[str]) -> tuple[list[str], list[Dimension]]:
    """Tell what is fixed from what varies: key=log:0.0001:0.1, key=32,64,128, +method? for a method on or off.

    >>> fixed, space = read_space(["epochs=5", "optimizer.lr=log:1e-4:1e-1", "model.widths=[32],[64,64]", "+sam?"])
    >>> fixed
    ['epochs=5']
    >>> [(one.name, one.kind, one.choices) for one in space]
    [('optimizer.lr', 'log', ()), ('model.widths', 'choice', ('[32]', '[64,64]')), ('sam', 'switch', ())]
    """
    fixed, space = [], []
    for word in words:
        found = _dimension(word)
        if found is None:
            fixed.append(word)
        else:
            space.append(found)
    names = [one.name for one in space]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"'{twice[0]}' varies twice; allowed: each setting once.")
    for word in fixed:
        key, sign, _ = word.partition("=")
        if sign and key in names:
            raise UserError(f"'{key}' varies and '{word}' sets it; allowed: one of the two.")
        if word[1:] in names and word[0] in "+-~":
            raise UserError(f"'{word}' and '+{word[1:]}?' were both asked for; allowed: one of the two.")
    if not space:
        raise UserError(f"nothing varies; allowed: at least one key with {GRAMMAR}, or +method?.")
    return fixed, space


def _dimension(word: str) -> Dimension | None:
    switch = SWITCH.match(word)
    if switch:
        return Dimension(switch[1], "switch")
    key, sign, value = word.partition("=")
    if not sign:
        return None
    found = RANGE.match(value)
    if found and found[1] in KINDS and found[2] is None:
        raise UserError(f"{word} is no range; allowed: two numbers, as in {GRAMMAR}.")
    if found and found[1] in KINDS:
        return _range(key, found[1], found[2], found[3])
    guess = nearest(found[1], KINDS) if found and found[2] is not None else None
    if found and guess:
        raise UserError(f"{word}: '{found[1]}:' is no kind of range. Did you mean '{guess}:'? Allowed: {GRAMMAR}.")
    choices = split_choices(value)
    if len(choices) < 2:
        return None
    if len(set(choices)) < len(choices) or "" in choices:
        raise UserError(f"{key} came with the choices {value}; allowed: each once, none of them empty.")
    return Dimension(key, "choice", choices=tuple(choices))


def _range(key: str, kind: str, first: str, last: str) -> Dimension:
    try:
        low, high = float(first), float(last)
    except ValueError:
        raise UserError(f"{key}={kind}:{first}:{last} is no range; allowed: two numbers, as in {GRAMMAR}.") from None
    fine = math.isfinite(low) and math.isfinite(high) and low < high and (low > 0 or not kind.startswith("log"))
    if not fine or (kind.endswith("int") and (low % 1 or high % 1)):
        whole = ", whole" if kind.endswith("int") else ""
        above = ", above 0" if kind.startswith("log") else ""
        raise UserError(f"{key} goes from {first} to {last}; allowed: a lower and a higher number{whole}{above}.")
    return Dimension(key, kind, low, high)


def split_choices(text: str) -> list[str]:
    """Cut at the commas that stand in no brackets and no quotes.

    >>> split_choices("[32],[64,64]"), split_choices("relu,gelu"), split_choices("[1,2]")
    (['[32]', '[64,64]'], ['relu', 'gelu'], ['[1,2]'])
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def switched(space: Sequence[Dimension], on: Collection[str]) -> list[Dimension]:
    """Let `+method?` try without the method too where it is on already, by the recipe or by a setting of its own.

    >>> [one.word(False) for one in switched([Dimension("sam", "switch"), Dimension("mixup", "switch")], ["sam"])]
    ['-sam', '']
    """
    set_by = {one.name[1:].partition(".")[0] for one in space if one.name.startswith("+")}
    return [
        replace(one, off=f"-{one.name}") if one.kind == "switch" and one.name in {*on, *set_by} else one
        for one in space
    ]


def points(space: Sequence[Dimension], most: int) -> list[dict[str, Value]]:
    """List all points of a space that has at most so many; nothing where it has more.

    >>> len(points([Dimension("a", "int", 1, 3), Dimension("sam", "switch")], 6))
    6
    >>> points([Dimension("a", "int", 1, 3), Dimension("sam", "switch")], 5), points([Dimension("lr", "log")], 5)
    ([], [])
    """
    values = [one.values() for one in space]
    if any(one is None for one in values) or math.prod(len(one or ()) for one in values) > most:
        return []
    return [
        dict(zip((one.name for one in space), point, strict=True))
        for point in product(*map(list, filter(None, values)))
    ]


def words_of(space: Sequence[Dimension], values: Mapping[str, Value]) -> list[str]:
    """Write a point of the space as words of the command line.

    >>> words_of([Dimension("optimizer.lr", "log", 1e-4, 0.1), Dimension("sam", "switch")],
    ...          {"optimizer.lr": 0.012345678, "sam": True})
    ['optimizer.lr=0.0123457', '+sam']
    """
    words = [word for one in space if (word := one.word(values[one.name]))]
    return sorted(words, key=lambda word: word.startswith("-"))  # what a setting switched on is switched off after it
