"""Commands that show where a run places its inputs, and what lies near what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from locution.commands.numbers import Whole


def embed(
    run: str,
    *inputs: Annotated[str, Parameter(allow_leading_hyphen=True)],
    part: str = "test",
    map: str = "pca",
    out: str = "",
) -> None:
    """Write where a run places its inputs: locution embed runs/digits/latest --map som

    Writes embedding.npy, embedding.tsv and metadata.tsv (for TensorBoard's projector), and embedding.svg, a picture.

    Parameters
    ----------
    run
        a run folder, or a recipe's name for its newest run.
    inputs
        what to place, as predict takes it; without any, a whole part of the data.
    part
        train, development or test; for a run on texts also words.
    map
        pca draws the plane of most spread, som a self-organising map.
    out
        the folder to write to; embedding in the run's own if empty.
    """
    from locution.runs import Run
    from locution.tasks.abilities import able
    from locution.tasks.embedding_files import write_embedding

    opened = Run.open(run)
    found = able(opened.task, "embed", opened.folder).embed(opened.recipe, opened.folder, inputs, part)
    for line in write_embedding(found, Path(out) if out else opened.folder / "embedding", map):
        print(line)


def neighbours(
    run: str,
    *inputs: Annotated[str, Parameter(allow_leading_hyphen=True)],
    count: Annotated[Whole, Parameter(name=["--count", "-k"])] = 5,
    by: str = "exact",
    among: str = "train",
    curve: bool = False,
    out: str = "",
) -> None:
    """Say what lies nearest to an input for a run: locution neighbours runs/digits/latest test:3 -k 5

    Parameters
    ----------
    run
        a run folder, or a recipe's name for its newest run.
    inputs
        what to look for, as predict takes it.
    count
        how many neighbours.
    by
        what searches: exact, hnsw or ivf_pq.
    among
        what is searched: train, development or test; for a run on texts also words.
    curve
        measure instead what indexes find against how fast they answer, of this run's own vectors.
    out
        the file of the picture; neighbours.png, or neighbours-curve.svg, in the run's folder if empty.
    """
    from locution import runs
    from locution.tasks import nearest

    opened = runs.Run.open(run)
    task, recipe, folder = opened.task, opened.recipe, opened.folder
    place = Path(out) if out else folder / ("neighbours-curve.svg" if curve else "neighbours.png")
    lines = (
        nearest.curve(task, recipe, folder, among, place)
        if curve
        else nearest.neighbours(task, recipe, folder, inputs, count, by, among, place)
    )
    for line in lines:
        print(line)
