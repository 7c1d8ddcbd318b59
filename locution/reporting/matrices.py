"""Tables of shares as a heat map: the larger the share, the deeper the shade."""

from __future__ import annotations

from collections.abc import Sequence

from locution.reporting.markup import Html, tag
from locution.reporting.results import Matrix
from locution.reporting.sections import Section, drawing


def heat_table(one: Matrix) -> Html:
    """Draw a matrix of shares, each cell shaded by its share and with its figure in it.

    >>> drawn = heat_table(Matrix("left", ["after 1"], ["1", "2"], [[0.95, 0.1]]))
    >>> "--v:95.0%" in drawn, "0.100" in drawn
    (True, True)
    """
    rows = [tag("tr", tag("td"), *[tag("th", name, scope="col", class_="user") for name in one.columns])]
    for name, values in zip(one.rows, one.values, strict=True):
        cells = [tag("th", name, scope="row", class_="user")]
        for column, value in zip(one.columns, values, strict=True):
            words, shade = f"{name}, {column}: {value:.3f}", f"--v:{100 * min(1.0, max(0.0, value)):.1f}%"
            cells.append(tag("td", f"{value:.3f}", class_="right", style=shade, title=words))
        rows.append(tag("tr", *cells))
    return tag("table", *rows, class_="confusion")


def matrices(listed: Sequence[Matrix]) -> Section | None:
    """The matrices that a task added."""
    figures = [drawing(one.title, heat_table(one), note=one.note, wide=len(one.columns) > 10) for one in listed]
    return Section("matrices", "From one to another", tag("div", *figures, class_="charts")) if figures else None
