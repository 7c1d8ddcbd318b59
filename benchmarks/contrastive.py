"""What a contrastive loss costs at a large batch: locution's tiles against the whole table, memory and time.

    python -m benchmarks.contrastive [--quick] [--peers PYTHON]

NT-Xent and its gradient, 128 numbers a view, single precision, one thread, CPU time, everyone in turn. The plain one
holds the table of all cosines, as textbooks write it. At 8,192 pairs locution's is to take a tenth of its memory (at
the 2,048 of --quick, where its tiles are more of the whole, a fifth) and no more time. Memory is counted tensor by
tensor, at half that batch, too: it is to grow as the batch does, and not as its square. pytorch-metric-learning lives
in the peers' environment (`make bench` builds it), so the whole comparison runs there; its NTXentLoss sets every
positive against all negatives, memory by the cube of the batch, and so runs at 128 pairs. Before the clock runs, losses
and gradients of all three are compared in double precision. Exit code 1 when a goal is missed or they differ.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
WIDTH, TEMPERATURE = 128, 0.1
LARGE, QUICK, SHARED = 8192, 2048, 128  # pairs
GOAL_TIME, GOAL_PEER, GOAL_MEMORY, GOAL_QUICK, GROWTH, CLOSE = 1.0, 0.5, 0.1, 0.2, 2.2, 1e-6
Loss = Callable[[Tensor, Tensor], Tensor]


def plain(first: Tensor, second: Tensor) -> Tensor:
    """The loss as it is usually written: the whole table of cosines, and a cross-entropy over its rows."""
    views = functional.normalize(torch.cat([first, second]), dim=1)
    table = views @ views.T / TEMPERATURE
    table.fill_diagonal_(-torch.inf)
    own = torch.arange(len(views), device=views.device).roll(len(first))
    return functional.cross_entropy(table, own)


def ours(first: Tensor, second: Tensor) -> Tensor:
    """The loss of locution."""
    from locution.losses.contrastive import nt_xent

    return nt_xent(first, second, TEMPERATURE).mean()


def peer() -> Loss:
    """The loss of pytorch-metric-learning."""
    from pytorch_metric_learning.losses import NTXentLoss  # type: ignore[import-not-found,unused-ignore]

    made: Any = NTXentLoss(temperature=TEMPERATURE)

    def theirs(first: Tensor, second: Tensor) -> Tensor:
        found: Tensor = made(torch.cat([first, second]), torch.arange(len(first)).repeat(2))
        return found

    return theirs


def drawn(pairs: int, kind: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Draw pairs of views that lie near each other."""
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(pairs, WIDTH, generator=draw, dtype=kind)
    second = first + torch.randn(pairs, WIDTH, generator=draw, dtype=kind)
    return first.requires_grad_(), second.requires_grad_()


def step(loss: Loss, pairs: tuple[Tensor, Tensor]) -> Callable[[], object]:
    """A loss and its gradient."""
    return lambda: torch.autograd.grad(loss(*pairs), pairs)


def apart(losses: list[Loss]) -> float:
    """Find the largest difference of the others' losses and gradients from the first one's."""
    pairs = drawn(100, torch.float64)
    found = [
        torch.cat([loss(*pairs)[None], *(g.flatten() for g in torch.autograd.grad(loss(*pairs), pairs))])
        for loss in losses
    ]
    return max(float((one - found[0]).detach().abs().max()) for one in found[1:])


def raced(name: str, loss: Loss, pairs: int, rounds: int, goal: float) -> Ratio:
    """Let locution and another take turns."""
    both = {"locution": step(ours, drawn(pairs)), name: step(loss, drawn(pairs))}
    ratio = compare(interleave(both, rounds), "locution", name, 1, goal)
    ratio.name = f"locution / {name}, {pairs:,} pairs"
    return ratio


def measure(*, quick: bool) -> int:
    """Run it in an environment that has pytorch-metric-learning."""
    from locution.inference.memory import peak_memory

    torch.set_num_threads(1)
    theirs, large = peer(), QUICK if quick else LARGE
    worst = apart([ours, plain, theirs])
    table = [
        raced("the whole table", plain, large, 3 if quick else 7, GOAL_TIME),
        raced("pytorch-metric-learning", theirs, SHARED, 3 if quick else 9, GOAL_PEER),
    ]
    half, whole, tables = (
        peak_memory(step(loss, drawn(pairs))) for loss, pairs in ((ours, large // 2), (ours, large), (plain, large))
    )
    share, growth, goal = whole / tables, whole / half, GOAL_QUICK if quick else GOAL_MEMORY
    facts = [
        f"Memory at {large:,} pairs: {whole / 1e6:,.0f} MB, the whole table {tables / 1e6:,.0f} MB: {share:.3f} of it "
        f"(goal {goal}).",
        f"From {large // 2:,} pairs to twice as many memory grows {growth:.2f} times (goal {GROWTH}).",
        f"Largest difference between losses and gradients: {worst:.1e} (allowed {CLOSE:.0e}).",
    ]
    title = f"NT-Xent and its gradient, {WIDTH} numbers a view"
    show(title, table)
    code = finish("contrastive", {title: table}, quick=quick, facts=facts)
    return code if worst <= CLOSE and share <= goal and growth <= GROWTH else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller batch and fewer rounds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python, which has pytorch-metric-learning")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.contrastive", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
