"""Which rows of a table are learnt from, tuned on and judged by: as a column says, by time, by group, or at random."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import stratified_split
from locution.data.tables.columns import Column, find_kind
from locution.data.tables.reading import RawTable
from locution.data.tables.values import missing
from locution.engine.random import generator
from locution.errors import UserError, nearest

PARTS = {
    **dict.fromkeys(("train", "training", "learn"), 0),
    **dict.fromkeys(("dev", "development", "valid", "validation", "val", "tune"), 1),
    **dict.fromkeys(("test", "testing", "held_out", "heldout"), 2),
}
Rows = list[int]


@dataclass(frozen=True)
class Split:
    """Where the rows of a table go, how that was decided, and the columns that served for nothing else."""

    train: Rows
    development: Rows
    test: Rows
    said: str
    used: tuple[str, ...] = ()


def column_of(table: RawTable, name: str, setting: str) -> list[str]:
    """Find a column by its name, or say which is nearest."""
    if name in table.columns:
        return table.columns[name]
    guess = nearest(name, table.columns) or nearest(name.casefold(), [one.casefold() for one in table.columns])
    meant = next((one for one in table.columns if guess in (one, one.casefold())), None)
    hint = f" Did you mean '{meant}'?" if meant else ""
    some = list(table.columns)
    listed = ", ".join(some[:20]) + (f" and {len(some) - 20} more" if len(some) > 20 else "")
    raise UserError(f"{setting} is '{name}', no column of {table.where}.{hint} Allowed: {listed}.")


def given(table: RawTable, name: str) -> Split:
    """Split as a column says: train, development (or validation) and test."""
    cells = [cell.casefold() for cell in column_of(table, name, "data.split")]
    odd = next((cell for cell in cells if cell not in PARTS), None)
    if odd is not None:
        raise UserError(f"the column {name} says {odd!r} in a row; allowed: train, development or test.")
    parts = [[row for row, cell in enumerate(cells) if PARTS[cell] == part] for part in range(3)]
    return Split(parts[0], parts[1], parts[2], f"as the column {name} says", (name,))


def by_time(table: RawTable, name: str, shares: tuple[float, float]) -> Split:
    """Split by time: the earliest rows are learnt from, the latest are judged by.

    Rows of one moment stay together.
    """
    cells = column_of(table, name, "data.time")
    column = find_kind(name, cells)
    if column.kind not in ("number", "date"):  # a running number is a time too
        column = Column(name, "number")
    values = [None if missing(cell) else column.reader(cell) for cell in cells]
    if any(value is None for value in values):
        odd = next((cell for cell, value in zip(cells, values, strict=True) if value is None), cells[0])
        raise UserError(f"data.time is {name}, which is {odd!r} in a row; allowed: a column of dates or numbers.")
    moments = torch.tensor([float(value or 0.0) for value in values], dtype=torch.float64)
    order = moments.argsort(stable=True)
    bounds = [round(len(order) * (1 - sum(shares))), round(len(order) * (1 - shares[1]))]
    edges = [moments[order[min(bound, len(order) - 1)]] for bound in bounds]
    late, middle = moments >= edges[1], (moments >= edges[0]) & (moments < edges[1])
    parts = [part.nonzero().flatten().tolist() for part in (~late & ~middle, middle, late)]
    if shares[1] == 0.0:
        parts = [parts[0], parts[1] + parts[2], []]
    return Split(parts[0], parts[1], parts[2], f"by time ({name}): the latest rows are judged by", (name,))


def by_group(table: RawTable, name: str, shares: tuple[float, float], seed: int) -> Split:
    """Split by group: all rows of one group go into one part, drawn at random until the part is full."""
    cells = column_of(table, name, "data.group")
    groups = sorted(set(cells))
    if len(groups) < 3:
        raise UserError(f"data.group is {name}, with {len(groups)} groups; allowed: a column with 3 or more.")
    order = torch.randperm(len(groups), generator=generator(seed, "groups")).tolist()
    sizes = Counter(cells)
    wanted = [round(share * len(cells)) for share in shares]
    place: dict[str, int] = {}
    filled = [0, 0]
    for at in order:
        group = groups[at]
        half = sizes[group] / 2  # a part may be over its share by half a group
        fitting = [part for part in (1, 0) if filled[part] + half <= wanted[part]]
        part = min(fitting, key=lambda p: filled[p] / max(1, wanted[p]), default=None)
        place[group] = 0 if part is None else part + 1
        if part is not None:
            filled[part] += sizes[group]
    for part in (1, 0):  # groups larger than a part: the smallest will do
        learnt = [group for group in groups if place[group] == 0]
        if shares[part] and not filled[part] and len(learnt) > 1:
            place[min(learnt, key=lambda group: sizes[group])] = part + 1
    parts = [[row for row, cell in enumerate(cells) if place[cell] == part] for part in range(3)]
    return Split(parts[0], parts[1], parts[2], f"by group ({name}): no group is in two parts", (name,))


def at_random(strata: Tensor, shares: tuple[float, float], seed: int, classes: bool) -> Split:
    """Split at random, each class (or tenth of the values) by the same share."""
    parts = [part.tolist() for part in stratified_split(strata, shares, seed)]
    of = "class" if classes else "tenth of the values"
    return Split(parts[0], parts[1], parts[2], f"at random, each {of} by the same share (seed {seed})")


def tenths(values: Tensor) -> Tensor:
    """Say of each value in which tenth of all it lies: (N,) or (N, 1) in, whole numbers (N,) out.

    >>> tenths(torch.arange(20.0)).tolist()[:4]
    [0, 0, 1, 1]
    """
    ranks = values.flatten().argsort(stable=True).argsort(stable=True)
    return (10 * ranks) // max(1, len(ranks))
