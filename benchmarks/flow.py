"""What a normalising flow costs, and how much it learns: locution's couplings against zuko's, at equal size.

    python -m benchmarks.flow [--quick] [--peers PYTHON]

zuko lives in the peers' environment (`make bench` builds it), so the whole comparison runs there, both sides in one
process on one thread, CPU time, everyone in turn. Both flows have as many couplings of the same kind, with hidden
layers of the same widths, and as many weights: locution's with the halves by turns and no actnorm, as zuko's are. First
the likelihood of 1,000 examples is timed, of 2 and of 64 numbers each, affine and spline, and a step of training; then
both learn two moons from the same batches with the same optimizer, seed by seed, and are judged by the same points.
Exit code 1 when a goal is missed, when the sizes differ, or when locution's likelihood is the lower by more than chance
explains.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
COUNT, COUPLINGS, WIDTHS, BINS = 1000, 8, (64, 64), 8
GOAL = 1.0  # no slower
CLOSE = 0.02  # nats that are no difference


def ours(size: int, spline: bool) -> nn.Module:
    """Make locution's flow."""
    from locution.models.flow import FlowModel

    kind: Any = "spline" if spline else "affine"
    part = FlowModel(COUPLINGS, kind, BINS, WIDTHS, mixing="swap", actnorm=False)
    return part.build((size,), 1)


def theirs(size: int, spline: bool) -> nn.Module:
    """Make zuko's."""
    from zuko.flows import NICE  # type: ignore[import-not-found,unused-ignore]
    from zuko.transforms import MonotonicRQSTransform  # type: ignore[import-not-found,unused-ignore]

    bent = {"univariate": MonotonicRQSTransform, "shapes": [(BINS,), (BINS,), (BINS - 1,)]} if spline else {}
    flow: nn.Module = NICE(size, transforms=COUPLINGS, hidden_features=WIDTHS, **bent)
    return flow


def log_likelihood(flow: Any, x: Tensor) -> Tensor:
    """Ask either flow how likely examples are: (N, D) -> (N,)."""
    found: Tensor = flow().log_prob(x) if type(flow).__module__.startswith("zuko") else flow(x)["log_likelihood"]
    return found


def weights(flow: nn.Module) -> int:
    """Count the weights."""
    return sum(parameter.numel() for parameter in flow.parameters())


def answering(flow: nn.Module, x: Tensor) -> Callable[[], object]:
    """Measure likelihoods, with nothing kept for a gradient."""

    def answer() -> object:
        with torch.inference_mode():
            return log_likelihood(flow, x)

    return answer


def stepping(flow: nn.Module, x: Tensor) -> Callable[[], object]:
    """Take the gradient of the mean likelihood."""

    def step() -> object:
        flow.zero_grad()
        loss = -log_likelihood(flow, x).mean()
        return loss.backward()  # type: ignore[no-untyped-call]

    return step


def timed(quick: bool) -> tuple[list[Ratio], bool]:
    """Set both sides against each other, and say whether they are of one size."""
    table, same = [], True
    for spline in (False, True):
        for size in (2, 64):
            torch.manual_seed(0)
            x, pair = torch.randn(COUNT, size), {"locution": ours(size, spline), "zuko": theirs(size, spline)}
            same &= weights(pair["locution"]) == weights(pair["zuko"])
            for what, make in (("likelihood", answering), ("training step", stepping)):
                contest = {name: make(flow, x) for name, flow in pair.items()}
                times = interleave(contest, 5 if quick else 41)
                ratio = compare(times, "locution", "zuko", COUNT, GOAL, unit="example")
                ratio.name = f"{'spline' if spline else 'affine'}, {size} numbers, {what}"
                table.append(ratio)
    return table, same


def learnt(flow: nn.Module, seed: int, steps: int) -> float:
    """Let a flow learn two moons; say how likely held-out points are, in nats."""
    from locution.data.two_moons import draw_moons

    held, _ = draw_moons(10_000, 0.1, torch.Generator().manual_seed(12345))
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x, _ = draw_moons(256, 0.1, draw)
        optimizer.zero_grad()
        loss = -log_likelihood(flow, x).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        return float(log_likelihood(flow, held).mean())


def contest(quick: bool) -> tuple[list[str], bool]:
    """Let both sides learn, seed by seed; say what came of it, and whether locution's is no worse."""
    facts, fine = [], True
    steps, seeds = (150, 2) if quick else (2000, 5)
    for spline in (False, True):
        found: dict[str, list[float]] = {"locution": [], "zuko": []}
        for seed in range(seeds):
            for name, make in (("locution", ours), ("zuko", theirs)):
                torch.manual_seed(seed)
                found[name].append(learnt(make(2, spline), seed, steps))
        apart = [one - other for one, other in zip(found["locution"], found["zuko"], strict=True)]
        error = statistics.stdev(apart) / len(apart) ** 0.5
        mean = statistics.mean(apart)
        fine &= quick or mean >= -max(CLOSE, 2 * error)  # what has hardly begun to learn says nothing
        means = {name: statistics.mean(values) for name, values in found.items()}
        kind = "spline" if spline else "affine"
        facts.append(
            f"{kind}, two moons, {steps} steps, {seeds} seeds: log-likelihood of held-out points "
            f"{means['locution']:.3f} nats (zuko {means['zuko']:.3f}); difference {mean:+.3f}, error {error:.3f}."
        )
    return facts, fine


def measure(*, quick: bool) -> int:
    """Run it in an environment that has zuko."""
    torch.set_num_threads(1)
    table, same = timed(quick)
    title = f"{COUNT:,} examples through {COUPLINGS} couplings of widths {', '.join(map(str, WIDTHS))}"
    show(title, table)
    facts, fine = contest(quick)
    facts.append(f"Both sides have {'as many weights' if same else 'other numbers of weights'}.")
    code = finish("flow", {title: table}, quick=quick, facts=facts)
    return code if fine and same else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer rounds, same goals; what is learnt in a few steps is shown, not judged",
    )
    parser.add_argument("--peers", default="", help="the peers' python, which has zuko; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.flow", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
