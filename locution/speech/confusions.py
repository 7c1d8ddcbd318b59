"""Which words went wrong: taken for others, lost, made up; and which of that no ear could have avoided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from locution.speech.homophones import homophones
from locution.speech.wer import Pair, align

Couple = tuple[str, str]  # what was said, what was written
_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half quarter dozen
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth hundredth thousandth
"""
NUMBERS = frozenset(_NUMBERS.split())


def is_number(word: str) -> bool:
    """Say whether a word is a number, spelt out or in digits.

    >>> [is_number(word) for word in ("forty", "7th", "fort")]
    [True, True, False]
    """
    return word in NUMBERS or word[:1].isdigit()


@dataclass(frozen=True)
class Confusions:
    """A confusion is a word taken for another; counted here beside the words that were lost and those made up.

    said: how often each word was said. taken: (said, written) and how often. lost, made_up: words and how often.

    >>> found = Confusions.of(["forty two lights"], ["fourteen two lights on"])
    >>> found.taken, found.made_up
    (Counter({('forty', 'fourteen'): 1}), Counter({'on': 1}))
    >>> found.numbers()  # of two numbers one was taken for another
    NumberErrors(said=2, taken=1, lost=0, made_up=0)

    Reference: G. A. Miller and P. E. Nicely, 1955, "An Analysis of Perceptual Confusions Among Some English
    Consonants", section II (confusions counted by what was said and what was heard).
    """

    said: Counter[str] = field(default_factory=Counter)
    taken: Counter[Couple] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    made_up: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, said: Iterable[str], written: Iterable[str]) -> Confusions:
        """Align many utterances and count."""
        found = cls()
        for one, other in zip(said, written, strict=True):
            found.said.update(one.split())
            if one != other:
                for pair in align(one, other):
                    found.add(pair)
        return found

    def add(self, pair: Pair) -> None:
        """Count one place of an alignment."""
        if pair.kind == "substitution":
            self.taken[str(pair.said), str(pair.written)] += 1
        elif pair.kind == "deletion":
            self.lost[str(pair.said)] += 1
        elif pair.kind == "insertion":
            self.made_up[str(pair.written)] += 1

    @cached_property
    def homophones(self) -> Counter[Couple]:
        """Count the errors that no ear could avoid: a word taken for another that sounds the same."""
        return Counter({pair: count for pair, count in self.taken.items() if homophones(*pair)})

    def numbers(self) -> NumberErrors:
        """Count the errors in numbers: any number that was not written as it was said, or that nobody said."""
        return NumberErrors(
            sum(count for word, count in self.said.items() if is_number(word)),
            sum(count for (word, _), count in self.taken.items() if is_number(word)),
            sum(count for word, count in self.lost.items() if is_number(word)),
            sum(count for word, count in self.made_up.items() if is_number(word)),
        )

    def number_pairs(self) -> Counter[Couple]:
        """Count which number was taken for which other number, such as forty for fourteen."""
        return Counter({pair: count for pair, count in self.taken.items() if all(map(is_number, pair))})


@dataclass(frozen=True)
class NumberErrors:
    """Number words: how many were said, and how many of them were taken for another word, lost, or made up."""

    said: int
    taken: int
    lost: int
    made_up: int

    @property
    def rate(self) -> float:
        """Errors for each number word that was said; 0 where none was."""
        return (self.taken + self.lost + self.made_up) / self.said if self.said else 0.0


def confusions(said: Iterable[str], written: Iterable[str]) -> Counter[Couple]:
    """Count which word was taken for which, over many utterances; `most_common()` sorts them.

    >>> confusions(["i hear you", "come here"], ["i here you", "come here"]).most_common()
    [(('hear', 'here'), 1)]
    """
    return Confusions.of(said, written).taken


def homophone_errors(said: Iterable[str], written: Iterable[str]) -> Counter[Couple]:
    """Count the errors that no ear could avoid: a word taken for another that sounds the same.

    >>> homophone_errors(["i hear you two"], ["i here you too"])
    Counter({('hear', 'here'): 1, ('two', 'too'): 1})
    """
    return Confusions.of(said, written).homophones
