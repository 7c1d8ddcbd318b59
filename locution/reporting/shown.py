"""What a report shows beside its figures, as plain values: tables, graphs, small pictures, heat maps, drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from locution.reporting.markup import Html


@dataclass(frozen=True)
class Table:
    """A table of plain values; numbers are aligned to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclass(frozen=True)
class Graph:
    """A graph: lines by name, each (x values, y values), over an axis named `across`; points as dots.

    `up` names the other axis where the title does not. `log` names the axes that are logarithmic, "x", "y" or "xy":
    what is not above 0 is left out there. `marked` draws a dot wherever something was measured.
    """

    title: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    points: tuple[Sequence[float], Sequence[float]] = ((), ())
    across: str = "x"
    note: str = ""
    up: str = ""
    log: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Gallery:
    """Small pictures in rows: (rows, columns, H, W), the smallest value white and the largest black."""

    title: str
    pictures: NDArray[Any]
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """A matrix of shares from 0 to 1, with a name for each row and each column; drawn as a heat map."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """A picture that a part of `reporting` has drawn already, such as the map of a self-organising map."""

    title: str
    picture: Html
    note: str = ""
    wide: bool = True
