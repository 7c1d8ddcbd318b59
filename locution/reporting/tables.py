"""Tables in the terminal: figures with their intervals, transcriptions under their references."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from locution.reporting.markup import clean
from locution.reporting.results import Metric, RunResults, Utterance
from locution.reporting.units import figure
from locution.reporting.words import coloured, rate


def metrics_table(metrics: Sequence[Metric]) -> Table:
    """Put figures into a table, each with the interval that it would vary in."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("metric")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("measured on", style="dim", overflow="fold")
    groups: set[str] = set()
    for metric in metrics:
        first = metric.group not in groups or not metric.group
        groups.add(metric.group)
        style = "bold" if first else ""
        name, value = Text(clean(metric.title), style=style), Text(figure(metric.value), style=style)
        table.add_row(name, value, Text(metric.interval), Text(clean(metric.note)))
    return table


def transcription_table(utterances: Sequence[Utterance], *, signs: bool = False) -> Table:
    """Put transcriptions under their references, differing words coloured; with `signs` bracketed as well."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, show_lines=False)
    table.add_column("", justify="right", style="dim", no_wrap=True)
    table.add_column("WER", justify="right", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("words", overflow="fold", ratio=1)
    for number, one in enumerate(utterances, 1):
        wrong = rate(one)
        said, written = coloured(one.reference, one.hypothesis, signs=signs)
        if not one.hypothesis.split():
            written = Text("(nothing)", style="dim")
        table.add_row(str(number), Text(f"{wrong:.2f}", style="green" if wrong == 0 else "yellow"), "said", said)
        table.add_row("", "", "heard", written, end_section=False)
    return table


def print_metrics(results: RunResults, console: Console | None = None) -> None:
    """Print the figures of a run.

    >>> from sys import stdout
    >>> metrics = [Metric("accuracy", 0.972, 0.95, 0.99, note="360 digits")]
    >>> print_metrics(RunResults("digits", metrics=metrics), Console(file=stdout, width=60))
    metric     value   95 % interval    measured on
    ───────────────────────────────────────────────
    accuracy   0.972   [0.950, 0.990]   360 digits
    """
    (console or Console()).print(metrics_table(results.metrics))


def print_transcriptions(utterances: Sequence[Utterance], count: int = 10, console: Console | None = None) -> None:
    """Print the first so many transcriptions under their references.

    On a terminal the differing words are coloured; elsewhere they stand in brackets: {taken for another},
    [-lost-], {+made up+}.
    """
    console = console or Console()
    console.print(transcription_table(utterances[:count], signs=not console.is_terminal or console.no_color))


def print_heard(results: RunResults, count: int = 10) -> None:
    """Print the figures of a run that writes text, transcriptions from all over its test set, and what it cannot do."""
    print_metrics(results)
    print()
    print_transcriptions(results.utterances[:: max(1, len(results.utterances) // count)], count)
    for line in (*results.notes, *results.limits[:1]):
        print(line)


def print_difference(results: RunResults, console: Console | None = None) -> None:
    """Print how far two runs are apart, and where they differ most."""
    console = console or Console()
    print_metrics(results, console)
    for one in results.tables:
        shown = Table(title=one.title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name in one.columns:
            shown.add_column(name, overflow="fold")
        for row in one.rows:
            shown.add_row(*[Text(clean(f"{value:+d}" if isinstance(value, int) else value)) for value in row])
        if one.rows:
            console.print()
            console.print(shown)
    for line in results.notes:
        console.print(Text(clean(line)))
