"""A tuning in the terminal and as a page: how it went, what mattered, where the good settings lie."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from locution.engine.durable import write_text
from locution.reporting.markup import Html, clean, join, tag
from locution.reporting.report import head
from locution.reporting.sections import drawing, facts
from locution.reporting.units import duration, figure
from locution.studies.page import table
from locution.studies.trials import Trial
from locution.studies.tune import BEST, RESULTS, Tuning, next_words, tune
from locution.studies.tuning_charts import contour, history, importances

FILE, SHOWN = "tuning.html", 5


def ranked(found: Tuning) -> list[Trial]:
    """List the trials that came to their end, the best first."""
    done = [one for one in found.trials if one.state == "done" and math.isfinite(one.value)]
    return sorted(done, key=lambda one: one.value if found.better == "lower" else -one.value)


def remarks(found: Tuning) -> list[str]:
    """Say how the search went and under which conditions its figures hold."""
    states = [one.state for one in found.trials]
    ended = ", ".join(f"{states.count(state)} {state}" for state in ("done", "pruned", "failed") if state in states)
    spent = duration(sum(one.seconds for one in found.trials))
    lines = [
        f"{len(found.trials)} trials ({ended}) by {found.sampler}; {spent} of training in all.",
        f"By {found.by}, {found.better} is better, one seed a trial: the best of many flatters itself.",
        *found.remarks,
    ]
    first = next((one.why for one in found.trials if one.why), "")
    return [*lines, *([f"failed: {first}"] if first else [])]


def print_tuning(found: Tuning, console: Console | None = None) -> None:
    """Print the best trials, what mattered, and what to do next."""
    console = console or Console()
    listed = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("trial", found.by, "settings"):
        listed.add_column(name, justify="left" if name == "settings" else "right")
    for one in ranked(found)[:SHOWN]:
        listed.add_row(str(one.number), figure(one.value), Text(clean("  ".join(one.words) or "as it is")))
    console.print(listed)
    if found.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in found.importance.items())
        console.print(Text(clean(f"what mattered: {shares}"), style="dim"))
    for line in remarks(found):
        console.print(Text(clean(line), style="dim"))


def write_page(folder: Path, found: Tuning) -> Path:
    """Write the tuning as one HTML file that needs nothing beside it."""
    best = found.best
    lines = [(str(one.number), figure(one.value), "  ".join(one.words) or "as it is") for one in ranked(found)[:20]]
    pictures = [drawing("Trial by trial", history(found), note=f"{found.by}; the line is the best so far")]
    if found.importance:
        pictures.append(drawing("What mattered", importances(found.importance), note="share of the variance (fANOVA)"))
    pictures += [drawing(title, picture, note="the darker, the better") for title, picture in contour(found)]
    said = [
        ("best", f"{figure(best.value)}: {'  '.join(best.words) or 'as it is'}"),
        ("recipe", f"{BEST}, beside this page"),
    ]
    notes = tag("ul", *(tag("li", line) for line in remarks(found)), class_="limits")
    parts: list[Html] = [
        tag("header", tag("p", "tuning", class_="eyebrow"), tag("h1", f"{found.recipe}, tuned", class_="user")),
        tag(
            "main",
            tag("section", tag("h2", "The search"), tag("div", *pictures, class_="charts")),
            tag(
                "section",
                tag("h2", "The best trials"),
                tag("div", table(("trial", found.by, "settings"), lines), class_="canvas"),
            ),
            tag("section", tag("h2", "Conditions"), notes, facts(said)),
        ),
    ]
    page = tag("html", head(f"{found.recipe}, tuned"), tag("body", join(*parts)), lang="en")
    path = folder / FILE
    write_text(path, f"<!doctype html>\n{page}\n")
    return path


def show(
    recipe: str,
    words: Sequence[str],
    trials: int,
    by: str,
    sampler: str,
    prune: bool,
    workers: int,
    seed: int,
    out: str,
    *,
    as_json: bool = False,
) -> None:
    """Tune, print the best or one JSON object, and write the page."""
    found, folder = tune(
        recipe,
        *words,
        trials=trials,
        by=by,
        sampler=sampler,
        prune=prune,
        workers=workers,
        seed=seed,
        out=out,
        quiet=as_json,
    )
    page = write_page(folder, found)
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False, default=str))
        return
    print_tuning(found)
    print(f"best recipe: {folder / BEST}\ntrain it: locution train {folder / BEST}")
    print("\n".join(f"is it better? {line}" for line in next_words(found)))
    print(f"page: {page}\nfigures: {folder / RESULTS}")
