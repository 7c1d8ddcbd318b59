"""Curves read from the records of a run, thinned and smoothed for the eye."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PLACE = ("kind", "step", "epoch", "examples", "seconds", "reason")
LAYER = "gradient_norm/"
ROUTER = "router/"
TURN = "loss/"


@dataclass
class Curve:
    """A curve is what was measured at which step."""

    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: float, value: float) -> None:
        """Add a point; a second one at the same step takes the place of the first."""
        if self.steps and self.steps[-1] == step:
            self.values[-1] = value
        else:
            self.steps.append(step)
            self.values.append(value)


def curves(records: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Sort the records of `metrics.jsonl` into curves by name; an epoch's mean loss is `epoch_loss`.

    >>> found = curves([{"kind": "step", "step": 1, "loss": 2.0}, {"kind": "step", "step": 2, "loss": None},
    ...                 {"kind": "epoch", "step": 2, "loss": 1.5, "development_loss": 1.75}])
    >>> {name: (curve.steps, curve.values) for name, curve in found.items()}
    {'loss': ([1.0], [2.0]), 'epoch_loss': ([2.0], [1.5]), 'development_loss': ([2.0], [1.75])}
    """
    found: dict[str, Curve] = {}
    for record in records:
        kind, step = record.get("kind"), record.get("step")
        if kind not in ("step", "epoch") or not _number(step):
            continue
        for name, value in record.items():
            if name not in PLACE and _number(value):
                curve = "epoch_loss" if name == "loss" and kind == "epoch" else name
                found.setdefault(curve, Curve()).add(float(step), float(value))  # type: ignore[arg-type]
    return found


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def layers(found: Mapping[str, Curve]) -> dict[str, Curve]:
    """Pick the gradient norms of single layers, by the layer's name."""
    return {name.removeprefix(LAYER): curve for name, curve in found.items() if name.startswith(LAYER)}


def smooth(curve: Curve, parts: int = 40) -> Curve:
    """Average each point with its neighbours, over a window of one part of the whole.

    >>> smooth(Curve([1, 2, 3], [0.0, 3.0, 6.0]), parts=1).values
    [1.5, 3.0, 4.5]
    """
    reach = max(1, len(curve) // (2 * parts))
    total = np.concatenate([[0.0], np.cumsum(curve.values)])
    place = np.arange(len(curve))
    low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, len(curve))
    return Curve(list(curve.steps), ((total[high] - total[low]) / (high - low)).tolist())


def thin(curve: Curve, points: int = 300) -> Curve:
    """Leave out points that nobody could see, but no peak and no trough.

    >>> thin(Curve(list(range(8)), [0, 9, 1, 1, 1, 1, -5, 1]), points=4).values
    [0, 9, 1, -5, 1]
    """
    if len(curve) <= points:
        return curve
    kept: set[int] = {0, len(curve) - 1}
    for part in np.array_split(np.arange(len(curve)), max(1, points // 2)):
        values = [curve.values[i] for i in part]
        kept |= {int(part[values.index(min(values))]), int(part[values.index(max(values))])}
    order = sorted(kept)
    return Curve([curve.steps[i] for i in order], [curve.values[i] for i in order])


def lowest(curve: Curve) -> int:
    """Find where a curve is lowest: the index of the point."""
    return min(range(len(curve)), key=curve.values.__getitem__)


def grid(rows: Sequence[Curve], columns: int = 160) -> tuple[np.ndarray[Any, Any], float, float]:
    """Put curves into a grid (curves, columns) over their steps: the largest value of each cell, else NaN."""
    first = min(min(curve.steps) for curve in rows)
    last = max(max(curve.steps) for curve in rows)
    columns = max(1, min(columns, max(len(curve) for curve in rows)))
    cells = np.full((len(rows), columns), np.nan)
    for index, curve in enumerate(rows):
        place = (np.array(curve.steps) - first) / ((last - first) or 1.0)
        where = np.minimum((place * columns).astype(int), columns - 1)
        np.fmax.at(cells[index], where, np.array(curve.values))  # the larger of the two, whichever is a number
    return cells, first, last
