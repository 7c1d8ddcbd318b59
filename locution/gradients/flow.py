"""How the gradient gets through a deep network: where it vanishes, where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.random import generator, reseed, stream_key
from locution.gradients.backpropagation import backpropagate
from locution.gradients.norms import HUGE, TINY, layer_norms
from locution.losses.basic import CrossEntropy
from locution.models.mlp import MLP

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradient_flow(
    model: nn.Module, objective: Callable[[nn.Module, Batch], tuple[Any, Tensor]], batch: Batch
) -> dict[str, float]:
    """Gradient flow is how large the gradient arrives at each layer, from the first layer to the last.

    >>> _ = torch.manual_seed(0)
    >>> flow = gradient_flow(MLP([4, 3, 2]), CrossEntropy(), Batch(torch.ones(2, 4), torch.tensor([0, 1])))
    >>> list(flow)
    ['layers.0', 'layers.2']

    Reference: X. Glorot, Y. Bengio, 2010, "Understanding the difficulty of training deep feedforward neural
    networks", section 4.
    """
    return layer_norms(backpropagate(model, objective, batch))


def demonstration(depth: int = 20, width: int = 64, seed: int = 0) -> dict[str, dict[str, float]]:
    """Send one gradient back through `depth` hidden layers of each of three kinds, and measure where it
    arrives.

    Through sigmoid layers it vanishes; ReLU with residual connections lets it through to the first layer.

    >>> flows = demonstration()
    >>> first = {name: next(iter(flow.values())) for name, flow in flows.items()}
    >>> first["sigmoid"] < 1e-6, first["relu with residual connections"] > 1e-2
    (True, True)

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2016, "Identity mappings in deep residual networks", eq. 5.
    """
    inputs = torch.randn(128, width, generator=generator(seed, "flow", 0))  # (N, W)
    targets = torch.randint(10, (128,), generator=generator(seed, "flow", 1))
    kinds = {
        "sigmoid": ("sigmoid", False),
        "relu": ("relu", False),
        "relu with residual connections": ("relu", True),
    }
    flows = {}
    with torch.random.fork_rng(devices=[]):
        for name, (bend, residual) in kinds.items():
            reseed(stream_key(seed, "flow", 2), torch.device("cpu"))
            model = MLP([width] * (depth + 1) + [10], bend, residual=residual)
            flows[name] = gradient_flow(model, CrossEntropy(), Batch(inputs, targets))
    return flows


def draw_flow(flows: Mapping[str, Mapping[str, float]], path: str | Path | None = None) -> Figure:
    """Draw the gradient norm of each layer, a curve a network; write it where `path` says."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, flow) in enumerate(flows.items()):
        axes.plot(
            range(1, len(flow) + 1),
            list(flow.values()),
            marker="o",
            markersize=3.5,
            color=f"C{index}",
            label=name,
        )
    for bound, word in ((TINY, "vanishing below"), (HUGE, "exploding above")):
        axes.axhline(bound, color="0.6", linestyle="--", linewidth=1)
        axes.annotate(
            f"{word} {bound:g}",
            (1, bound),
            xytext=(0, 4),
            textcoords="offset points",
            color="0.4",
            fontsize=8,
        )
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layer, from the input to the output")
    axes.set_ylabel("gradient norm")
    axes.legend(fontsize=9, loc="lower right")
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
