"""What laying digits out on a map costs: locution's batch training against minisom, at no worse errors.

    python -m benchmarks.som [--quick] [--peers PYTHON]

minisom lives in the peers' environment (`make bench` builds it), so the whole comparison runs there, both sides in one
process on one thread, CPU time, everyone in turn. Each lays the 1,797 digits out on 30 x 30 units: minisom from its
plane with 10,000 examples drawn by chance and one of three radii, locution with its defaults and the final radius
that gives a map of as much detail. Both maps are judged by minisom's own two errors; ours must be the lower in both.
Exit code 1 when a goal is missed, an error is the higher, or the two sides' errors of one map differ.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
SIDE, DRAWN = 30, 10_000
RADII = {1.0: 0.4, 2.0: 0.7, 3.0: 0.9}  # minisom's sigma: our final radius
GOAL = 0.1  # ten times as fast


def laid_out(minisom: Any, rows: Any, sigma: float) -> Any:
    """Train minisom's map."""
    theirs = minisom.MiniSom(SIDE, SIDE, rows.shape[1], sigma=sigma, learning_rate=0.5, random_seed=0)
    theirs.pca_weights_init(rows)
    theirs.train(rows, DRAWN, random_order=True)
    return theirs


def judged(minisom: Any, rows: Any, weights: Any) -> tuple[float, float]:
    """Take the quantisation and the topographic error of a map as minisom does."""
    judge = minisom.MiniSom(SIDE, SIDE, rows.shape[1])
    judge._weights = weights
    return float(judge.quantization_error(rows)), float(judge.topographic_error(rows))


def measure(*, quick: bool) -> int:
    """Run it in an environment that has minisom."""
    import minisom  # type: ignore[import-not-found,unused-ignore]
    from sklearn.datasets import load_digits

    from locution.estimators.som import SelfOrganisingMap

    rows, table, facts, fine = load_digits().data / 16, list[Ratio](), [], True
    for sigma, radius in RADII.items():
        ours = SelfOrganisingMap(rows=SIDE, columns=SIDE, final_radius=radius)

        def fit(ours: SelfOrganisingMap = ours) -> object:
            return ours.fit(rows)

        def theirs(sigma: float = sigma) -> object:
            return laid_out(minisom, rows, sigma)

        times = interleave({"locution": fit, "minisom": theirs}, 3 if quick else 9)
        ratio = compare(times, "locution", "minisom", 1, GOAL)
        ratio.name = f"locution / minisom, sigma {sigma:g}"
        table.append(ratio)
        found = judged(minisom, rows, ours.weights_)
        against = judged(minisom, rows, laid_out(minisom, rows, sigma)._weights)
        same = np.allclose(found, (ours.quantisation_error_, ours.topographic_error_), rtol=1e-4)
        fine &= same and found[0] <= against[0] and found[1] <= against[1]
        facts.append(
            f"sigma {sigma:g}: quantisation error {found[0]:.3f} (minisom {against[0]:.3f}), topographic error "
            f"{found[1]:.3f} (minisom {against[1]:.3f}); as locution counts them: {'the same' if same else 'others'}."
        )
    title = f"{len(rows):,} digits on {SIDE} x {SIDE} units"
    show(title, table)
    code = finish("som", {title: table}, quick=quick, facts=facts)
    return code if fine else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python, which has minisom; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.som", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
