"""What a step of MAML costs: locution's tasks side by side against higher's one after another.

    python -m benchmarks.maml [--quick] [--peers PYTHON]

higher lives in the peers' environment (`make bench` builds it), so the whole comparison runs there, both sides in one
process on one thread, CPU time, everyone in turn: the second-order gradient of 25 waves, ten points to adapt to and ten
to answer, through a network of 40 and 40 hidden units (Finn et al., 2017), one inner step and five. Before the clock
runs, the gradients of both are compared. Exit code 1 when a goal is missed or a gradient differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show
from locution.data.sinusoids import draw_sinusoids
from locution.engine.batch import Batch
from locution.models.adaptation import Adaptation
from locution.models.few_shot import FewShot
from locution.models.mlp import MLP

ROOT = Path(__file__).parents[1]
TASKS, POINTS, LR = 25, 10, 0.01
GOAL = 0.1  # ten times as fast
CLOSE = 1e-6
Sides = dict[str, Callable[[], None]]


def sides(higher: Any, network: nn.Module, batch: Batch, steps: int) -> Sides:
    """What each side does: leave the meta-gradient of the batch in the network's weights."""
    model = FewShot(network, Adaptation(steps=steps, lr=LR))
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    support, answers, query = (batch.inputs[part] for part in ("support", "answers", "query"))

    def ours() -> None:
        network.zero_grad()
        mse_loss(model(batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]

    def theirs() -> None:
        network.zero_grad()
        for task in range(TASKS):
            with higher.innerloop_ctx(network, optimizer, copy_initial_weights=False) as (copy, inner):
                for _ in range(steps):
                    inner.step(mse_loss(copy(support[task]), answers[task]))
                (mse_loss(copy(query[task]), batch.targets[task]) / TASKS).backward()  # type: ignore[no-untyped-call]

    return {"locution": ours, "higher": theirs}


def gradients(network: nn.Module, side: Callable[[], None]) -> Tensor:
    """Take the gradients that one side leaves, as one vector."""
    side()
    return torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])


def measure(*, quick: bool) -> int:
    """Run it in an environment that has higher."""
    import higher  # type: ignore[import-not-found,unused-ignore]

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = MLP([1, 40, 40, 1])
    batch = draw_sinusoids(TASKS, POINTS, POINTS, torch.Generator().manual_seed(0))
    table, apart = list[Ratio](), 0.0
    for steps in (1, 5):
        both = sides(higher, network, batch, steps)
        one, other = (gradients(network, side) for side in both.values())
        apart = max(apart, float((one - other).abs().max()))
        ratio = compare(interleave(both, 15 if quick else 61), "locution", "higher", 1, GOAL)
        ratio.name = f"locution / higher, {steps} inner step{'' if steps == 1 else 's'}"
        table.append(ratio)
    fact = f"Largest difference between the two sides' gradients: {apart:.1e} (allowed {CLOSE:.0e})."
    tables = {f"second-order gradient of {TASKS} tasks": table}
    for title, ratios in tables.items():
        show(title, ratios)
    code = finish("maml", tables, quick=quick, facts=[fact])
    return code if apart <= CLOSE else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python, which has higher; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.maml", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
