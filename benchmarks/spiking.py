"""What a step of a spiking network costs: locution's layers, all steps at once, against snntorch's, step by step.

    python -m benchmarks.spiking [--quick] [--peers PYTHON]

snntorch lives in the peers' environment (`make bench` builds it), so the whole comparison runs there, both sides in
one process on one thread, CPU time, in turn: forward, cross-entropy, backward and Adam on batches of spikes in time.
snntorch gets its spikes ready made, locution codes each batch itself. The two networks have the same weights; before
the clock runs, answers and gradients are compared in double precision, in which snntorch's spikes and its decay stay
single: the decay is a number that both precisions hold exactly, for another's error would grow with the steps. Exit
code 1 when locution takes longer, or when they differ by more than 1e-6 of the largest of them.
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
from torch.nn.functional import cross_entropy

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show
from locution.models.spike_codes import latency_code
from locution.models.spiking import SpikingNet

ROOT = Path(__file__).parents[1]
GOAL, CLOSE = 1.0, 1e-6
DECAY = 0.90625  # 29/32
# widths, steps, batch, how the last layer answers
CASES = {
    "digits' recipe: 64-128-10, 16 steps, 32 examples": ((64, 128, 10), 16, 32, "membrane"),
    "64-128-10, 16 steps, 32 examples, answered by spikes": ((64, 128, 10), 16, 32, "spikes"),
    "784-256-256-10, 50 steps, 128 examples": ((784, 256, 256, 10), 50, 128, "membrane"),
}


def step_by_step(snn: Any, surrogate: Any, layers: nn.ModuleList, readout: str) -> Callable[[Tensor], Tensor]:
    """Build snntorch's network around given layers, in the way of its tutorials."""
    cells = [snn.Leaky(beta=DECAY, spike_grad=surrogate.atan(2.0)) for _ in layers]
    if readout == "membrane":
        cells[-1] = snn.Leaky(beta=DECAY, spike_grad=surrogate.atan(2.0), reset_mechanism="none")

    def forward(spikes: Tensor) -> Tensor:
        states = [cell.reset_mem() for cell in cells]
        fired, potentials = [], []
        for now in spikes:
            for number, (layer, cell) in enumerate(zip(layers, cells, strict=True)):
                now, states[number] = cell(layer(now.to(layer.weight.dtype)), states[number])
            fired.append(now)
            potentials.append(states[-1])
        return torch.stack(potentials).mean(0) if readout == "membrane" else torch.stack(fired).sum(0)

    return forward


def difference(net: SpikingNet, theirs: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """Compare answers and gradients in double precision: the largest difference, as a share of the largest number."""
    net.double()
    x = x.double()
    found = []
    for answer in (net(x), theirs(latency_code(x.flatten(1), net.steps))):
        slopes = torch.autograd.grad(cross_entropy(answer, y), list(net.parameters()))
        found.append(torch.cat([answer.detach().flatten(), *(one.flatten() for one in slopes)]))
    net.float()
    return float((found[0] - found[1]).abs().max() / found[1].abs().max())


def trainer(forward: Callable[[Tensor], Tensor], layers: nn.ModuleList, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Take steps with Adam."""
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-4, fused=True)

    def steps() -> None:
        for _ in range(10):
            optimizer.zero_grad()
            cross_entropy(forward(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return steps


def measure(*, quick: bool) -> int:
    """Run it in an environment that has snntorch."""
    import snntorch  # type: ignore[import-not-found,unused-ignore]
    from snntorch import surrogate

    torch.set_num_threads(1)
    tables, facts, fine = dict[str, list[Ratio]](), [], True
    for title, (widths, steps, count, readout) in CASES.items():
        torch.manual_seed(0)
        net = SpikingNet(widths, steps, decay=DECAY, readout=readout)
        with torch.no_grad():
            for weight in net.layers[1:].parameters():
                weight.mul_(3)  # so that all of them fire
        x, y = torch.rand(count, widths[0]), torch.randint(widths[-1], (count,))
        theirs = step_by_step(snntorch, surrogate, net.layers, readout)
        apart = difference(net, theirs, x[:32], y[:32])
        fine &= apart <= CLOSE
        sides = {
            "locution": trainer(net, net.layers, x, y),
            "snntorch": trainer(theirs, net.layers, latency_code(x, steps), y),
        }
        ratio = compare(interleave(sides, 5 if quick else 31), "locution", "snntorch", 10, GOAL)
        ratio.name = "locution / snntorch"
        tables[title] = [ratio]
        show(title, [ratio])
        facts.append(f"{title}: answers and gradients differ by {apart:.1e} of the largest (allowed {CLOSE:.0e}).")
    code = finish("spiking", tables, quick=quick, facts=facts)
    return code if fine else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python, which has snntorch; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.spiking", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
