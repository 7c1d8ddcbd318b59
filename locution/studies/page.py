"""A comparison as a page: one HTML file that needs nothing beside it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from locution.engine.durable import write_text
from locution.reporting.markup import Html, join, tag
from locution.reporting.paired import Paired, cost_chart, differences_chart
from locution.reporting.report import head
from locution.reporting.sections import drawing, facts
from locution.reporting.units import duration, figure
from locution.studies.compare import Comparison
from locution.studies.effects import Effect
from locution.studies.table import baseline, columns, ending_rows, of_metric, remarks, row, signed
from locution.vocabulary.measured import diverged

FILE = "comparison.html"
__all__ = ["FILE", "paired", "write_page"]


def paired(one: Effect) -> Paired:
    """Take from an effect what is drawn of it."""
    return Paired(one.name, one.differences, one.mean, one.low, one.high, one.verdict, one.seeds, one.time)


def write_page(folder: Path, found: Comparison) -> Path:
    """Write the comparison as one HTML file that needs nothing beside it."""
    title = f"{found.recipe}: what a change is worth"
    written = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
    top = tag(
        "header",
        tag("p", "comparison", class_="eyebrow"),
        tag("h1", title, class_="user"),
        *(tag("p", line, class_="summary user") for line in summary(found)),
        tag("p", written, class_="quiet"),
    )
    failures = [tag("p", tag("b", "Failed "), f"{name}: {why}", class_="notice warn") for name, why in failed(found)]
    sections = [pictures(found, metric) for metric in found.metrics]
    ends = ending_rows(found)
    if ends:
        body = tag("div", table(columns(found), ends), class_="canvas")
        sections.append(tag("section", tag("h2", "Diverged"), body))
    main = tag("main", tag("div", *failures, class_="notices") if failures else None, *sections, conditions(found))
    foot = tag("footer", tag("p", "Written by locution. This page holds everything it shows."))
    page = "<!doctype html>\n" + tag("html", head(title), tag("body", join(top, main, foot)), lang="en") + "\n"
    path = folder / FILE
    write_text(path, page.encode("utf-8", errors="replace").decode("utf-8"))
    return path


def failed(found: Comparison, most: int = 12) -> list[tuple[str, str]]:
    """List the runs that failed, the first of them only where there are many."""
    listed = list(found.failures.items())
    more = [("and", f"{len(listed) - most} more, see comparison.json")] if len(listed) > most else []
    return listed[:most] + more


def summary(found: Comparison) -> list[str]:
    """Say in a sentence a variant what came out, for the first figure that was asked for."""
    lines = []
    for one in of_metric(found, found.metrics[0]):
        between = f"{signed(one.mean)} [{figure(one.low)}, {figure(one.high)}]"
        time = f", in {one.time:.2f} times the training time" if math.isfinite(one.time) else ""
        verdict = {"cannot tell": "cannot be told from chance", "differs": "makes a difference"}
        lines.append(f"{one.metric}: {one.name} {verdict.get(one.verdict, one.verdict)}, {between}{time}.")
    return [*lines, *(f"{diverged(one.as_json())}." for one in found.endings)]


def pictures(found: Comparison, metric: str) -> Html:
    """One figure: the paired differences, gain against cost, and the table."""
    effects = of_metric(found, metric)
    side = effects[0].better if effects else ""
    note = f"from {found.plain}, a dot a seed" + (f"; {side} is better" if side else "")
    drawn = [paired(one) for one in effects]
    charts = [drawing(f"Difference of {metric}", differences_chart(drawn), note=note)] if drawn else []
    if any(math.isfinite(one.time) for one in effects):
        what = "better upwards" if side else "change"
        picture = cost_chart(drawn, better=side, plain=found.plain)
        charts.append(drawing("Gain against cost", picture, note=f"mean change of {metric}, {what}"))
    names = columns(found)
    lines = [baseline(found, metric), *(row(one, found) for one in effects)]
    body = tag("div", table(names, lines), class_="canvas")
    return tag("section", tag("h2", metric), tag("div", *charts, class_="charts"), body)


def table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> Html:
    """Write the figures; all but the first and the last column stand to the right."""
    last = len(names) - 1
    kinds = ["user number" if 0 < number < last else "user" for number in range(len(names))]
    heads = [tag("th", name, class_=kind, scope="col") for name, kind in zip(names, kinds, strict=True)]
    rows = [tag("tr", *(tag("td", c, class_=k) for c, k in zip(line, kinds, strict=True))) for line in lines]
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="plain")


def conditions(found: Comparison) -> Html:
    """Say under which conditions the figures hold, and how to get them again."""
    pairs = [
        ("recipe", " ".join([found.recipe, *found.shared])),
        ("seeds", f"{found.seeds}, from {found.first} on"),
        ("weights that train", f"{found.parameters:,}"),
        ("training in all", duration(found.seconds)),
        *found.environment.items(),
    ]
    notes = tag("ul", *(tag("li", line) for line in remarks(found)), class_="limits")
    return tag("section", tag("h2", "Conditions"), notes, facts(pairs), tag("h3", "Again"), tag("pre", again(found)))


def again(found: Comparison) -> str:
    """Write the command that makes the comparison again.

    >>> again(Comparison("digits", [], "wer", "lower", 10, "plain", words=["hot: optimizer.lr=1"], metrics=["wer"]))
    "locution compare digits 'hot: optimizer.lr=1' --metric wer --seeds 10"
    """
    words = ["locution", "compare", found.recipe, *found.words, "--metric", ",".join(found.metrics)]
    words += ["--seeds", str(found.seeds)]
    words += ["--first", str(found.first)] if found.first else []
    words += ["--against", found.plain] if found.plain != "plain" else []
    words += ["--equal", found.equal] if found.equal else []
    return shlex.join(words)
