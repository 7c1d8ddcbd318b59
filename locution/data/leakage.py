"""Data leakage: what a model could know of its test without having learnt anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from locution.data.chance import RARE, Column, by_chance, expected_copies, surprising
from locution.data.dataset import Dataset
from locution.data.giveaways import Giveaway, giveaways
from locution.data.near_duplicate_texts import near_duplicate_texts
from locution.data.near_duplicates import Pair, near_duplicates
from locution.engine.batches import TensorBatches
from locution.errors import UserError

__all__ = ["Giveaway", "Leak", "Pair", "giveaways", "leaks", "near_duplicate_texts", "near_duplicates"]

Examples = Tensor | Sequence[str]
MOST_COLUMNS = 2000
MOST_WORK = 2e10  # multiplications: some seconds; beyond it, fewer held-out examples are looked at


@dataclass(frozen=True)
class Leak:
    """A leak is something a model can know of held-out examples without having learnt: what kind, and where.

    `kind` is "copies", "near copies" or "giveaway"; `line` says it in plain words; `pairs` are the examples, the
    training one first; `column` is the one that gives the target away.
    """

    kind: str
    line: str
    pairs: tuple[Pair, ...] = ()
    column: str = ""


def leaks(
    train: Examples,
    test: Examples,
    train_targets: Tensor | None = None,
    test_targets: Tensor | None = None,
    *,
    columns: Mapping[str, Column] | None = None,
    part: str = "test",
) -> list[Leak]:
    """Data leakage is knowing of the test what one could not know of anything new, so that its figures are too good.

    Parameters
    ----------
    train, test: numbers (N, F), pictures (N, C, H, W), or texts. train_targets, test_targets: classes (N,) or values,
    where they are known. columns: what may give the targets away, by name, each of training's rows; for numbers
    (N, F) of two columns or more they are looked at by their place. part: what the held-out part is called.

    Returns what was found: held-out examples that also stand in training, those that nearly do, and columns that
    predict the target by themselves.

    >>> draw = torch.Generator().manual_seed(0)
    >>> train, test = torch.rand(200, 5, generator=draw), torch.rand(50, 5, generator=draw)
    >>> leaks(train, test)
    []
    >>> test[7] = train[3]
    >>> print(leaks(train, test)[0].line)
    1 of 50 test examples (2.0 %) also stands in training, as test:7 = train:3: figures on it are too good.

    Reference: S. Kaufman, S. Rosset, C. Perlich, O. Stitelman, 2012, "Leakage in data mining: formulation, detection,
    and avoidance", on its formulation.
    """
    seen, held = as_columns(train), as_columns(test)
    found = duplicates(train, test, train_targets, test_targets, part=part, seen=seen, held=held)
    columns = {f"column {at}": column for at, column in enumerate(seen)} if columns is None else columns
    plain = train_targets is not None and (train_targets.dim() == 1 or train_targets.shape[1:] == (1,))
    if len(columns) > 1 and plain and train_targets is not None:
        found += [giveaway_leak(one) for one in giveaways(columns, train_targets)]
    return found


def as_columns(examples: Examples) -> list[NDArray[Any]]:
    """Take numbers (N, F) as columns; pictures and texts have none, nor do too many numbers."""
    if not isinstance(examples, Tensor) or examples.dim() != 2 or examples.shape[1] > MOST_COLUMNS:
        return []
    return list(examples.detach().cpu().numpy().T)


def duplicates(
    train: Examples,
    test: Examples,
    train_targets: Tensor | None,
    test_targets: Tensor | None,
    *,
    part: str = "test",
    seen: Sequence[Column] = (),
    held: Sequence[Column] = (),
    name: Callable[[str, int], str] = "{}:{}".format,
) -> list[Leak]:
    """Find held-out examples that stand in training, or nearly do: one leak for each of the two.

    `seen` and `held` are the columns of the two parts, where there are any: rows of few and coarse columns meet by
    chance, and no more of them than that explains are no leak. `name` calls an example by its part and its place.
    """
    if not len(train) or not len(test):
        return []
    same = copies(train, test)
    taken = {pair.second for pair in same}
    same = same if surprising(len(same), expected_copies(seen, len(test))) else []
    rows = looked_at(train, test)
    if isinstance(train, Tensor) and isinstance(test, Tensor):
        near = near_duplicates(train, test[rows])
    else:
        near = near_duplicate_texts([str(t) for t in train], [str(t) for t in test])
    near = [replace(pair, second=rows[pair.second]) for pair in near]
    near = [pair for pair in near if pair.second not in taken]
    near = [pair for pair in near if not seen or by_chance(seen, held, pair.first, pair.second) < RARE]
    found = []
    for kind, pairs in (("copies", same), ("near copies", near)):
        if pairs:
            other = other_answers(pairs, train_targets, test_targets)
            of = len(test) if kind == "copies" else len(rows)
            found.append(Leak(kind, line_of(kind, pairs, of, part, name, other), tuple(pairs)))
    return found


def copies(train: Examples, test: Examples) -> list[Pair]:
    """Find examples of the test that are, to the bit, one of training: at most one pair for each.

    >>> copies(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]]))
    [Pair(first=1, second=0, likeness=1.0)]
    """
    places: dict[bytes, int] = {}
    for at, key in enumerate(keys(train)):
        places.setdefault(key, at)
    return [Pair(places[key], at, 1.0) for at, key in enumerate(keys(test)) if key in places]


def keys(examples: Examples) -> list[bytes]:
    """Write each example as bytes that are the same for the same example."""
    if isinstance(examples, Tensor):
        flat = examples.detach().cpu().flatten(1) if examples.dim() > 1 else examples.detach().cpu().unsqueeze(1)
        plain = torch.nan_to_num(flat.float()) + 0.0  # minus zero is zero
        return [row.tobytes() for row in plain.numpy()]
    return [" ".join(str(text).split()).encode("utf-8", "replace") for text in examples]


def looked_at(train: Examples, test: Examples) -> list[int]:
    """Choose which held-out examples are compared with training: all, or as many as take some seconds, evenly."""
    rows = list(range(len(test)))
    if not isinstance(train, Tensor):
        return rows
    size = min(train[0].numel(), 1024)
    most = max(100, int(MOST_WORK / max(1, len(train) * size)))
    return rows if len(rows) <= most else [rows[at * len(rows) // most] for at in range(most)]


def other_answers(pairs: Sequence[Pair], train_targets: Tensor | None, test_targets: Tensor | None) -> int:
    """Count the pairs that have another answer in the test than in training."""
    if train_targets is None or test_targets is None:
        return 0
    return sum(not torch.equal(train_targets[pair.first], test_targets[pair.second]) for pair in pairs)


def line_of(
    kind: str, pairs: Sequence[Pair], count: int, part: str, name: Callable[[str, int], str], other: int = 0
) -> str:
    """Say in plain words what was found; `other` of the pairs have another answer in training."""
    one = len(pairs) == 1
    here, there = name(part, pairs[0].second), name("train", pairs[0].first)
    share = f"{len(pairs)} of {count} {part} examples ({100 * len(pairs) / count:.1f} %)"
    stand, them = ("stands", "it") if one else ("stand", "them")
    such = "as" if one else "such as"
    where = f"also {stand} in training, {such} {here} = {there}"
    if kind != "copies":
        where = f"nearly {stand} in training, {such} {here} and {there} ({100 * pairs[0].likeness:.1f} % alike)"
    if other == len(pairs):
        each = "with" if one else "each with"
        return (
            f"{share} {where}, {each} another answer there: the same thing again, or too little to tell them apart by."
        )
    good = "are too good" if kind == "copies" else "may be too good"
    answers = f" {other} of them with another answer there." if other else ""
    return f"{share} {where}: figures on {them} {good}.{answers}"


def giveaway_leak(found: Giveaway) -> Leak:
    """Say in plain words that a column gives the target away."""
    told = f"{found.name} alone gives the target ({found.measure} {found.score:.3f} on rows it was not fitted to)"
    return Leak("giveaway", f"{told}: is it known before the answer is? If not, leave it out.", (), found.name)


def dataset_leaks(data: Dataset) -> list[Leak]:
    """Look for leaks in a dataset that lies in memory as one tensor: of its test, and of what it is tuned on."""
    train = data.train
    if not isinstance(train, TensorBatches) or not isinstance(train.inputs, Tensor):
        return []
    found: list[Leak] = []
    for part, held in (("test", data.test), ("development", data.development)):
        if held is None or not isinstance(held.inputs, Tensor) or held.inputs.shape[1:] != train.inputs.shape[1:]:
            continue
        answers = train.targets if isinstance(train.targets, Tensor) else None
        theirs = held.targets if isinstance(held.targets, Tensor) else None
        once = answers if part == "test" else None  # what gives the target away is said once
        found += leaks(train.inputs, held.inputs, once, theirs, part=part)
    return found


def refused(found: Sequence[Leak]) -> None:
    """Refuse data that leak.

    >>> refused([Leak("copies", "2 of 5 test examples also stand in training.")])
    Traceback (most recent call last):
    locution.errors.UserError: the data leak: 2 of 5 test examples also stand in training. Allowed: data that do not...
    """
    if found:
        mend = "Allowed: data that do not leak, or data.leaks=warn."
        raise UserError(f"the data leak: {' '.join(leak.line for leak in found)} {mend}")
