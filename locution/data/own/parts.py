"""The parts of one's own data: given or drawn, without an example that stands in two of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from locution.data.dataset import stratified_split
from locution.data.own.records import Records
from locution.errors import UserError

NAMES = {
    "train": ("train", "training"),
    "development": ("development", "dev", "valid", "validation", "val"),
    "test": ("test", "testing"),
}
KEPT = {"test": 0, "development": 1, "train": 2, None: 3}  # of copies in several parts, the first of these stays


def part_named(name: str) -> str | None:
    """Say which part of the data a folder or a word in a table means: train, development, test, or none.

    >>> part_named("Valid"), part_named("training"), part_named("cats")
    ('development', 'train', None)
    """
    plain = name.strip().lower()
    return next((part for part, names in NAMES.items() if plain in names), None)


def given_parts(records: Records) -> list[str | None]:
    """Read the column of a table that gives each row to a part, `split`, if it has one.

    >>> given_parts(Records("a.csv", {"split": ["train", "val"]})), given_parts(Records("a.csv", {"text": ["a"]}))
    (['train', 'development'], [None])
    """
    name = next((name for name in records.columns if name.strip().lower() == "split"), None)
    if name is None:
        return [None] * len(records)
    found = [part_named(word) for word in records.columns[name]]
    if None in found:
        word = records.columns[name][found.index(None)]
        raise UserError(f"{records.where}: the split '{word}' is none; allowed: train, valid, test.")
    return found


def plural(count: int, one: str, several: str = "") -> str:
    """Count things in words.

    >>> plural(1, "picture"), plural(1200, "class", "classes")
    ('1 picture', '1,200 classes')
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def named(names: Sequence[object], most: int = 3) -> str:
    """List a few of many names.

    >>> named(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(str(name) for name in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def without_copies(
    keys: Sequence[Hashable], targets: Sequence[Hashable], parts: Sequence[str | None], what: str
) -> tuple[list[int], list[str]]:
    """Keep one of the examples that are exact copies, and none of those whose targets contradict each other.

    keys: what tells an example from another. targets: its class or value. parts: the part it was given to, or None; of
    copies in several parts the one to be judged by stays. what: the word for one example.

    Returns the rows that stay, and what was left out, a line each.

    >>> without_copies(["x", "x", "y", "y", "z"], [0, 0, 0, 1, 1], [None] * 5, "text")
    ([0, 4], ['1 text is an exact copy ..., '2 texts have copies ...'])

    Reference: B. Barz, J. Denzler, 2020, "Do we train on test data? Purging CIFAR of near-duplicates", section 3.
    """
    groups: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    kept, copies, across, against = [], 0, 0, 0
    for rows in groups.values():
        if len({targets[row] for row in rows}) > 1:
            against += len(rows)
            continue
        kept.append(min(rows, key=lambda row: KEPT[parts[row]]))
        copies += len(rows) - 1
        across += len({parts[row] for row in rows}) - 1
    said = []
    if copies:
        inner = "is an exact copy of another and was" if copies == 1 else "are exact copies of others and were"
        said.append(f"{plural(copies, what)} {inner} left out.")
    if across:
        said.append(f"{plural(across, what)} stood in more than one part; only the one to be judged by stayed.")
    if against:
        said.append(f"{plural(against, what)} have copies with other targets, which contradict each other: left out.")
    return sorted(kept), said


def into_parts(
    classes: Tensor, given: Sequence[str | None], shares: tuple[float, float], seed: int, *, sorted_out: bool = True
) -> tuple[dict[str, Tensor], list[str]]:
    """Sort examples into the parts they were given to, or draw the parts at random, each class by the same share.

    classes: (N,); zeros where targets are values. given: a part's name or None for each. shares: of development and
    test. A part that was not given is drawn from those to learn from. sorted_out: whether there are classes at all.

    Returns the rows of each part, in rising order, and what was decided, a line each.

    >>> parts, said = into_parts(torch.zeros(10).long(), [None] * 10, (0.2, 0.3), seed=0)
    >>> [len(rows) for rows in parts.values()], said
    ([5, 2, 3], ['5 to learn from, 2 to tune on, 3 to be judged by: drawn at random, each class by the same share.'])

    Reference: R. Kohavi, 1995, "A study of cross-validation and bootstrap for accuracy estimation and model selection".
    """
    known = {part for part in given if part}
    rows = {part: rows_of(given, part) for part in NAMES} if known else {"train": torch.arange(len(given))}
    drawn = [part for part in ("development", "test") if part not in known]
    if known and "train" not in known:
        raise UserError(f"the data have a part {', '.join(sorted(known))} and none to learn from; allowed: also train.")
    wanted = tuple(share for part, share in zip(("development", "test"), shares, strict=True) if part in drawn)
    if drawn:
        chosen = stratified_split(classes[rows["train"]], wanted, seed)
        pool = rows["train"]
        rows |= {part: pool[places] for part, places in zip(("train", *drawn), chosen, strict=True)}
    rows = {part: rows[part] for part in NAMES}
    how = "drawn at random, each class by the same share" if sorted_out else "drawn at random"
    if known:
        also = f"; {' and '.join(drawn)} drawn from those to learn from" if drawn else ""
        how = f"as the data say{also}"
    counts = [len(part) for part in rows.values()]
    line = f"{counts[0]:,} to learn from, {counts[1]:,} to tune on, {counts[2]:,} to be judged by: {how}."
    return rows, [line]


def rows_of(given: Sequence[str | None], part: str) -> Tensor:
    """Find the rows that were given to a part."""
    return torch.tensor([row for row, name in enumerate(given) if name == part], dtype=torch.int64)


def class_lines(labels: Sequence[str], counts: Sequence[int], what: str) -> list[str]:
    """Say how many examples the classes have, and which have too few to learn or to judge.

    >>> class_lines(["cat", "dog"], [40, 3], "picture")
    ['2 classes of 3 to 40 pictures.', 'dog: 3 pictures, too few to learn or to be judged by: more than 10 are better.']
    """
    least, most = min(counts), max(counts)
    many = f"{least:,} to {most:,} {what}s" if least < most else f"{plural(least, what)} each"
    said = [f"{plural(len(labels), 'class', 'classes')} of {many}."]
    few = [(label, count) for label, count in zip(labels, counts, strict=True) if count <= 10]
    if few and len(few) < 4:
        listed = ", ".join(f"{label}: {plural(count, what)}" for label, count in few)
        said.append(f"{listed}, too few to learn or to be judged by: more than 10 are better.")
    elif few:
        said.append(f"{plural(len(few), 'class', 'classes')} have 10 {what}s or fewer, such as {few[0][0]}: too few.")
    return said
