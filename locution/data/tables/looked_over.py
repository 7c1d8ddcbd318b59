"""A table is looked over for leaks before anything is learnt from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from locution.data.chance import Column as Cells
from locution.data.dataset import Dataset
from locution.data.giveaways import giveaways
from locution.data.leakage import Leak, duplicates, giveaway_leak
from locution.data.tables.columns import Column
from locution.data.tables.encoding import finite
from locution.data.tables.reading import RawTable
from locution.data.tables.splitting import Split
from locution.data.tables.target import Target
from locution.data.tables.values import missing
from locution.engine.batches import TensorBatches

GROUP_NAME = re.compile(
    r"(?:^|[^a-z])(?:id|uuid|guid|key|user|customer|client|patient|person|subject|speaker|device|session|household)s?$"
)


def table_leaks(
    raw: RawTable, data: Dataset, target: Target, split: Split, columns: Sequence[Column], time: str
) -> list[Leak]:
    """Find what leaks in a table: rows of training in the held-out parts, columns that give the target away, groups
    and moments that a split at random tears apart.
    """
    assert isinstance(data.train, TensorBatches)
    answers = target.encode([raw.columns[target.name][row] for row in split.train])
    used = [column for column in columns if column.kind != "none"]
    cells = {column.name: as_read(column, raw, split.train) for column in used}
    found: list[Leak] = []
    for part, rows, held in (("test", split.test, data.test), ("development", split.development, data.development)):
        if held is not None:
            others = [as_read(column, raw, rows) for column in used]
            told = (data.train.inputs, held.inputs, data.train.targets, held.targets)
            name = named(raw, {"train": split.train, part: rows})
            found += duplicates(*told, part=part, seen=list(cells.values()), held=others, name=name)
    if len(cells) > 1:
        found += [giveaway_leak(one) for one in giveaways(cells, answers)]
    if split.said.startswith("at random"):
        found += torn_apart(raw, split, columns)
    return found


def named(raw: RawTable, parts: Mapping[str, Sequence[int]]) -> Callable[[str, int], str]:
    """Call a row by its place in the file, the first below the names being row 1."""
    return lambda part, at: f"row {raw.rows[parts[part][at]]}"


def as_read(column: Column, raw: RawTable, rows: Sequence[int]) -> Cells:
    """Read a column's cells in some rows as what they are: numbers, with nan where nothing is, or words."""
    cells = [raw.columns[column.name][row] for row in rows]
    if column.kind == "category":
        return ["" if missing(cell) else cell for cell in cells]
    return np.asarray(finite([None if missing(cell) else column.reader(cell) for cell in cells]))


def torn_apart(raw: RawTable, split: Split, columns: Sequence[Column]) -> list[Leak]:
    """Find columns whose groups a split at random has torn apart: whoever is in the test is known from training."""
    found = []
    for column in columns:
        if column.kind not in ("number", "category", "none") or not GROUP_NAME.search(column.name.casefold()):
            continue
        cells = raw.columns[column.name]
        learnt = {cells[row] for row in split.train}
        distinct = len(set(cells))
        known = sum(cells[row] in learnt and not missing(cells[row]) for row in split.test)
        if distinct > max(10, 0.02 * len(cells)) and known > 0.2 * max(1, len(split.test)):
            share = f"{known} of {len(split.test)} test examples"
            mend = f"if they are to be new, data.group={column.name} keeps them apart"
            line = f"{share} have a {column.name} that also stands in training: {mend}."
            found.append(Leak("group", line, (), column.name))
    return found
