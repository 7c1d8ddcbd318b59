"""A comparison as a table in the terminal, and the words that go with it."""

from __future__ import annotations

import math

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from locution.reporting.markup import clean
from locution.reporting.units import duration, figure
from locution.studies.compare import Comparison
from locution.studies.effects import Effect, fewest
from locution.studies.endings import FEWEST

STYLES = {"helps": "green", "hurts": "red"}


def of_metric(found: Comparison, metric: str) -> list[Effect]:
    """Take the effects on one figure, in the order in which the variants were named."""
    return [one for one in found.effects if one.metric == metric]


def columns(found: Comparison) -> list[str]:
    """Name the columns: what was not measured has none."""
    memory = any(math.isfinite(one.memory) for one in found.effects)
    more = [*(["memory"] if memory else []), *(["steps"] if found.equal else [])]
    return ["variant", "figure", "change", "95 % interval", "p", "time", *more, "verdict"]


def row(one: Effect, found: Comparison) -> tuple[str, ...]:
    """Write an effect as the cells of a table.

    >>> sam = Effect("sam", 0.1, 0.2, (-0.1,), -0.12, -0.08, 0.01, 2.0, math.nan, adjusted=0.02, verdict="helps")
    >>> row(sam, Comparison("digits", [], "wer", "lower", 10, "plain", [sam]))
    ('sam', '0.100', '-0.100', '[-0.120, -0.080]', '0.020', '2.00x', 'helps')
    """
    cells = {
        "variant": one.name,
        "figure": figure(one.value),
        "change": signed(one.mean),
        "95 % interval": f"[{figure(one.low)}, {figure(one.high)}]",
        "p": f"{one.adjusted:.3f}",
        "time": times(one.time),
        "memory": times(one.memory),
        "steps": f"{found.budgets.get(one.name, {}).get('steps', one.steps):,.0f}",
        "verdict": one.verdict + (f" ({one.failed} failed)" if one.failed else ""),
    }
    return tuple(cells[name] for name in columns(found))


def baseline(found: Comparison, metric: str) -> tuple[str, ...]:
    """Write the row of what the others are compared with."""
    listed = of_metric(found, metric)
    value = figure(listed[0].baseline) if listed else "–"
    steps = f"{found.budgets.get(found.plain, {}).get('steps', 0):,.0f}"
    cells = {"variant": found.plain, "figure": value, "time": "1.00x", "memory": "1.00x", "steps": steps}
    return tuple({**cells, "verdict": "baseline"}.get(name, "") for name in columns(found))


def ending_rows(found: Comparison) -> list[tuple[str, ...]]:
    """Write how many runs of each side diverged as rows of the table; none where no run did.

    >>> from locution.studies.endings import Ending
    >>> one = Ending("sam", diverged=1, plain=9, pairs=10, saved=8, lost=0, p=0.008, adjusted=0.016, verdict="helps")
    >>> for cells in ending_rows(Comparison("digits", [], "wer", "lower", 10, "plain", endings=[one])): print(cells)
    ('plain diverged', '9 of 10', '', '', '', '', 'baseline')
    ('sam diverged', '1 of 10', '-8', '', '0.016', '', 'helps')
    """
    rows = []
    for one in found.endings:
        base = {"variant": f"{found.plain} diverged", "figure": f"{one.plain} of {one.pairs}", "verdict": "baseline"}
        cells = {"variant": f"{one.name} diverged", "figure": f"{one.diverged} of {one.pairs}"}
        cells |= {"change": f"{one.lost - one.saved:+d}", "p": f"{one.adjusted:.3f}", "verdict": one.verdict}
        rows += [tuple(line.get(name, "") for name in columns(found)) for line in (base, cells)]
    return list(dict.fromkeys(rows))


def signed(value: float) -> str:
    """Write a change with its sign.

    >>> signed(0.5), signed(-0.5), signed(0.0)
    ('+0.500', '-0.500', '0.000')
    """
    return f"+{figure(value)}" if value > 0 else figure(value)


