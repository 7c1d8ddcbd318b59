"""What a tangent kernel costs: locution's contraction layer by layer against torch.func's whole Jacobians.

    python -m benchmarks.tangent_kernel [--quick]

All in one process on one thread, CPU time, in turn, ten kernels in a row: the kernel among 48 examples, for all pairs
of 10 outputs, of perceptrons, in double precision. torch.func's plain Jacobians are `jacrev` of the network over the
batch; `vmap(jacrev)`, an example at a time, which knows that examples do not touch each other, stands beside it, and is
what `jacobian_kernel` does. Before the clock runs the three kernels are compared. Exit code 1 when a goal is missed on
the networks that are 48 wide, or kernels differ by more than 1e-6 of the largest entry.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show
from locution.evaluation.tangent_kernel import jacobian_kernel, tangent_kernel
from locution.models.mlp import MLP

EXAMPLES = 48
NETWORKS = ((64, 48, 10), (64, 48, 48, 10), (48, 48, 48, 48, 10), (64, 256, 256, 10))
GOAL, CLOSE = 0.02, 1e-6  # fifty times as fast
IN_A_ROW = 10


def plain_kernel(model: nn.Module, inputs: Tensor) -> Tensor:
    """Take the Jacobian of all answers by all weights, and its product with itself."""
    weights = {name: one.detach() for name, one in model.named_parameters()}

    def answers(held: dict[str, Tensor]) -> Any:
        return functional_call(model, held, (inputs,))

    whole = torch.cat([one.flatten(2) for one in jacrev(answers)(weights).values()], 2)  # (N, O, P)
    return torch.einsum("nop,mqp->nmoq", whole, whole)


def repeated(kernel: Callable[..., Tensor], network: nn.Module, inputs: Tensor, count: int) -> None:
    """Compute a kernel so many times."""
    for _ in range(count):
        kernel(network, inputs)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    tables, facts, fine = dict[str, list[Ratio]](), [], True
    for widths in NETWORKS:
        torch.manual_seed(0)
        network, inputs = MLP(widths).double(), torch.randn(EXAMPLES, widths[0], dtype=torch.float64)
        kernels = {"locution": tangent_kernel, "jacrev": plain_kernel, "vmap(jacrev)": jacobian_kernel}
        found = [kernel(network, inputs) for kernel in kernels.values()]
        count = IN_A_ROW if widths[1] == EXAMPLES else 1
        sides = {name: partial(repeated, kernel, network, inputs, count) for name, kernel in kernels.items()}
        apart = max(float((found[0] - one).abs().max() / one.abs().max()) for one in found[1:])
        fine &= apart <= CLOSE
        times = interleave(sides, 3 if chosen.quick else 31)
        title = f"{'-'.join(map(str, widths))}, {EXAMPLES} examples"
        tables[title] = [
            compare(times, "locution", "jacrev", count, GOAL if widths[1] == EXAMPLES else None, unit="kernel"),
            compare(times, "locution", "vmap(jacrev)", count, unit="kernel"),
        ]
        for ratio in tables[title]:
            ratio.name = f"locution / {ratio.against}"
        show(title, tables[title])
        times_faster = ", ".join(f"{1 / ratio.median:.0f} times as fast as {ratio.against}" for ratio in tables[title])
        facts.append(f"{title}: {times_faster}; kernels differ by {apart:.1e} of the largest entry.")
    code = finish("tangent_kernel", tables, quick=chosen.quick, facts=facts)
    return code if fine else 1


if __name__ == "__main__":
    sys.exit(main())
