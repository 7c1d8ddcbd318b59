"""How far from the best place Bayesian optimisation is after so many looks, beside random search.

`python -m benchmarks.tuning` searches Branin's function and the six-dimensional function of Hartmann, whose lowest
values are known, and the learning rate of the `digits` recipe, 10 seeds each; nothing here is a measure of time.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from locution.evaluation.significance import sign_flip
from locution.studies.search import SAMPLERS, search
from locution.studies.space import Dimension, Value
from locution.studies.tune import tune

SEEDS = 10
BRANIN = [Dimension("x", "lin", -5.0, 10.0), Dimension("y", "lin", 0.0, 15.0)]
HARTMANN = [Dimension(f"x{place}", "lin", 0.0, 1.0) for place in range(6)]
WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
SLOPES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
PLACES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(at: Mapping[str, Value]) -> float:
    """Branin's function; its lowest value is 0.397887."""
    x, y = float(at["x"]), float(at["y"])
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(at: Mapping[str, Value]) -> float:
    """Hartmann's function of six numbers; its lowest value is -3.32237."""
    point = np.array([float(at[f"x{place}"]) for place in range(6)])
    return float(-WEIGHTS @ np.exp(-(SLOPES * (point - PLACES) ** 2).sum(1)))


def regrets(
    function: Callable[[Mapping[str, Value]], float], space: list[Dimension], lowest: float, looks: int, sampler: str
) -> list[float]:
    """Measure, a seed each, how far above the lowest value the best of so many looks is."""
    return [
        min(value for _, value in search(function, space, looks, sampler=sampler, seed=seed)) - lowest
        for seed in range(SEEDS)
    ]


def rates(sampler: str, trials: int) -> list[float]:
    """Tune the learning rate of a small network on digits; the best development loss, a seed each."""
    words = ["epochs=3", "model.widths=[64]", "optimizer.lr=log:1e-6:1"]
    found = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "tune"
            tuned, _ = tune("digits", *words, trials=trials, sampler=sampler, seed=seed, out=out, quiet=True)
            found.append(tuned.best.value)
    return found


def show(title: str, found: Mapping[str, list[float]]) -> None:
    """Print the middle value of each sampler, and how surely it differs from random search."""
    print(f"\n### {title}\n\n| | median | worst of {SEEDS} | better than random on | p |\n|---|---:|---:|---:|---:|")
    for name, values in found.items():
        pairs = [one - other for one, other in zip(values, found["random"], strict=True)]
        wins = "" if name == "random" else f"{sum(one < 0 for one in pairs)} of {SEEDS}"
        chance = "" if name == "random" else f"{sign_flip(pairs):.3f}"
        print(f"| {name} | {np.median(values):.4f} | {max(values):.4f} | {wins} | {chance} |", flush=True)


def main() -> None:
    """Print the three searches."""
    show("Branin, distance from the lowest value after 30 looks",
         {name: regrets(branin, BRANIN, 0.397887, 30, name) for name in SAMPLERS})  # fmt: skip
    show("Hartmann in six dimensions, distance from the lowest value after 60 looks",
         {name: regrets(hartmann, HARTMANN, -3.32237, 60, name) for name in SAMPLERS})  # fmt: skip
    show("Learning rate of digits, development loss of the best of 10 trials",
         {name: rates(name, 10) for name in SAMPLERS})  # fmt: skip


if __name__ == "__main__":
    main()
