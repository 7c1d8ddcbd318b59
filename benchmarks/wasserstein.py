"""What the distance of two sets of numbers costs: locution's sorting against POT, and that both find the same.

    python -m benchmarks.wasserstein [--quick] [--peers PYTHON]

POT lives in the peers' environment (`make bench` builds it), so the whole comparison runs there, both sides in one
process on one thread, CPU time, everyone in turn: 100,000 numbers a side in double precision, POT on NumPy's arrays,
where it is fastest; with the gradient to one side, on torch's. Without weights the goal is a tenth of its function of
this name. No goal is set beside its older `emd2_1d`, which gives no gradient, and with weights, where both merge the
sorted sides. Before the clock runs, distances are compared with
POT's on lists of many lengths, weighted or not, and entropic costs with its `sinkhorn` in logarithms. Exit code 1 when
a goal is missed or a distance differs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
COUNT, GOAL, CLOSE = 100_000, 0.1, 1e-8


def apart(ot: Any) -> float:
    """Find the largest relative difference between our distances and POT's."""
    from locution.losses.sinkhorn import sinkhorn
    from locution.losses.wasserstein import wasserstein_distance

    draw, worst = np.random.default_rng(0), 0.0
    for _ in range(200):
        sizes = draw.integers(1, 50, 2)
        (x, y), (a, b) = ([draw.normal(size=size) for size in sizes], [draw.random(size) + 1e-3 for size in sizes])
        p = float(draw.choice([1.0, 1.5, 2.0]))
        theirs = float(ot.wasserstein_1d(x, y, a / a.sum(), b / b.sum(), p=p)) ** (1 / p)
        one, other, light, heavy = map(torch.from_numpy, (x, y, a, b))
        ours = float(wasserstein_distance(one, other, p, light, heavy))
        worst = max(worst, abs(ours - theirs) / theirs)
    for epsilon in (0.1, 1.0):
        x, y = draw.normal(size=(20, 3)), draw.normal(size=(30, 3)) + 1
        a, b, cost = np.full(20, 1 / 20), np.full(30, 1 / 30), ot.dist(x, y)
        plan = ot.sinkhorn(a, b, cost, epsilon, method="sinkhorn_log", numItermax=20_000, stopThr=1e-12)
        theirs = float((plan * cost).sum() + epsilon * (plan * np.log(plan / np.outer(a, b))).sum())
        ours = float(sinkhorn(torch.from_numpy(x), torch.from_numpy(y), epsilon, tolerance=1e-10, turns=20_000))
        worst = max(worst, abs(ours - theirs) / theirs)
    return worst


def contests(ot: Any) -> list[tuple[str, float | None, Callable[[], object], Callable[[], object]]]:
    """Set both sides against each other: a name, a goal, ours, theirs."""
    from locution.losses.wasserstein import wasserstein_distance

    draw = np.random.default_rng(0)
    x, y, a = draw.normal(size=COUNT), draw.normal(size=COUNT) + 1, draw.random(COUNT)
    share, one, other, weights = a / a.sum(), *map(torch.from_numpy, (x, y, a))
    moved = torch.from_numpy(x.copy()).requires_grad_()

    def backward(distance: Any) -> object:
        return torch.autograd.grad(distance(moved, other), moved)

    return [
        ("wasserstein_1d", GOAL, lambda: wasserstein_distance(one, other), lambda: ot.wasserstein_1d(x, y, p=1)),
        ("emd2_1d", None, lambda: wasserstein_distance(one, other), lambda: ot.emd2_1d(x, y, metric="euclidean")),
        ("p = 2", GOAL, lambda: wasserstein_distance(one, other, 2.0), lambda: ot.wasserstein_1d(x, y, p=2)),
        ("with its gradient", GOAL, lambda: backward(wasserstein_distance), lambda: backward(ot.wasserstein_1d)),
        (
            "weighted",
            None,
            lambda: wasserstein_distance(one, other, x_weights=weights),
            lambda: ot.wasserstein_1d(x, y, share, p=1),
        ),
    ]


def measure(*, quick: bool) -> int:
    """Run it in an environment that has POT."""
    import ot  # type: ignore[import-not-found,unused-ignore]

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # POT uses what torch will drop
    worst, table = apart(ot), list[Ratio]()
    for name, goal, ours, theirs in contests(ot):
        times = interleave({"locution": ours, "POT": theirs}, 9 if quick else 41)
        ratio = compare(times, "locution", "POT", 1, goal)
        ratio.name = f"locution / POT, {name}"
        table.append(ratio)
    title = f"distance of {COUNT:,} numbers to as many"
    show(title, table)
    fact = f"Largest relative difference between the two sides' distances: {worst:.1e} (allowed {CLOSE:.0e})."
    code = finish("wasserstein", {title: table}, quick=quick, facts=[fact])
    return code if worst <= CLOSE else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python, which has POT; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.wasserstein", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
