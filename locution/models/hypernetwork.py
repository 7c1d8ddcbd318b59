"""The hypernetwork: a network that writes the weights of another one, anew for each task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.accepted import accept
from locution.models.mlp import MLP

Sharing = Literal["hypernetwork", "separate", "one"]
SHARINGS = ("hypernetwork", "separate", "one")


def run_written(x: Tensor, weights: Tensor, widths: Sequence[int]) -> Tensor:
    """Run fully connected networks whose weights are given as one vector each, every example through its own.

    x: (N, widths[0]); weights: (N, P), layer by layer the matrix (out, in) and the bias (out,); tanh between layers.
    Returns (N, widths[-1]).

    >>> run_written(torch.tensor([[3.0]]), torch.tensor([[2.0, 1.0]]), [1, 1])  # 2 x 3 + 1
    tensor([[7.]])
    """
    at = 0
    for number, (inner, outer) in enumerate(pairwise(widths)):
        matrix = weights[:, at : at + inner * outer].view(-1, outer, inner)  # (N, out, in)
        at += inner * outer
        bias = weights[:, at : at + outer]  # (N, out)
        at += outer
        x = torch.baddbmm(bias[..., None], matrix, x[..., None])[..., 0]  # (N, out)
        x = x.tanh() if number < len(widths) - 2 else x
    return x


def spreads(widths: Sequence[int]) -> Tensor:
    """How far each weight of a fully connected network should spread when it begins: 1 / sqrt(inputs), (P,).

    >>> spreads([4, 1])
    tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000])
    """
    parts = [torch.full((outer * (inner + 1),), 1 / math.sqrt(inner)) for inner, outer in pairwise(widths)]
    return torch.cat(parts)


class Hypernetwork(nn.Module):
    """A hypernetwork writes the weights of another network, from a code that says which task that is for.

    What tasks have in common is learnt once, in the writing network; what is of one task alone is its code, a few
    numbers. The network that is written is fully connected, with tanh between its layers.

    Parameters
    ----------
    tasks: how many. widths: of the network that is written, from inputs to outputs. code: numbers of a task's code.
    hidden: widths of the writing network. chunks: into how many pieces the weights are cut; more than one lets a small
    network write a large one, piece by piece, each by a code of its own.

    Shapes: {"task": (N,), "x": (N, F)} in, or x alone, which is of task 0; (N, outputs) out.

    >>> _ = torch.manual_seed(0)
    >>> net = Hypernetwork(tasks=3, widths=(1, 8, 1), code=2, hidden=(16,))
    >>> net.write(torch.tensor([0, 2])).shape  # 2 networks of 1 x 8 + 8 + 8 x 1 + 1 weights
    torch.Size([2, 25])
    >>> net({"task": torch.tensor([0, 1, 2]), "x": torch.ones(3, 1)}).shape
    torch.Size([3, 1])

    Reference: D. Ha, A. Dai, Q. Le, 2017, "HyperNetworks", section 3.1; codes and chunks: J. von Oswald, C. Henning,
    B. Grewe, J. Sacramento, 2020, "Continual learning with hypernetworks", section 2; first weights: O. Chang,
    L. Flokas, H. Lipson, 2020, "Principled weight initialization for hypernetworks", section 4.
    """

    spread: Tensor

    def __init__(
        self, tasks: int, widths: Sequence[int], code: int = 8, hidden: Sequence[int] = (32,), chunks: int = 1
    ) -> None:
        super().__init__()
        self.widths, self.chunks = tuple(widths), chunks
        self.register_buffer("spread", spreads(widths), persistent=False)
        piece = -(-len(spreads(widths)) // chunks)
        self.codes = nn.Embedding(tasks, code)
        self.chunk_codes = nn.Embedding(chunks, code) if chunks > 1 else None
        self.writer = MLP([code * (1 + (chunks > 1)), *hidden, piece])

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Write the network of each example's task and run the example through it."""
        x, task = asked(inputs)
        return run_written(x, self.write()[task], self.widths)

    def write(self, tasks: Tensor | None = None) -> Tensor:
        """Write the weights of some tasks' networks, or of all: (T,) -> (T, P)."""
        codes = self.codes.weight if tasks is None else self.codes(tasks)
        return self.write_from(codes)

    def write_from(self, codes: Tensor) -> Tensor:
        """Write weights from codes, those of tasks or any between them: (T, code) -> (T, P)."""
        count, asking = len(codes), codes
        if self.chunk_codes is not None:
            pieces = self.chunk_codes.weight.expand(count, -1, -1)  # (T, chunks, code)
            asking = torch.cat([codes[:, None].expand_as(pieces), pieces], -1).flatten(0, 1)
        written: Tensor = self.writer(asking).view(count, -1)  # (T, P), and what is left of the last piece
        return written[:, : len(self.spread)] * self.spread


