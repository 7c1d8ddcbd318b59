"""A table of one's own: a CSV, TSV or Parquet file, and the column to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from locution.data.dataset import Dataset, check_shares, held_out
from locution.data.leakage import Leak, refused
from locution.data.tables.columns import Column
from locution.data.tables.encoding import Encoding
from locution.data.tables.example import EXAMPLE, example_table
from locution.data.tables.looked_over import table_leaks
from locution.data.tables.reading import RawTable, read_table
from locution.data.tables.splitting import Split, at_random, by_group, by_time, column_of, given, tenths
from locution.data.tables.target import Target, find_target, standardised
from locution.data.tables.values import missing
from locution.engine.batches import TensorBatches
from locution.errors import UserError, require

FEWEST = 10


@dataclass(frozen=True)
class Table:
    """A table that is ready: its three parts as numbers, how they came about, and what was found out on the way.

    `said` maps a name to a line each: everything that was decided.
    """

    dataset: Dataset
    encoding: Encoding
    target: Target
    said: dict[str, str] = field(default_factory=dict)
    leaks: tuple[Leak, ...] = ()


@dataclass(frozen=True)
class TableData:
    """A table is examples in rows and what is known of each in columns; one column, the target, is to be answered.

    `path` is a CSV, TSV or Parquet file; without one, scikit-learn's breast cancer data serve as an example. `target`
    names the column to answer; `answers` says whether it holds classes or values where it should not be found out.
    Without a target, what needs no answers learns from all columns.
    What the columns are is found out: numbers, dates, yes or no, categories (more than `one_hot` of them are hashed);
    identifiers, texts, constant columns and those of `drop` are left out. `split` is the seed of the split, or a
    column that says train, development or test; `time` splits by a column of dates, `group` keeps rows of one group
    together; `development` and `test` are the shares held out. `leaks`: warn, refuse, or off. `batch_size` null goes
    by the number of rows.

    >>> TableData().load(seed=0).describe()
    'breast cancer (scikit-learn): 399 to learn from, 85 to tune on, 85 to be judged by; each (30,) -> 2 classes'

    Reference: H. Wickham, 2014, "Tidy data", section 2.
    """

    path: str = ""
    target: str = ""
    answers: Literal["auto", "classes", "values"] = "auto"
    split: int | str = 0
    time: str = ""
    group: str = ""
    development: float = 0.15
    test: float = 0.15
    drop: tuple[str, ...] = ()
    one_hot: int = 32
    separator: str = ""
    leaks: Literal["warn", "refuse", "off"] = "warn"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_shares(self.development, self.test)
        require(self.one_hot >= 1, "data.one_hot", self.one_hot, "a whole number from 1, usually 32")
        size = self.batch_size
        require(size is None or size >= 1, "data.batch_size", size, "a whole number from 1, or null")
        ways = [name for name in ("time", "group") if getattr(self, name)]
        ways += ["split"] if isinstance(self.split, str) else []
        require(len(ways) <= 1, f"data.{' and data.'.join(ways)}", "given", "one of the ways to split")

    def load(self, seed: int) -> Dataset:
        """Read the table as examples, with what was decided on the way; the run's seed has no part in it."""
        if self.path and not self.target:
            return self.unanswered()
        table = self.read()
        notes = tuple(f"{name}: {line}." for name, line in table.said.items())
        return replace(table.dataset, notes=notes, warnings=tuple(leak.line for leak in table.leaks))

    def unanswered(self) -> Dataset:
        """Read the table as rows to find something out about, of which none is to be answered."""
        raw = read_table(self.path, self.separator)
        if len(raw) < FEWEST:
            raise UserError(f"{raw.where} has {len(raw)} rows; allowed: {FEWEST} or more.")
        split = self.split_rows(raw, None)
        if not split.train:
            raise UserError(f"{raw.where} leaves no row to learn from, split {split.said}; allowed: one at least.")
        encoding, columns = self.encode(raw, "", split)
        inputs = encoding.encode(raw.columns)  # (N, features)
        train, development, test = (
            inputs[torch.tensor(part, dtype=torch.int64)] for part in (split.train, split.development, split.test)
        )
        size = ", ".join([f"{len(raw)} rows, {len(raw.columns)} columns, none to be answered", *raw.said])
        said = {"table": f"{raw.where}, {size}", **columns_said(columns, encoding, split, self.drop)}
        return Dataset(
            TensorBatches(train, batch_size=self.batch_size or batch_size(len(train))),
            held_out(development, None),
            held_out(test, None),
            inputs=(inputs.shape[1],),
            outputs=inputs.shape[1],
            source=raw.where,
            notes=tuple(f"{name}: {line}." for name, line in {**said, "split": split_said(split, columns)}.items()),
            reader=encoding,
        )

    def read(self) -> Table:
        """Read the table, find out what its columns are, split its rows, and fit the encoding to those learnt from."""
        raw = read_table(self.path, self.separator) if self.path else example_table()
        name = self.target or ("" if self.path else EXAMPLE)
        if not name:
            names = list(raw.columns)
            listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            raise UserError(f"data.target is missing; allowed: target=COLUMN, one of {listed}.")
        column_of(raw, name, "data.target")
        every = len(raw)
        raw = raw.take([row for row, cell in enumerate(raw.columns[name]) if not missing(cell)])
        if len(raw) < FEWEST:
            raise UserError(f"{raw.where} has {len(raw)} rows with a {name}; allowed: {FEWEST} or more.")
        target, why = find_target(name, raw.columns[name], self.answers)
        split = self.split_rows(raw, target)
        if not split.train:
            raise UserError(f"{raw.where} leaves no row to learn from, split {split.said}; allowed: one at least.")
        target = standardised(target, [raw.columns[name][row] for row in split.train])
        encoding, columns = self.encode(raw, name, split)
        table = self.together(raw, target, split, encoding)
        leaks = () if self.leaks == "off" else tuple(table_leaks(raw, table, target, split, columns, self.time))
        if self.leaks == "refuse":
            refused(leaks)
        said = {
            "table": f"{raw.where}, {', '.join([f'{every} rows, {len(raw.columns)} columns', *raw.said])}",
            "target": f"{name}: {target.describe()}" + (f" ({why})" if why else ""),
            **({"rows left out": f"{every - len(raw)} without a {name}"} if every > len(raw) else {}),
            **columns_said(columns, encoding, split, self.drop),
            "split": split_said(split, columns),
            "leaks": "not looked for" if self.leaks == "off" else f"{len(leaks) or 'none'} found",
        }
        return Table(table, encoding, target, said, leaks)

    def split_rows(self, raw: RawTable, target: Target | None) -> Split:
        """Split the rows as the settings say; without a target at random means whatever is in them."""
        shares = (self.development, self.test)
        if isinstance(self.split, str):
            return given(raw, self.split)
        if self.time:
            return by_time(raw, self.time, shares)
        if self.group:
            return by_group(raw, self.group, shares, self.split)
        if target is None:
            drawn = at_random(torch.zeros(len(raw), dtype=torch.int64), shares, self.split, classes=False)
            return replace(drawn, said=f"at random (seed {self.split})")
        answers = standardised(target, raw.columns[target.name]).encode(raw.columns[target.name])
        return at_random(answers if target.labels else tenths(answers), shares, self.split, bool(target.labels))

    def encode(self, raw: RawTable, target: str, split: Split) -> tuple[Encoding, list[Column]]:
        """Fit the encoding to the rows to learn from, without the target and what is dropped."""
        for name in self.drop:
            column_of(raw, name, "data.drop")
        out = {target, *self.drop, *split.used}
        learn = {name: [cells[row] for row in split.train] for name, cells in raw.columns.items() if name not in out}
        encoding, columns = Encoding.fit(learn, self.one_hot)
        if not encoding.codes:
            reasons = "; ".join(f"{column.name}: {column.said}" for column in columns) or "there are no others"
            what = f"{target} from" if target else "from"
            raise UserError(f"{raw.where} has no column to learn {what} ({reasons}); allowed: one at least.")
        return encoding, columns

    def together(self, raw: RawTable, target: Target, split: Split, encoding: Encoding) -> Dataset:
        """Put the parts together as numbers."""
        inputs = encoding.encode(raw.columns)  # (N, features)
        answers = target.encode(raw.columns[target.name])
        train, development, test = (
            torch.tensor(part, dtype=torch.int64) for part in (split.train, split.development, split.test)
        )
        return Dataset(
            TensorBatches(inputs[train], answers[train], batch_size=self.batch_size or batch_size(len(train))),
            held_out(inputs[development], answers[development]),
            held_out(inputs[test], answers[test]),
            inputs=(inputs.shape[1],),
            outputs=target.outputs,
            labels=target.labels,
            source=raw.where,
            reader=encoding,
        )


