"""A comparison in the terminal and as a page."""

from __future__ import annotations

import math
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from locution.engine.durable import write_text
from locution.reporting.charts import WIDTH, dot, letters, rule, scale, short, svg, ticks
from locution.reporting.markup import Html, clean, join, tag
from locution.reporting.report import head
from locution.reporting.sections import drawing, facts
from locution.reporting.units import duration, figure
from locution.studies.compare import Comparison
from locution.studies.effects import Effect, fewest

COLUMNS = ("variant", "figure", "change", "95 % interval", "p", "time", "memory", "verdict")
FILE = "comparison.html"


def row(one: Effect) -> tuple[str, ...]:
    """Write an effect as the cells of a table.

    >>> row(Effect("sam", 0.1, 0.2, (-0.1,), -0.12, -0.08, 0.01, 2.0, 1.1, adjusted=0.02, verdict="helps"))[1:5]
    ('0.100', '-0.100', '[-0.120, -0.080]', '0.020')
    """
    between = f"[{figure(one.low)}, {figure(one.high)}]"
    cost = [f"{ratio:.2f}x" if math.isfinite(ratio) else "" for ratio in (one.time, one.memory)]
    verdict = one.verdict + (f" ({one.failed} failed)" if one.failed else "")
    return one.name, figure(one.value), figure(one.mean), between, f"{one.adjusted:.3f}", *cost, verdict


def remarks(found: Comparison) -> list[str]:
    """Say under which conditions the figures hold."""
    better = f", {found.better} is better" if found.better else ""
    words = f" with {' '.join(found.shared)}" if found.shared else ""
    lines = [
        f"{found.metric}{better}; recipe {found.recipe}{words}; {found.seeds} seeds, each pair with the same first "
        f"weights, order of data and noise; {duration(found.seconds)} of training in all.",
        "Interval: BCa bootstrap of the mean paired difference; p: sign-flip test, corrected for all variants (Holm).",
    ]
    least = fewest(len(found.effects))
    if found.seeds < least:
        lines.append(f"With fewer than {least} seeds no verdict is possible, however large the difference.")
    lines += [f"failed: {name}: {why}" for name, why in found.failures.items()]
    return lines


def print_comparison(found: Comparison, console: Console | None = None) -> None:
    """Print the effects as a table, and under which conditions they hold."""
    console = console or Console()
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if 1 <= number <= 6 else "left", no_wrap=number > 0)
    base = found.effects[0].baseline if found.effects else math.nan
    table.add_row(found.plain, figure(base), "", "", "", "1.00x", "1.00x", "baseline", style="dim")
    styles = {"helps": "green", "hurts": "red"}
    for one in found.effects:
        table.add_row(*(Text(clean(cell)) for cell in row(one)), style=styles.get(one.verdict, ""))
    console.print(table)
    for line in remarks(found):
        console.print(Text(clean(line), style="dim"))


def effects_chart(found: Comparison) -> Html:
    """Draw each variant's differences as dots, one a seed, over the interval of their mean."""
    side, height = 8.0, 46.0 * len(found.effects) + 30
    ends = [end for one in found.effects for end in (one.low, one.high, *one.differences)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    pad = 0.04 * ((high - low) or 1.0)
    x = scale(low - pad, high + pad, side, WIDTH - side)
    drawn = []
    for value in ticks(low - pad, high + pad):
        drawn.append(rule(x(value), 4, x(value), height - 22, "limit" if value == 0 else "grid"))
        drawn.append(letters(x(value), height - 6, short(value), anchor="middle"))
    for index, one in enumerate(found.effects):
        top = 46.0 * index
        colour = {"helps": "c3", "hurts": "c2"}.get(one.verdict, "c0")
        drawn.append(letters(side, top + 16, f"{one.name}: {one.verdict}", "row"))
        drawn.append(letters(WIDTH - side, top + 16, figure(one.mean), "row number", "end"))
        drawn.append(rule(x(one.low), top + 30, x(one.high), top + 30, f"between {colour}"))
        drawn += [dot(x(d), top + 30, colour, f"seed {s}: {figure(d)}") for s, d in enumerate(one.differences)]
        drawn.append(rule(x(one.mean), top + 22, x(one.mean), top + 38, f"value {colour}"))
    alt = "; ".join(f"{one.name}: {figure(one.mean)} ({one.verdict})" for one in found.effects)
    return svg(WIDTH, height, alt, *drawn)


def write_page(folder: Path, found: Comparison) -> Path:
    """Write the comparison as one HTML file that needs nothing beside it."""
    cells = [row(one) for one in found.effects]
    table = tag(
        "table",
        tag("thead", tag("tr", *(tag("th", name) for name in COLUMNS))),
        tag("tbody", *(tag("tr", *(tag("td", cell, class_="user") for cell in line)) for line in cells)),
    )
    title = f"{found.recipe}: what a change is worth"
    note = f"difference of {found.metric} from {found.plain}" + (f"; {found.better} is better" if found.better else "")
    parts = [
        tag("header", tag("p", "comparison", class_="eyebrow"), tag("h1", title, class_="user")),
        tag(
            "main",
            tag("section", tag("h2", "Effects"), drawing("Paired differences", effects_chart(found), note=note)),
            tag("section", tag("h2", "Figures"), tag("div", table, class_="canvas")),
            tag(
                "section", tag("h2", "Conditions"), facts([(str(n), line) for n, line in enumerate(remarks(found), 1)])
            ),
        ),
    ]
    page = "<!doctype html>\n" + tag("html", head(title), tag("body", join(*parts)), lang="en") + "\n"
    path = folder / FILE
    write_text(path, page)
    return path