class Separate(nn.Module):
    """Separate networks, one for each task, which share nothing: what a hypernetwork is compared with.

    tasks and widths as in `Hypernetwork`, and the same inputs. With `shared` all tasks have one network.

    >>> net = Separate(3, (1, 8, 1))
    >>> net(torch.ones(4, 1)).shape, net.weights.shape
    (torch.Size([4, 1]), torch.Size([3, 25]))
    """

    def __init__(self, tasks: int, widths: Sequence[int], shared: bool = False) -> None:
        super().__init__()
        self.widths, self.shared = tuple(widths), shared
        spread = spreads(widths)
        self.weights = nn.Parameter(torch.randn(1 if shared else tasks, len(spread)) * spread)

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Run each example through the network of its task."""
        x, task = asked(inputs)
        return run_written(x, self.weights[torch.zeros_like(task) if self.shared else task], self.widths)


def asked(inputs: Any) -> tuple[Tensor, Tensor]:
    """Take apart what came: the examples (N, F), and of which task each is (N,)."""
    if isinstance(inputs, Tensor):
        return inputs, torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
    return inputs["x"], inputs["task"]


@dataclass(frozen=True)
class HypernetworkModel:
    """A hypernetwork writes the weights of another network, from a code that says which task that is for.

    `widths` are the hidden layers of the network that is written; `code`, `hidden` and `chunks` are those of
    `Hypernetwork`. `sharing` is hypernetwork; separate, for a network of each task's own; or one, for a single network
    that does not know the tasks apart. `tasks` is said by the data.

    >>> model = HypernetworkModel(tasks=3).build(inputs=(1,), outputs=1)
    >>> model({"task": torch.tensor([2]), "x": torch.ones(1, 1)}).shape
    torch.Size([1, 1])

    Reference: D. Ha, A. Dai, Q. Le, 2017, "HyperNetworks", section 3.1.
    """

    widths: tuple[int, ...] = (32, 32)
    code: int = 4
    hidden: tuple[int, ...] = (32,)
    chunks: int = 1
    sharing: Sharing = "hypernetwork"
    tasks: int = 1

    def __post_init__(self) -> None:
        for name in ("widths", "hidden"):
            value = getattr(self, name)
            require(min(value, default=1) >= 1, f"model.{name}", list(value), "whole numbers from 1")
        require(self.code >= 1, "model.code", self.code, "a whole number from 1, usually 2 to 32")
        require(self.chunks >= 1, "model.chunks", self.chunks, "a whole number from 1")
        require(self.sharing in SHARINGS, "model.sharing", self.sharing, ", ".join(SHARINGS))
        require(self.tasks >= 1, "model.tasks", self.tasks, "a whole number from 1; the data say it")

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("hypernetwork", inputs, "vectors (numbers of an example,), as of recipe waves", [1])
        widths = (inputs[0], *self.widths, outputs)
        if self.sharing != "hypernetwork":
            return Separate(self.tasks, widths, shared=self.sharing == "one")
        if self.chunks > len(spreads(widths)):
            raise UserError(f"model.chunks is {self.chunks}; allowed: {len(spreads(widths))} at most, a weight each.")
        return Hypernetwork(self.tasks, widths, self.code, self.hidden, self.chunks)
