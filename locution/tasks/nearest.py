"""What lies nearest to an input for a trained model, among the examples it learnt from, or among words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from locution.engine.durable import write_bytes
from locution.errors import UserError, require
from locution.estimators.neighbours import INDEXES, NearestNeighbours
from locution.reporting.alone import gallery_png, standing_alone, with_key
from locution.reporting.drawn import graph
from locution.reporting.recall_curve import recall_and_speed
from locution.reporting.results import Gallery
from locution.tasks.abilities import Embedding, able

if TYPE_CHECKING:
    from locution.recipe import Recipe
    from locution.tasks.task import Task

EFFORTS = {"hnsw": (1, 4, 16, 64, 128, 256), "ivf_pq": (1, 2, 4, 8, 16, 32)}


@dataclass(frozen=True)
class Near:
    """One that lies near: its name, its class if it is known, its distance, and its row in what was searched."""

    name: str
    label: str
    distance: float
    row: int


def nearest(asked: Embedding, among: Embedding, count: int, by: str = "exact") -> list[list[Near]]:
    """Find for each that is asked for so many that lie nearest to it, the nearest first; itself does not count.

    by: exact, hnsw or ivf_pq, what searches.

    >>> import torch
    >>> among = Embedding(torch.tensor([[0.0], [1.0], [5.0]]), ["a", "b", "c"])
    >>> asked = Embedding(torch.tensor([[0.9], [0.0]]), ["new", "a"])
    >>> [[one.name for one in row] for row in nearest(asked, among, 2)]
    [['b', 'a'], ['b', 'c']]
    """
    require(by in INDEXES, "by", by, ", ".join(INDEXES))
    most = len(among.names) - 1
    require(1 <= count <= most, "k", count, f"a whole number from 1 to {most}, one less than there are")
    if asked.vectors.shape[1] != among.vectors.shape[1]:
        raise UserError(f"the input lies in {asked.vectors.shape[1]} dimensions; allowed: {among.vectors.shape[1]}.")
    search = NearestNeighbours(neighbours=count + 1, index=by).fit(among.vectors.double().numpy())
    away, places = search.kneighbors(asked.vectors.double().numpy())
    found = []
    for name, distances, rows in zip(asked.names, away, places, strict=True):
        listed = [
            Near(among.names[row], among.labels[row] if among.labels else "", float(far), int(row))
            for far, row in zip(distances, rows, strict=True)
            if row >= 0 and among.names[row] != name
        ]
        found.append(listed[:count])
    return found


def tell(asked: Embedding, found: Sequence[Sequence[Near]]) -> Iterator[str]:
    """Say what lies nearest to each, a line each."""
    for place, (name, row) in enumerate(zip(asked.names, found, strict=True)):
        label = f" ({asked.labels[place]})" if asked.labels and asked.labels[place] else ""
        yield f"{name}{label}"
        width = max(len(one.name) for one in row) if row else 0
        for number, one in enumerate(row, start=1):
            yield f"  {number:>2}  {one.name:<{width}}  {f'{one.label}  ' if one.label else ''}{one.distance:.4g}"


def neighbours(
    task: Task, recipe: Recipe, folder: Path, inputs: Sequence[str], count: int, by: str, part: str, out: Path
) -> Iterator[str]:
    """Find what lies nearest to each input, say it, and where they are pictures write them beside each other."""
    placer = able(task, "embed", folder)
    if not inputs:
        raise UserError("neighbours came without an input; allowed: what predict takes, such as test:3, or --curve.")
    require(by in INDEXES, "by", by, ", ".join(INDEXES))
    asked, among = placer.embed(recipe, folder, inputs, part), placer.embed(recipe, folder, [], part)
    found = nearest(asked, among, count, by)
    yield from tell(asked, found)
    picture = side_by_side(asked, among, found)
    if picture is not None:
        write_bytes(out, gallery_png(picture))
        yield f"written: {out}"


def side_by_side(asked: Embedding, among: Embedding, found: Sequence[Sequence[Near]]) -> Gallery | None:
    """Set pictures before those that lie nearest to them, a row each; nothing where there are none to see."""
    if among.pictures is None:
        return None
    pictures = among.pictures.numpy()
    longest = max(len(row) for row in found)
    first = asked.pictures is not None
    rows = np.zeros((len(found), longest + first, *pictures.shape[1:]), dtype=pictures.dtype)
    for place, row in enumerate(found):
        if asked.pictures is not None:
            rows[place, 0] = asked.pictures[place].numpy()
        for number, one in enumerate(row):
            rows[place, number + first] = pictures[one.row]
    return Gallery("Nearest neighbours", rows, "first the picture asked for, then those that lie nearest")


def curve(task: Task, recipe: Recipe, folder: Path, part: str, out: Path, count: int = 10) -> Iterator[str]:
    """Measure on a run's own vectors how many of the nearest an index finds against how fast it answers; draw it."""
    placer: Any = able(task, "embed", folder)
    points, queries = (placer.embed(recipe, folder, [], name).vectors.double().numpy() for name in (part, "test"))
    require(len(points) > count, "examples to search among", len(points), f"more than {count}")
    drawn = recall_and_speed(points, queries, EFFORTS, count)
    yield f"{'index':<8}{'effort':>8}{f'recall@{count}':>12}{'queries/s':>12}"
    for index, (shares, speeds) in drawn.lines.items():
        for effort, share, speed in zip(EFFORTS.get(index, ("",)), shares, speeds, strict=True):
            usual = {"hnsw": 128, "ivf_pq": 16}.get(index) == effort
            yield f"{index:<8}{effort:>8}{share:>12.4f}{speed:>12,.0f}{'   its default' if usual else ''}"
    write_bytes(out, standing_alone(with_key(graph(drawn), list(drawn.lines))).encode())
    yield f"written: {out}"
