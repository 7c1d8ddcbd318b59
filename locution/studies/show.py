"""What the commands of studies print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from locution.errors import LocutionError
from locution.studies.compare import RESULTS, compare
from locution.studies.order import lines, planned
from locution.studies.page import write_page
from locution.studies.table import print_comparison
from locution.studies.worth import chosen, measure, up_to_date
from locution.vocabulary.measured import EFFECTS, read, sentences


def comparison(recipe: str, words: Sequence[str], *, as_json: bool = False, **asked: Any) -> None:
    """Compare, print the table or one JSON object, and write the page; `asked` is what `compare` takes."""
    found, folder = compare(recipe, *words, quiet=as_json, **asked)
    page = write_page(Path(folder), found)
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        print_comparison(found)
        print(f"page: {page}\nfigures: {Path(folder) / RESULTS}")


def plan(recipe: str, words: Sequence[str], *, as_json: bool = False) -> None:
    """Print what a recipe is made of, which methods act where and in which order, and what excludes what."""
    from rich.console import Console
    from rich.text import Text

    found = planned(recipe, words)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, default=str))
        return
    console = Console()
    written = lines(found)
    wide = max(len(name) for name, _ in written) + 2
    for name, line in written:
        style = "bold" if name.startswith("+") else "dim"
        console.print(Text(f"{name:<{wide}}", style=style), Text(line), sep="")


def effects(
    names: Sequence[str], *, seeds: int, workers: int, again: bool = False, only_list: bool = False, out: str = ""
) -> None:
    """Measure what is not up to date, say what came out, and go on where a comparison is refused or fails."""
    folder = Path(out) if out else EFFECTS
    refused = []
    for term in chosen(names):
        fresh = up_to_date(term, seeds, folder)
        if not only_list and (again or not fresh):
            print(f"$ locution compare {term.effect} --seeds {seeds}", flush=True)
            try:
                measure(term, seeds=seeds, workers=workers, folder=folder)
            except LocutionError as error:
                print(f"{term.name}: {error}")
                refused.append(term.name)
                continue
            fresh = True
        stored = read(term.name, folder)
        state = "" if fresh else "with other words, recipes or fewer seeds: "
        for line in ["not measured yet"] if stored is None else sentences(stored):
            print(f"{term.name}: {state if stored else ''}{line}", flush=True)
    if refused:
        raise LocutionError(f"not measured: {', '.join(refused)}.")
