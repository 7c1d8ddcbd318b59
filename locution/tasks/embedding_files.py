"""An embedding as files: the vectors, what is known of them, and a picture of where they lie."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from locution.engine.durable import write_bytes
from locution.errors import UserError, require
from locution.estimators.som import SelfOrganisingMap
from locution.reporting.alone import standing_alone
from locution.reporting.map_picture import labelled_map, map_picture
from locution.reporting.markup import Html
from locution.reporting.scatter import plane
from locution.tasks.abilities import Embedding

MAPS = ("pca", "som")


def write_embedding(found: Embedding, folder: Path, drawn: str) -> Iterator[str]:
    """Write vectors for NumPy and for TensorBoard's projector, and a picture of them; say what was written.

    embedding.npy (N, D); embedding.tsv and metadata.tsv, a row each, as the projector reads them; embedding.svg.
    """
    require(drawn in MAPS, "map", drawn, " or ".join(MAPS))
    if not bool(found.vectors.isfinite().all()):
        raise UserError("the embedding holds numbers that are not finite; allowed: a run that has not diverged.")
    vectors = found.vectors.detach().cpu().float().numpy()
    numbers = io.BytesIO()
    np.save(numbers, vectors, allow_pickle=False)
    lines = "".join("\t".join(f"{one:.9g}" for one in row) + "\n" for row in vectors)
    picture = on_a_map(found, vectors) if drawn == "som" else plane(vectors, found.labels, found.names).picture
    for name, content in (
        ("embedding.npy", numbers.getvalue()),
        ("embedding.tsv", lines.encode()),
        ("metadata.tsv", metadata(found.names, found.labels).encode()),
        ("embedding.svg", standing_alone(picture).encode()),
    ):
        write_bytes(folder / name, content)
        yield f"written: {folder / name}"


def metadata(names: Sequence[str], labels: Sequence[str]) -> str:
    """Write what is known of each vector as TensorBoard's projector reads it: a head only where there are two columns.

    >>> metadata(["test:0", "test:1"], ["a", "b"])
    'name\\tlabel\\ntest:0\\ta\\ntest:1\\tb\\n'
    >>> metadata(["good", "bad"], [])
    'good\\nbad\\n'
    """
    rows = [("name", "label"), *zip(names, labels, strict=True)] if labels else [(name,) for name in names]
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


def on_a_map(found: Embedding, vectors: NDArray[np.float32]) -> Html:
    """Lay vectors out on a self-organising map: each unit shows the example nearest to it, or what most of it are."""
    side = max(2, min(20, round((5 * len(vectors) ** 0.5) ** 0.5)))  # about 5 times the root of their number, in units
    if len(vectors) < 2:
        raise UserError("a map of one example shows nothing; allowed: two or more, or --map pca.")
    learnt = SelfOrganisingMap(rows=side, columns=side, grid="hexagonal").fit(vectors)
    flat = learnt.weights_.reshape(side * side, -1)
    nearest = np.array([((vectors - one) ** 2).sum(1).argmin() for one in flat])
    words = unit_words(learnt.predict(vectors), nearest, found)
    alt = f"a self-organising map of {len(vectors)} examples"
    if found.pictures is None:
        return labelled_map(learnt.weights_, learnt.places_, words, alt=alt)
    pictures = found.pictures.numpy()[nearest]  # (U, H, W)
    height, width = pictures.shape[1:]
    tiles = pictures.reshape(side, side, height, width)
    return map_picture(learnt.weights_, learnt.places_, (height, width), alt=alt, words=words, tiles=tiles)


def unit_words(units: NDArray[np.int64], nearest: NDArray[np.int64], found: Embedding) -> list[str]:
    """Say of each unit what most of those are that fell on it; without labels, the name of the nearest example."""
    if not found.labels:
        return [found.names[row] for row in nearest]
    fell: dict[int, Counter[str]] = {}
    for unit, label in zip(units, found.labels, strict=True):
        fell.setdefault(int(unit), Counter())[label] += 1
    return [fell[unit].most_common(1)[0][0] if unit in fell else "" for unit in range(len(nearest))]
