"""The vocabulary in the terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from locution.errors import LocutionError
from locution.vocabulary import lookup
from locution.vocabulary.entry import Entry
from locution.vocabulary.measured import conditions, sentences


def recipes() -> None:
    """Print every recipe and what it shows."""
    from locution import config

    rows = []
    for name in config.recipes():
        head = config.locate(name).read_text(encoding="utf-8").split("\n", 1)[0]
        rows.append((name, head.lstrip("# ").strip()))
    _table(["recipe", "what it shows"], rows)


def methods() -> None:
    """Print every method, the seams it fills and what it does."""
    from locution.engine.method import seams

    rows = []
    for name in lookup.names("method"):
        entry = Entry(lookup.terms()[name])
        rows.append((f"+{name}", ", ".join(seams(entry.part)), entry.definition))
    _table(["method", "seam", "what it does"], rows)


def terms(*, as_json: bool = False) -> None:
    """Print every term; as JSON with everything that is known of it."""
    listed = lookup.terms().values()
    if as_json:
        print(json.dumps([Entry(term).as_dict() for term in listed], ensure_ascii=False, indent=1))
        return
    _table(["row", "term", "title", "kind"], [(str(t.row), t.name, t.title, t.kind) for t in listed])


def term(name: str, *, run: bool = False) -> None:
    """Print one term; with `run`, run its example and then its recipe."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    entry = Entry(lookup.find(name))
    console, found = Console(), entry.term
    console.print(Text(found.title, style="bold"), Text(f"  {found.name}, a {found.kind}", style="dim"), sep="")
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


def _table(head: list[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in head:
        table.add_column(column, no_wrap=column == head[0])
    for row in rows:
        table.add_row(*row)
    Console().print(table)
