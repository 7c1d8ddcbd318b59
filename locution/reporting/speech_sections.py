"""The sections of a report that only speech has: where its errors are, which words, and whether it knows."""

from __future__ import annotations

from collections.abc import Sequence

from locution.reporting.markup import Html, tag
from locution.reporting.results import Table
from locution.reporting.sections import Section, drawing, table
from locution.reporting.speech_charts import kinds_chart, kinds_key, reliability_chart
from locution.reporting.speech_results import SpeechFindings
from locution.reporting.units import figure


def shown(found: SpeechFindings | None) -> list[Section | None]:
    """All of these sections, in the order in which they stand."""
    return [] if found is None else [conditions(found), words(found), trust(found), failures(found)]


def tables(listed: Sequence[Table]) -> list[Html]:
    """Draw tables that hold a row."""
    return [
        drawing(one.title, table(one.columns, one.rows), note=one.note, wide=len(one.columns) > 4)
        for one in listed
        if one.rows
    ]


def conditions(found: SpeechFindings) -> Section | None:
    """Where the errors are: in which condition, at which length, of which speaker."""
    drawn = tables(found.conditions)
    if found.kinds:
        alt = "; ".join(
            f"{one.name or 'all'}: word error rate {figure(one.rate)}, {one.taken} words taken for others, "
            f"{one.lost} lost, {one.made_up} made up"
            for one in found.kinds
        )
        picture = kinds_chart(found.kinds, alt=f"Errors by kind. {alt}.")
        drawn.insert(0, drawing("Errors by kind, for each word said", picture, key=kinds_key()))
    return _section("conditions", "Where the errors are", drawn)


def words(found: SpeechFindings) -> Section | None:
    """Which words went wrong."""
    return _section("words", "Which words", tables(found.words))


def trust(found: SpeechFindings) -> Section | None:
    """Whether the model knows when it is wrong."""
    drawn = tables(found.trust)
    if found.sureness:
        said = "; ".join(f"{100 * one.confidence:.0f} % sure, {100 * one.right:.0f} % right" for one in found.sureness)
        picture = tag("div", reliability_chart(found.sureness, alt=f"Reliability. {said}."), class_="square")
        note = "below the dashes it is surer than it is right; the larger a dot, the more answers"
        drawn.insert(0, drawing("Reliability diagram", picture, note=note))
    return _section("confidence", "Does it know when it is wrong?", drawn)


def failures(found: SpeechFindings) -> Section | None:
    """Text that nobody said."""
    return _section("failures", "Text that nobody said", tables(found.failures))


def _section(anchor: str, title: str, drawn: Sequence[Html]) -> Section | None:
    return Section(anchor, title, tag("div", *drawn, class_="charts")) if drawn else None