def times(ratio: float) -> str:
    """Write how many times as much, or nothing where nobody knows."""
    return f"{ratio:.2f}x" if math.isfinite(ratio) else ""


def remarks(found: Comparison) -> list[str]:
    """Say under which conditions the figures hold."""
    sides = [f"{one.metric}, {one.better} is better" if one.better else one.metric for one in found.effects]
    said = "; ".join(dict.fromkeys(sides)) or found.metric
    words = f" with {' '.join(found.shared)}" if found.shared else ""
    last = found.first + found.seeds - 1
    asked = len(found.effects)
    correction = f", corrected for all {asked} questions (Holm)" if asked > 1 else ""
    lines = [
        f"{said}; recipe {found.recipe}{words}; {found.seeds} seeds ({found.first} to {last}), each pair with the same "
        f"first weights, order of data and noise; {duration(found.seconds)} of training in all.",
        f"Interval: BCa bootstrap of the mean paired difference; p: sign-flip test{correction}.",
    ]
    lines += endings(found)
    lines += budgets(found)
    least = fewest(asked)
    if found.effects and found.seeds < least:
        lines.append(f"With fewer than {least} seeds no verdict is possible, however large the difference.")
    return lines


def endings(found: Comparison) -> list[str]:
    """Say what the runs that diverged do to the figures, and how it was tested whether they are chance."""
    if not found.endings:
        return []
    asked = len(found.endings)
    correction = f", corrected for {asked} variants (Holm)" if asked > 1 else ""
    lines = [f"Diverged: p of a sign test on the pairs in which one side alone did{correction}."]
    lines += ["The other figures are of the pairs in which both sides came to their end."] if found.effects else []
    if max(one.saved + one.lost for one in found.endings) < FEWEST:
        lines.append(f"With fewer than {FEWEST} such pairs nothing can be said of it.")
    return [" ".join(lines)]


def budgets(found: Comparison) -> list[str]:
    """Say what was done to make the variants equal in cost."""
    if not found.equal:
        return []
    kind = {"compute": "operations", "time": "processor time"}[found.equal]
    lines = [f"Equal {found.equal}: each variant gets as many steps as cost the {kind} of {found.plain}'s training."]
    kinds = {"operations": "the operations", "gradients": "the gradients", "seconds": "the processor time"}
    for name, one in found.budgets.items():
        if name != found.plain:
            ratios = ", ".join(f"{one[key]:.2f}x {word}" for key, word in kinds.items() if key in one)
            lines.append(f"{name}: a step costs {ratios}; {one['steps']:,.0f} of {one['of']:,.0f} steps.")
    return lines


def print_comparison(found: Comparison, console: Console | None = None) -> None:
    """Print the effects as a table, and under which conditions they hold."""
    console = console or Console()
    if not console.is_terminal and console.width < 120:
        console = Console(width=120)  # a file has no edge
    names = columns(found)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in names:
        first, last = name == names[0], name == names[-1]
        table.add_column(
            name, justify="left" if first or last else "right", no_wrap=not first, overflow="fold" if first else "crop"
        )
    for metric in found.metrics:
        if len(found.metrics) > 1:
            table.add_row(Text(clean(metric), style="bold"))
        table.add_row(*baseline(found, metric), style="dim")
        for one in of_metric(found, metric):
            table.add_row(*(Text(clean(cell)) for cell in row(one, found)), style=STYLES.get(one.verdict, ""))
    for cells in ending_rows(found):
        table.add_row(*(Text(clean(cell)) for cell in cells), style=STYLES.get(cells[-1], ""))
    console.print(table)
    for line in remarks(found):
        console.print(Text(clean(line), style="dim"))
    for name, why in found.failures.items():
        console.print(Text(clean(f"failed: {name}: {why}"), style="red"))
