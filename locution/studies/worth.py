"""The measured worth of each term: its comparison made once, and kept beside the vocabulary."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from locution.engine.durable import make_folder, write_text
from locution.errors import UserError, unknown
from locution.recipe import resolve
from locution.studies.compare import Comparison, compare
from locution.studies.variants import Variant, read_words
from locution.vocabulary.lookup import Term, find, terms
from locution.vocabulary.measured import EFFECTS, Stored, current, read

OPTIONS = ("metric", "against", "equal")


@dataclass(frozen=True)
class Question:
    """What a term's `effect` asks: a recipe, the words of a comparison, and its options.

    >>> Question.of('digits epochs=3 "hot: optimizer.lr=1.0" --metric accuracy').words
    ('epochs=3', 'hot: optimizer.lr=1.0')
    """

    recipe: str
    words: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, effect: str) -> Question:
        """Read it from the words after `locution compare`."""
        words, options = shlex.split(effect), dict[str, str]()
        while any(word.startswith("--") for word in words):
            place = next(index for index, word in enumerate(words) if word.startswith("--"))
            name, _, value = words.pop(place)[2:].partition("=")
            if name not in OPTIONS:
                raise unknown("option that an effect takes", name, OPTIONS)
            if not value and place == len(words):
                raise UserError(f"--{name} came without a value in the effect '{effect}'; allowed: --{name} VALUE.")
            options[name] = value or words.pop(place)
        if not words:
            raise UserError(f"the effect '{effect}' names no recipe; allowed: a recipe and what is compared on it.")
        return cls(words[0], tuple(words[1:]), options)

    def digests(self) -> dict[str, str]:
        """Name what each variant trains: a measurement holds for recipes of these digests."""
        shared, variants = read_words(self.words)
        every = variants if "against" in self.options else [Variant("plain"), *variants]
        return {one.name: resolve(self.recipe, (*shared, *one.words)).digest() for one in every}


def machine() -> str:
    """Name the processor and how many of it there are."""
    name = ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or 'a processor'} ({os.cpu_count()} cores)"


def chosen(names: Sequence[str]) -> list[Term]:
    """Find the terms whose effect is asked for; all that have one if none is named."""
    if not names:
        return [term for term in terms().values() if term.effect]
    found = [find(name) for name in names]
    for term in found:
        if not term.effect:
            raise UserError(f"'{term.name}' says no effect in terms.yaml; allowed: a term that names its comparison.")
    return found


def up_to_date(term: Term, seeds: int, folder: Path = EFFECTS) -> bool:
    """Say whether what a term asks was measured, with so many seeds and recipes that are still the same."""
    stored = read(term.name, folder)
    if stored is None or not current(term, stored) or stored["seeds"] < seeds:
        return False
    return bool(stored["recipes"] == Question.of(term.effect).digests())


def measure(term: Term, *, seeds: int = 10, workers: int = 1, folder: Path = EFFECTS, quiet: bool = False) -> Stored:
    """The effect of a method is measured by the comparison that its term names, and kept with its conditions.

    What of the comparison's runs is done is not trained again. Returns what was written to `folder/TERM.json`.

    Reference: A. Newell, 1975, "A tutorial on speech understanding systems" (the word ablation).
    """
    asked = Question.of(term.effect)
    digests = asked.digests()
    options: dict[str, Any] = {**asked.options}
    found, _ = compare(asked.recipe, *asked.words, seeds=seeds, workers=workers, quiet=quiet, **options)
    stored = kept(term, found, digests)
    written = json.dumps(stored, indent=1, ensure_ascii=False)
    make_folder(folder)
    write_text(folder / f"{term.name}.json", written + "\n")
    again: Stored = json.loads(written)
    return again


def kept(term: Term, found: Comparison, digests: dict[str, str]) -> dict[str, Any]:
    """Take from a comparison what is kept of it."""
    return {
        "term": term.name,
        "effect": term.effect,
        "command": f"locution compare {term.effect} --seeds {found.seeds}",
        **{key: getattr(found, key) for key in ("recipe", "shared", "plain", "seeds", "first", "equal", "budgets")},
        "effects": [one.as_json() for one in found.effects],
        "endings": [one.as_json() for one in found.endings],
        "failures": found.failures,
        "parameters": found.parameters,
        "seconds": round(found.seconds, 1),
        "recipes": digests,
        "environment": found.environment,
        "machine": machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