def batch_size(rows: int) -> int:
    """Choose how many rows a step learns from, by how many there are: 32, 128 from 5,000, 512 from 50,000.

    >>> batch_size(300), batch_size(20_000)
    (32, 128)
    """
    return 32 if rows < 5000 else 128 if rows < 50_000 else 512


KINDS = {"number": "numbers", "boolean": "yes or no", "date": "dates", "category": "categories", "none": "left out"}


def columns_said(columns: Sequence[Column], encoding: Encoding, split: Split, drop: Sequence[str]) -> dict[str, str]:
    """Say of the columns of each kind what they are, and why some are left out."""
    codes = {code.name: code for code in encoding.codes}
    lines: dict[str, list[str]] = {}
    for column in columns:
        notes = [column.said] if column.said else []
        code = codes.get(column.name)
        if code is not None and column.kind == "category":
            notes.append("many, hashed" if code.hashed else f"{len(code.values)}")
        if column.absent and column.kind != "none":
            notes.append(f"{column.absent} missing")
        lines.setdefault(KINDS[column.kind], []).append(column.name + (f" ({'; '.join(notes)})" if notes else ""))
    lines.setdefault("left out", []).extend(f"{name} (asked for)" for name in drop)
    lines["left out"].extend(f"{name} (the split goes by it)" for name in split.used)
    return {kind: shortened(lines[kind]) for kind in KINDS.values() if lines.get(kind)}


def split_said(split: Split, columns: Sequence[Column]) -> str:
    """Say how the rows were split; and if at random though there are dates, how they would go by time."""
    counts = f"{len(split.train)}, {len(split.development)} and {len(split.test)} rows"
    dates = [column.name for column in columns if column.kind == "date"]
    hint = f" (data.time={dates[0]} would judge by the latest)" if dates and not split.used else ""
    return f"{split.said}: {counts}{hint}"


def shortened(names: Sequence[str], most: int = 12) -> str:
    """List names, not too many of them.

    >>> shortened(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
