"""What it is worth to have seen pictures without labels first: a deep belief network, by how many labels there are.

    python -m benchmarks.pretraining [--quick] [--seeds N ...] [--labels N ...]

For each seed the stack of Boltzmann machines of `digits/belief_layers` learns from all pictures without labels. Then
three networks learn from so many labelled ones, as many steps each, with the settings of `digits/belief`: one that
begins with the stack, the same from scratch, and a perceptron of ReLUs of the same widths from scratch. The seed says
which examples are labelled and which are held out, the same for all three; none that is held out is seen before. The
numbers of labels were fixed before anything was looked at. Shown are the means over the seeds, and the difference that
the start makes, with the interval of its mean over pairs of equal seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import RESULTS, machine
from locution.runs import train
from locution.studies.effects import Effect, Outcome, effect

LABELS = (10, 20, 50, 100, 200, 0)  # 0: all
SEEDS = (0, 1, 2, 3, 4)
STEPS = 1000
SCRATCH = ("start=null", "fresh=")
WIDTHS = "[256,256,256]"
SIDES = {
    "stack first": (),
    "from scratch": SCRATCH,
    "ReLUs from scratch": (*SCRATCH, f"model={{name: mlp, widths: {WIDTHS}}}"),
}


def accuracy(name: str, *words: str) -> float:
    """Train a recipe and say how many of the held-out examples it answers rightly."""
    found: float = train(name, *words, quiet=True).results["metrics"]["accuracy"]["value"]
    return found


def learnt(folder: Path, seed: int, labels: Sequence[int], steps: int, epochs: int) -> dict[str, dict[int, float]]:
    """Train everything of one seed: of each side its accuracy by the number of labels."""
    same = (f"seed={seed}", f"data.split={seed}")
    stack = folder / f"stack-{seed}"
    train("digits/belief_layers", *same, f"epochs={epochs}", f"run_dir={stack}", quiet=True)
    found: dict[str, dict[int, float]] = {side: {} for side in SIDES}
    for count in labels:
        for side, words in SIDES.items():
            begun = words or (f"start={stack}",)
            run = folder / f"{side.replace(' ', '-')}-{seed}-{count}"
            data = (f"data.per_class={count // 10}", "data.batch_size=10")
            length = ("epochs=null", f"steps={steps}", f"run_dir={run}")
            found[side][count] = accuracy("digits/belief", *same, *data, *length, *begun)
    return found


def gain(found: dict[int, dict[str, dict[int, float]]], count: int) -> Effect:
    """Say what the start is worth with so many labels."""
    plain, begun = (
        {seed: Outcome({"accuracy": one[side][count]}) for seed, one in found.items()}
        for side in ("from scratch", "stack first")
    )
    return effect("stack first", plain, begun, "accuracy", better="higher")


def table(found: dict[int, dict[str, dict[int, float]]], labels: Sequence[int]) -> list[str]:
    """Lay it out as Markdown."""
    lines = [f"| labels | {' | '.join(SIDES)} | what the stack gains |", "|---:|" + "---:|" * (len(SIDES) + 1)]
    for count in labels:
        means = [sum(one[side][count] for one in found.values()) / len(found) for side in SIDES]
        worth = gain(found, count)
        cells = [f"{mean:.3f}" for mean in means] + [f"{worth.mean:+.3f} [{worth.low:+.3f}, {worth.high:+.3f}]"]
        lines.append(f"| {count or 'all'} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds, few labels, few steps: does it run?")
    parser.add_argument("--seeds", type=int, nargs="+", default=None)
    parser.add_argument("--labels", type=int, nargs="+", default=None, help="multiples of 10; 0 for all")
    parser.add_argument("--show", action="store_true", help="print the table of the last full run")
    chosen = parser.parse_args()
    kept = RESULTS / "pretraining.json"
    if chosen.show:
        print("\n".join(json.loads(kept.read_text(encoding="utf-8"))["table"]))
        return 0
    seeds = tuple(chosen.seeds or (SEEDS[:2] if chosen.quick else SEEDS))
    labels = tuple(chosen.labels or (LABELS[:2] if chosen.quick else LABELS))
    steps, epochs = (20, 3) if chosen.quick else (STEPS, 150)
    found: dict[int, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            found[seed] = learnt(Path(folder), seed, labels, steps, epochs)
            print(f"seed {seed}: {found[seed]}", flush=True)
    lines = table(found, labels)
    print("\n".join(lines))
    if (seeds, labels, chosen.quick) == (SEEDS, LABELS, False):
        record = {"benchmark": "pretraining", "machine": machine(), "steps": steps, "found": found, "table": lines}
        kept.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
