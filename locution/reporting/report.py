"""The report of a run: one HTML file that needs nothing beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from locution.engine.durable import write_text
from locution.reporting import drawn, errors_shown, matrices, origin, routing, sections, speech_sections
from locution.reporting.curves import curves
from locution.reporting.markup import Html, join, tag
from locution.reporting.results import RunResults
from locution.reporting.sections import Section
from locution.reporting.trackers import read_metrics

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = Path(__file__).with_name("report.css")
FILE = "report.html"


def write_report(folder: str | Path, results: RunResults) -> Path:
    """A report shows a whole run on one page: how good it is, how it learnt, what it got wrong, what it cost.

    The page is written to `report.html` in the run's folder, all at once. It asks the network for nothing,
    runs no script, and shows names, labels and transcripts as text whatever they contain. Curves come from
    `metrics.jsonl` in the same folder, everything else from `results`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(folder, RunResults("<b>digits</b>")).read_text(encoding="utf-8")
    >>> "<b>digits</b>" in page, "&lt;b&gt;digits&lt;/b&gt;" in page
    (False, True)
    """
    folder = Path(folder)
    path = folder / FILE
    page = render(folder, results)
    write_text(path, page.encode("utf-8", errors="replace").decode("utf-8"))
    return path


def render(folder: Path, results: RunResults) -> str:
    """Make the page."""
    found = curves(read_metrics(folder))
    every: list[Section | None] = [
        sections.headline(results),
        *errors_shown.shown(results),
        *speech_sections.shown(results.speech),
        matrices.matrices(results.matrices),
        drawn.drawn(results),
        sections.tables(results.tables),
        sections.learning(found),
        routing.routing(found),
        sections.gradients(found),
        sections.costs(results.cost),
        origin.methods(results),
        origin.data(results),
        origin.limits(results),
        origin.recipe(results),
        origin.environment(results),
    ]
    present = [section for section in every if section is not None]
    body = join(
        _header(folder, results, present),
        tag("main", sections.notices(results, found), *[_section(one) for one in present]),
        tag("footer", tag("p", "Written by locution. This page holds everything it shows.")),
    )
    return (
        "<!doctype html>\n"
        + tag("html", head(f"{results.title}: report of a run"), tag("body", body), lang="en")
        + "\n"
    )


def head(title: str) -> Html:
    """Make the head of a page: its style, and a policy that lets it fetch and run nothing."""
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Html(POLICY)),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Html(STYLE.read_text(encoding="utf-8"))),
    )


def _header(folder: Path, results: RunResults, present: list[Section]) -> Html:
    links = [tag("a", section.title, href=f"#{section.anchor}") for section in present]
    written = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
    parts = [
        tag("p", "report of a run", class_="eyebrow"),
        tag("h1", results.title, class_="user"),
        tag("p", results.summary, class_="summary user") if results.summary else None,
        tag("p", join(tag("span", folder.name, class_="user"), f" · {written}"), class_="quiet"),
        tag("nav", *links, aria_label="Sections") if links else None,
    ]
    return tag("header", *parts)


def _section(section: Section) -> Html:
    return tag("section", tag("h2", section.title), section.body, id=section.anchor)
