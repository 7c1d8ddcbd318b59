"""The dilated causal network (WaveNet): each layer looks twice as far back as the one before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import UserError, require
from locution.models.accepted import accept

READS = ("all", "last")


def receptive_field(kernel: int, dilations: Sequence[int]) -> int:
    """The receptive field is how many inputs, the last one included, an output of a causal stack can depend on.

    Each layer of `kernel` taps that lie `dilation` apart adds (kernel - 1) dilation to it. Doubling dilations double it
    with each layer, where plain ones add one tap.

    >>> receptive_field(2, [1, 2, 4, 8]), receptive_field(2, [1, 1, 1, 1])  # the paper's figures 3 and 2
    (16, 5)

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", section 2.1.
    """
    return 1 + (kernel - 1) * sum(dilations)


def gated_activation(signal: Tensor, gate: Tensor) -> Tensor:
    """A gated activation multiplies what a filter found by how much another filter lets through.

    tanh(signal) x sigmoid(gate), of one shape; without the tanh it is a gated linear unit (GLU).

    >>> gated_activation(torch.tensor([0.5, 0.5]), torch.tensor([-100.0, 100.0]))  # shut, open: tanh(0.5)
    tensor([0.0000, 0.4621])

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", eq. 2.
    """
    return torch.tanh(signal) * torch.sigmoid(gate)


def taps(x: Tensor, kernel: int, dilation: int) -> Tensor:
    """Lay beside each step of a sequence what came before it: (N, T, C) -> (N, T, kernel C), the oldest first.

    The taps lie `dilation` steps apart; before the beginning there is silence, which is zero.

    >>> taps(torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]), kernel=2, dilation=2)[0].T
    tensor([[0., 0., 1., 2.],
            [1., 2., 3., 4.]])
    """
    padded = functional.pad(x, (0, 0, (kernel - 1) * dilation, 0))  # (N, (kernel - 1) dilation + T, C)
    steps = x.shape[1]
    return torch.cat([padded[:, tap * dilation : tap * dilation + steps] for tap in range(kernel)], -1)


class DilatedLayer(nn.Module):
    """A dilated convolution is a filter with gaps between its taps: it looks far back at the cost of looking near.

    As a layer of a WaveNet it is causal (no tap lies in the future), its activation is gated, what it finds is added to
    what came in, and besides goes straight to the end of the network. A convolution is here one linear map of the taps
    that `taps` lays side by side, so that a single step can be made from taps that were kept.

    Parameters
    ----------
    width, skip: channels of what goes on to the next layer and of what goes to the end. kernel: taps. dilation: steps
    between them.

    Shapes: (N, T, width) in; (N, T, width) and (N, T, skip) out.

    >>> _ = torch.manual_seed(0)
    >>> layer = DilatedLayer(width=4, skip=6, kernel=2, dilation=8)
    >>> onwards, beside = layer(torch.zeros(5, 20, 4))
    >>> tuple(onwards.shape), tuple(beside.shape)
    ((5, 20, 4), (5, 20, 6))

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", sections 2.1 to 2.4 and
    figure 4.
    """

    def __init__(self, width: int, skip: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel, self.dilation = kernel, dilation
        self.filter = nn.Linear(kernel * width, 2 * width)  # signal and gate in one
        self.on, self.out = nn.Linear(width, width), nn.Linear(width, skip)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Look back from every step at once."""
        return self.from_taps(taps(x, self.kernel, self.dilation), x)

    def from_taps(self, seen: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Go on from taps (..., kernel width) and what came in (..., width)."""
        found = gated_activation(*self.filter(seen).chunk(2, -1))  # (..., width)
        return x + self.on(found), self.out(found)


class DilatedNet(nn.Module):
    """A dilated causal network (WaveNet) says at each step what it makes of all steps up to it, far back included.

    Parameters
    ----------
    features: numbers a step, or None for steps that are one number out of `vocabulary`. outputs: numbers of an answer.
    dilations: of each layer. width, skip, kernel: those of each layer. reads: "all" answers after each step, "last"
    once. ordered: the whole numbers are grades of one thing, such as loudness.

    Shapes: (N, T, features), or whole numbers (N, T), in; (N, T, outputs) or (N, outputs) out.

    >>> _ = torch.manual_seed(0)
    >>> net = DilatedNet(None, 256, (1, 2, 4, 8), vocabulary=256)
    >>> net(torch.zeros(5, 30, dtype=torch.int64)).shape, net.reach
    (torch.Size([5, 30, 256]), 16)

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", figure 4.
    """

    def __init__(
        self,
        features: int | None,
        outputs: int,
        dilations: Sequence[int],
        *,
        vocabulary: int = 0,
        width: int = 32,
        skip: int = 64,
        kernel: int = 2,
        reads: str = "all",
        ordered: bool = False,
    ) -> None:
        super().__init__()
        self.entry = nn.Embedding(vocabulary, width) if features is None else nn.Linear(features, width)
        if ordered and isinstance(self.entry, nn.Embedding):
            self.entry.weight.data = graded(vocabulary, width)
        self.layers = nn.ModuleList(DilatedLayer(width, skip, kernel, dilation) for dilation in dilations)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(skip, skip), nn.ReLU(), nn.Linear(skip, outputs))
        self.reads, self.reach = reads, receptive_field(kernel, dilations)
        self.describe = f"{len(dilations)} dilated layers that see {self.reach} steps"

    def forward(self, inputs: Tensor) -> Tensor:
        """Answer after each step, or after the last."""
        axes, whole = (2, True) if isinstance(self.entry, nn.Embedding) else (3, False)
        if inputs.dim() != axes or inputs.is_floating_point() == whole:
            kind, shape = str(inputs.dtype).removeprefix("torch."), tuple(inputs.shape)
            wanted = "(N, T), whole numbers" if whole else f"(N, T, {self.entry.in_features}), fractions"
            raise UserError(f"{kind} of shape {shape} came; allowed: {wanted}.")
        return self.from_entry(self.entry(inputs))

    def from_entry(self, x: Tensor) -> Tensor:
        """Go on from steps as vectors (N, T, width)."""
        beside = torch.zeros((), device=x.device)
        for layer in self.layers:
            x, said = layer(x)
            beside = beside + said  # (N, T, skip)
        answer: Tensor = self.head(beside[:, -1] if self.reads == "last" else beside)
        return answer


def graded(vocabulary: int, width: int) -> Tensor:
    """Make first vectors for whole numbers that are grades of one thing: (vocabulary, width), neighbours nearly alike.

    Column k is a cosine of k + 1 half waves over all grades, as in the cosine transform: a network that begins so need
    not learn first that 100 lies beside 101.

    >>> graded(4, 2)
    tensor([[ 0.9239,  0.7071],
            [ 0.3827, -0.7071],
            [-0.3827, -0.7071],
            [-0.9239,  0.7071]])
    """
    places = (torch.arange(vocabulary)[:, None] + 0.5) / vocabulary
    return torch.cos(math.pi * places * (torch.arange(width) + 1))


def influence(net: DilatedNet, inputs: Tensor, at: int = -1) -> Tensor:
    """The effective receptive field says how much each earlier step really moves an answer: the size of its gradient.

    Measured over sequences for the answer at one step: (T,), a mean.

    Exactly those within the receptive field do, unless a gradient is zero by chance.

    >>> _ = torch.manual_seed(0)
    >>> net = DilatedNet(None, 5, (1, 2, 4), vocabulary=5)
    >>> found = influence(net, torch.randint(5, (3, 12)))
    >>> int((found > 0).sum()), (found > 0).int().tolist()  # of kernel 2: 1 + 1 + 2 + 4
    (8, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])

    Reference: W. Luo, Y. Li, R. Urtasun, R. Zemel, 2016, "Understanding the effective receptive field in deep
    convolutional neural networks", section 2.
    """
    with torch.no_grad():
        entered = net.entry(inputs)  # (N, T, width)
    with torch.enable_grad():
        entered.requires_grad_(True)
        answers = net.from_entry(entered)
        last = answers if net.reads == "last" else answers[:, at]
        (gradient,) = torch.autograd.grad(last.square().sum(), entered)
    size: Tensor = gradient.norm(dim=-1).mean(0)
    return size


@dataclass(frozen=True)
class DilatedModel:
    """A dilated causal network (WaveNet) predicts what comes next in a sequence from a past that doubles with each
    layer.

    The data say the steps (T, F) of an example, or (T,) where a step is one whole number, then below `vocabulary` (as
    many as there are outputs, if that is 0). `layers` dilations 1, 2, 4, ... make a block, of which there are `blocks`;
    `width`, `skip` and `kernel` are those of its layers. `ordered` says that whole numbers are grades of one thing,
    such as loudness: neighbours then begin alike. `reads`: "all" answers after each step, "last" once.

    >>> model = DilatedModel(layers=4).build(inputs=(30,), outputs=256)
    >>> model(torch.zeros(5, 30, dtype=torch.int64)).shape
    torch.Size([5, 30, 256])

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", sections 2.1 to 2.4.
    """

    layers: int = 6
    blocks: int = 1
    width: int = 32
    skip: int = 64
    kernel: int = 2
    reads: Literal["all", "last"] = "all"
    vocabulary: int = 0
    ordered: bool = False

    def __post_init__(self) -> None:
        for name in ("layers", "blocks", "width", "skip"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "a whole number from 1")
        require(self.layers <= 16, "model.layers", self.layers, "1 to 16: the last looks 2^15 steps back")
        require(self.kernel >= 2, "model.kernel", self.kernel, "a whole number from 2, usually 2")
        require(self.reads in READS, "model.reads", self.reads, "all or last")
        require(
            self.vocabulary >= 0, "model.vocabulary", self.vocabulary, "a whole number from 1, or 0 for the outputs'"
        )

    def dilations(self) -> tuple[int, ...]:
        """Say how far apart the taps of each layer lie."""
        return tuple(2**layer for layer in range(self.layers)) * self.blocks

    def build(self, inputs: tuple[int, ...], outputs: int) -> DilatedNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("dilated", inputs, "(T, F), steps and numbers a step, or (T,), steps of one whole number", [1, 2])
        features = inputs[1] if len(inputs) == 2 else None
        sizes = {"width": self.width, "skip": self.skip, "kernel": self.kernel, "reads": self.reads}
        words = 0 if features else self.vocabulary or outputs
        return DilatedNet(features, outputs, self.dilations(), vocabulary=words, ordered=self.ordered, **sizes)  # type: ignore[arg-type]
