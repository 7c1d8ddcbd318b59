"""The vocabulary in the terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from locution.errors import LocutionError, UserError, unknown
from locution.vocabulary import lookup
from locution.vocabulary.entry import Entry
from locution.vocabulary.measured import conditions, sentences

FEW = 40  # terms of which it is also said what they are
FAMILIES = {
    "images": "pictures of one's own, in a folder: data=FOLDER",
    "table": "a table of one's own: data=FILE target=COLUMN",
    "texts": "texts of one's own: data=FILE or data=FOLDER; Python's documentation where none are named",
    "speech": "speech, of one's own or synthetic",
    "digits": "handwritten digits",
    "sprites": "drawn shapes whose causes are known",
    "": "small problems, each made to show one thing",
}


def recipes(about: str = "") -> None:
    """Print every recipe and what it is for, family by family; `about`: only those in which all these words stand."""
    import yaml
    from rich.text import Text

    from locution import config

    rows: dict[str, list[tuple[str, ...]]] = {family: [] for family in FAMILIES}
    for name in config.recipes():
        text = config.locate(name).read_text(encoding="utf-8")
        if all(word in f"{name}\n{text}".casefold() for word in about.casefold().split()):
            family = name.split("/")[0]
            rows[family if family in FAMILIES else ""].append((name, yaml.safe_load(text).get("describe", "")))
    if not any(rows.values()):
        raise UserError(f"no recipe is about '{about}'; allowed: other words, or none for all {len(config.recipes())}.")
    table: list[tuple[Any, ...]] = []
    for family, heading in FAMILIES.items():
        if rows[family]:
            table += [*([("", "")] if table else []), ("", Text(heading, style="bold")), *rows[family]]
    _table(["recipe", "what it does"], table)


def methods() -> None:
    """Print every method, the seams it fills and what it does."""
    from locution.engine.method import seams

    rows = []
    for name in lookup.names("method"):
        entry = Entry(lookup.terms()[name])
        rows.append((f"+{name}", ", ".join(seams(entry.part)), entry.definition))
    _table(["method", "seam", "what it does"], rows)


def terms(*, kind: str = "", row: int | None = None, about: str = "", as_json: bool = False) -> None:
    """Print every term; as JSON with everything that is known of it.

    kind, row: only those of a kind, or of a row of the vocabulary. about: only those in whose names or definition all
    these words stand. Of few it is also said what they are.
    """
    every = list(lookup.terms().values())
    kinds, numbers = sorted({term.kind for term in every}), sorted({term.row for term in every})
    if kind and kind not in kinds:
        raise unknown("kind of term", kind, kinds)
    if row is not None and row not in numbers:
        raise UserError(f"--row is {row}; allowed: a row of the vocabulary, from {numbers[0]} to {numbers[-1]}.")
    listed = [term for term in every if kind in ("", term.kind) and row in (None, term.row)]
    words = about.casefold().split()
    if words:
        listed = [term for term in listed if all(word in spoken_of(term) for word in words)]
    if not listed:
        raise UserError(f"no term is about '{about}' here; allowed: other words, or none for all {len(every)}.")
    if as_json:
        print(json.dumps([Entry(term).as_dict() for term in listed], ensure_ascii=False, indent=1))
    elif len(listed) > FEW:
        _table(["row", "term", "title", "kind"], [(str(t.row), t.name, t.title, t.kind) for t in listed])
    else:
        _table(["term", "kind", "what it is"], [(t.name, t.kind, Entry(t).definition) for t in listed])


def spoken_of(term: lookup.Term) -> str:
    """Write out what a term is called and what it is, in small letters."""
    return " ".join([term.name, term.title, *term.aliases, Entry(term).definition]).casefold()


def term(name: str, *, run: bool = False) -> None:
    """Print one term; with `run`, run its example and then its recipe."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    entry = Entry(lookup.find(name))
    console, found = Console(), entry.term
    article = "an" if found.kind[0] in "aeiou" else "a"
    console.print(Text(found.title, style="bold"), Text(f"  {found.name}, {article} {found.kind}", style="dim"), sep="")
    console.print(entry.definition, markup=False, highlight=False)
    for paragraph in entry.paragraphs:
        console.print()
        console.print(paragraph, markup=False, highlight=False)
    console.print()
    console.print(
        Padding(Syntax(entry.example, "pycon", theme="ansi_dark", background_color="default", word_wrap=True), (0, 2))
    )
    console.print()
    facts: list[tuple[str, Any]] = [
        ("source", entry.source),
        ("code", found.code),
        ("also called", ", ".join(found.aliases)),
        ("see it run", f"locution train {found.recipe}" if found.recipe else ""),
        *worth(entry),
    ]
    table = Table.grid(padding=(0, 2, 0, 0))
    for label, fact in facts:
        if fact:
            table.add_row(Text(label, style="dim"), Text(str(fact)))
    console.print(table)
    if run:
        _run(entry)


def worth(entry: Entry) -> list[tuple[str, str]]:
    """Say what a term was measured to be worth, and under which conditions; or how to measure it."""
    if entry.measured is None:
        asked = entry.term.effect
        return [("worth", f"not measured yet: locution compare {asked} --seeds 10")] if asked else []
    said = sentences(entry.measured)
    return [("worth", said[0]), *(("", line) for line in said[1:]), ("measured", conditions(entry.measured))]


def _run(entry: Entry) -> None:
    failed, ran, said = entry.run_example()
    print(f"\nexample: {ran - failed} of {ran} lines gave what they promise")
    if failed:
        print(said)
        raise LocutionError(f"the example of '{entry.term.name}' does not give what it promises.")
    if entry.term.recipe and not entry.term.recipe.startswith("speech"):
        from locution import runs

        print(f"\n$ locution train {entry.term.recipe}")
        runs.train(*shlex.split(entry.term.recipe))


def _table(head: list[str], rows: Sequence[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in head:
        table.add_column(column, no_wrap=column == head[0])
    for row in rows:
        table.add_row(*row)
    Console().print(table)
