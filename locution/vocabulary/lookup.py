"""Find a part by the name that the field gives it."""

from __future__ import annotations

import importlib
import unicodedata
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from locution.errors import LocutionError, UserError, nearest, unknown

TERMS = Path(__file__).with_name("terms.yaml")
KINDS = (
    "concept",
    "data",
    "estimator",
    "function",
    "method",
    "model",
    "objective",
    "observer",
    "optimizer",
    "projector",
    "task",
    "tracker",
)


@dataclass(frozen=True)
class Term:
    """A term: what only a person can say of it; its definition, example and source stand in the code it names.

    recipe: the words after `locution train` that show it. effect: those after `locution compare` that measure what it
    is worth.
    """

    name: str
    row: int
    title: str
    kind: str
    code: str
    aliases: tuple[str, ...] = ()
    recipe: str = ""
    effect: str = ""

    def load(self) -> Any:
        """Import the part that the term names."""
        module, _, path = self.code.partition(":")
        part: Any = importlib.import_module(module)
        for attribute in path.split("."):
            part = getattr(part, attribute)
        return part


def plain(name: str) -> str:
    """Write a name the way it is looked up: without capitals and accents.

    >>> plain("Sharpness-Aware Minimisation"), plain("Fréchet distance")
    ('sharpness_aware_minimisation', 'frechet_distance')
    """
    letters = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    return "_".join(letters.lower().replace("-", " ").replace("_", " ").split())


@cache
def terms() -> dict[str, Term]:
    """Read the list of terms: name to term, in the order of the vocabulary's rows."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(TERMS.read_text(encoding="utf-8"), loader)
    allowed = {field.name for field in fields(Term)} - {"name"}
    found = []
    for name, entry in entries.items():
        odd = set(entry) - allowed
        if odd or entry.get("kind") not in KINDS:
            raise LocutionError(
                f"terms.yaml: '{name}' has {sorted(odd) or entry.get('kind')}; kinds are {', '.join(KINDS)}."
            )
        found.append(Term(name=name, **{**entry, "aliases": tuple(entry.get("aliases", ()))}))
    return {term.name: term for term in sorted(found, key=lambda term: term.row)}


@cache
def spellings() -> dict[str, str]:
    """Map every spelling, alias and title to the name of its term."""
    known: dict[str, str] = {}
    for term in terms().values():
        for spelling in (term.title, *term.aliases, term.name):
            known[plain(spelling)] = term.name
    return known


def find(name: str) -> Term:
    """Find a term by its name, its title or one of its aliases.

    >>> find("SAM").name
    'sam'
    """
    known = spellings()
    if plain(name) in known:
        return terms()[known[plain(name)]]
    guess = nearest(plain(name), known)
    hint = f" Did you mean '{known[guess]}'?" if guess else ""
    raise UserError(f"'{name}' is no term of the vocabulary.{hint} All {len(terms())}: locution terms.")


def names(kind: str) -> list[str]:
    """List the names of all parts of a kind.

    >>> "sam" in names("method")
    True
    """
    return [term.name for term in terms().values() if term.kind == kind]


def part(kind: str, name: str) -> Any:
    """Import the part of this kind that bears this name, or one of its aliases; refuse any other name.

    >>> part("method", "samm")
    Traceback (most recent call last):
    locution.errors.UserError: 'samm' is no method. Did you mean 'sam'? ...
    """
    term = terms().get(spellings().get(plain(name), ""))
    if term is None or term.kind != kind:
        raise unknown(kind, name, names(kind))
    return term.load()
