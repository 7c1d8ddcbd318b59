"""A dilated network one step at a time: what earlier steps found is kept, and nothing is computed twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from locution.errors import UserError
from locution.models.dilated import DilatedNet


@dataclass
class Queues:
    """The queues of a dilated network hold what each layer took in before, just as far back as it looks.

    With them a step costs one pass through the layers, however long the sequence: without, each step computes again
    what all steps within the receptive field found. A queue is a ring: (N, (kernel - 1) dilation, width).

    >>> from locution.models.dilated import DilatedNet
    >>> queues = Queues.of(DilatedNet(None, 5, (1, 2, 4), vocabulary=5, width=8), count=3)
    >>> [tuple(ring.shape) for ring in queues.rings]
    [(3, 1, 8), (3, 2, 8), (3, 4, 8)]

    Reference: T. Le Paine et al., 2016, "Fast Wavenet generation algorithm", section 2.
    """

    rings: list[Tensor] = field(default_factory=list)
    steps: int = 0

    @classmethod
    def of(cls, net: DilatedNet, count: int) -> Queues:
        """Begin `count` sequences in silence."""
        weight: Tensor = net.head[1].weight  # type: ignore[assignment]
        layers: Any = net.layers
        lengths = [(layer.kernel - 1) * layer.dilation for layer in layers]
        return cls([weight.new_zeros(count, length, layers[0].on.in_features) for length in lengths])


@torch.no_grad()
def next_step(net: DilatedNet, inputs: Tensor, queues: Queues) -> Tensor:
    """Incremental generation computes each new step from results that were kept in queues, and reads nothing twice.

    Takes one step of each sequence: inputs (N,) or (N, features) in, answers (N, outputs) out.

    The same as the network's answer at that step, read from the beginning. The queues move on.

    >>> _ = torch.manual_seed(0)
    >>> net = DilatedNet(None, 5, (1, 2, 4), vocabulary=5)
    >>> came = torch.randint(5, (3, 12))
    >>> queues = Queues.of(net, 3)
    >>> answers = torch.stack([next_step(net, came[:, t], queues) for t in range(12)], 1)
    >>> bool((answers - net(came)).abs().max() < 1e-5)
    True

    Reference: T. Le Paine et al., 2016, "Fast Wavenet generation algorithm", section 2.
    """
    x: Tensor = net.entry(inputs)  # (N, width)
    beside = torch.zeros((), device=x.device)
    layers: Any = net.layers
    for layer, ring in zip(layers, queues.rings, strict=True):
        length = ring.shape[1]
        places = [(queues.steps + tap * layer.dilation) % length for tap in range(layer.kernel - 1)]
        seen = torch.cat([*(ring[:, place] for place in places), x], -1)  # (N, kernel width), the oldest first
        ring[:, queues.steps % length] = x  # in the place of the oldest
        x, said = layer.from_taps(seen, x)
        beside = beside + said
    queues.steps += 1
    answer: Tensor = net.head(beside)
    return answer


@torch.no_grad()
def draw_sequences(
    net: DilatedNet,
    count: int,
    length: int,
    stream: torch.Generator,
    *,
    begin: Tensor | int = 0,
    temperature: float = 1.0,
) -> Tensor:
    """Draw sequences of symbols from a network that predicts the next one: (count, length), whole numbers.

    begin: what stands before the first, one symbol or (count, B) of them. temperature: below 1 sharpens what the
    network expects, 0 always takes the likeliest. The same stream draws the same sequences.

    >>> _ = torch.manual_seed(0)
    >>> net = DilatedNet(None, 5, (1, 2, 4), vocabulary=5)
    >>> draw_sequences(net, 2, 6, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 6])

    Reference: A. van den Oord et al., 2016, "WaveNet: a generative model for raw audio", section 2.
    """
    if not isinstance(net.entry, torch.nn.Embedding) or net.reads != "all":
        raise UserError("a network of numbers, or one that answers once, cannot draw; allowed: one of symbols, all.")
    queues, device = Queues.of(net, count), net.entry.weight.device
    before = torch.full((count, 1), begin) if isinstance(begin, int) else begin  # (N, B)
    for step in before.to(device).unbind(1):
        answer = next_step(net, step, queues)
    drawn = []
    for _ in range(length):
        step = draw(answer, temperature, stream)
        drawn.append(step)
        answer = next_step(net, step, queues)
    return torch.stack(drawn, 1).cpu()


def draw(scores: Tensor, temperature: float, stream: torch.Generator) -> Tensor:
    """Draw a symbol from each row of scores: (N, C) -> (N,).

    >>> draw(torch.tensor([[0.0, 9.0, 1.0]]), 0.0, torch.Generator())
    tensor([1])
    """
    if temperature == 0:
        return scores.argmax(-1)
    chances = (scores.float() / temperature).softmax(-1).cpu()  # the stream's numbers, on any device
    return torch.multinomial(chances, 1, generator=stream)[:, 0].to(scores.device)
