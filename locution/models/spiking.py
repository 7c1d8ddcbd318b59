"""The spiking network: layers of neurons that say nothing but when they fire."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.mlp import fully_connected
from locution.models.spike_codes import latency_code, rate_code, same_draws
from locution.models.spiking_neuron import check_neuron, leaky_integrate_and_fire, leaky_integrator, time_weights

CODINGS = ("direct", "rate", "latency")


@dataclass(frozen=True)
class SpikeTrace:
    """What passed through a spiking network: what came in (T, N, F), what each layer of neurons fired (T, N, H), and
    the membrane potentials of the neurons that answer (T, N, O). Of the direct code `inputs` are currents, no spikes.
    """

    inputs: Tensor
    layers: list[Tensor]
    potentials: Tensor


class SpikingNet(nn.Module):
    """A spiking network computes with spikes in time, as nerves do: a neuron is silent until it is full, then fires.

    Numbers become spikes, which pass through layers of leaky integrate-and-fire neurons, step after step; what is not
    fired need not be computed, which is what makes such networks frugal on processors that are made for them. The last
    layer answers by the mean of its membrane potentials over all steps, without firing, or by its number of spikes.

    Parameters
    ----------
    widths: features, neurons of each layer, outputs. steps: T. coding: "latency" (once, the larger the sooner), "rate"
    (by chance, the larger the more often) or "direct" (the number itself is the current, at every step). decay,
    threshold, reset, surrogate, slope: those of `leaky_integrate_and_fire`. readout: "membrane" or "spikes".

    Shapes: inputs (N, ...) are flattened to (N, widths[0]), from 0 to 1 but for the direct code, or bytes from 0 to
    255; outputs (N, widths[-1]).

    >>> net = SpikingNet([2, 1, 1], steps=3, decay=0.5)
    >>> _ = [layer.weight.data.fill_(1.5) for layer in net.layers], [layer.bias.data.zero_() for layer in net.layers]
    >>> trace = net.trace(torch.tensor([[1.0, 0.0]]))  # one spike at once: the neuron fires, and is 0.25 full then
    >>> trace.layers[0].flatten().tolist(), trace.potentials.flatten().tolist()
    ([1.0, 0.0, 0.0], [1.5, 0.75, 0.375])
    >>> net(torch.tensor([[1.0, 0.0]])).item()  # their mean
    0.875

    Reference: E. Neftci, H. Mostafa, F. Zenke, 2019, "Surrogate gradient learning in spiking neural networks", IEEE
    Signal Processing Magazine 36, eqs. 4 to 6.
    """

    shares: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        steps: int = 16,
        coding: str = "latency",
        decay: float = 0.9,
        threshold: float = 1.0,
        reset: str = "subtract",
        surrogate: str = "arctan",
        slope: float = 2.0,
        readout: str = "membrane",
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(fully_connected(before, after) for before, after in pairwise(widths))
        self.widths, self.steps, self.coding = tuple(widths), steps, coding
        self.readout, self.decay = readout, decay
        self.neuron = (decay, threshold, reset, surrogate, slope)
        counts = time_weights(steps, decay)
        self.total = float(counts.sum())
        self.register_buffer("shares", (counts / self.total).float(), persistent=False)

    def coded(self, inputs: Tensor) -> Tensor:
        """Turn numbers into spikes in time: (N, ...) -> (T, N, F), or (1, N, F) for currents that do not change."""
        if not inputs.is_floating_point():
            inputs = inputs.float() / 255
        values = inputs.flatten(1)  # (N, F)
        if self.coding == "latency":
            return latency_code(values, self.steps)
        if self.coding == "rate":
            return rate_code(values, self.steps, None if self.training else same_draws(values, self.steps))
        return values[None]

    def fire(self, currents: Tensor) -> Tensor:
        """Let a layer of neurons fire: currents (T or 1, N, H) -> spikes (T, N, H)."""
        wide = currents.float() if currents.element_size() < 4 else currents  # sums over time want more than bf16
        return leaky_integrate_and_fire(wide.expand(self.steps, -1, -1), *self.neuron)[0]

    def forward(self, inputs: Tensor) -> Tensor:
        """Code, fire layer after layer, and answer: (N, ...) -> (N, O)."""
        spikes, last = self.coded(inputs), self.layers[-1]
        for layer in self.layers[:-1]:
            spikes = self.fire(layer(spikes))  # (T, N, H)
        if self.readout == "spikes":
            fired: Tensor = self.fire(last(spikes)).sum(0)
            return fired
        # the mean potential is linear in the spikes: they are gathered over time first, and weighed once
        steps = spikes.expand(self.steps, -1, -1)
        gathered = torch.tensordot(self.shares.to(steps), steps, 1)  # (N, H)
        answer: Tensor = self.total * last(gathered)
        return answer

    def trace(self, inputs: Tensor) -> SpikeTrace:
        """Show what passes through: the spikes that come in and those of each layer, and the potentials that answer."""
        first = spikes = self.coded(inputs)
        layers = []
        for layer in self.layers[:-1]:
            spikes = self.fire(layer(spikes))
            layers.append(spikes)
        currents = self.layers[-1](spikes).expand(self.steps, -1, -1)  # (T, N, O)
        if self.readout == "membrane":
            return SpikeTrace(first, layers, leaky_integrator(currents, self.decay))
        fired, potentials = leaky_integrate_and_fire(currents, *self.neuron)
        return SpikeTrace(first, [*layers, fired], potentials)


@dataclass(frozen=True)
class SpikingModel:
    """A spiking network computes with spikes in time, as nerves do: a neuron is silent until it is full, then fires.

    `widths` are those of the layers of neurons; `steps`, `coding`, `decay`, `threshold`, `reset`, `surrogate`, `slope`
    and `readout` are those of `SpikingNet`.

    >>> model = SpikingModel(widths=(32,)).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])

    Reference: E. Neftci, H. Mostafa, F. Zenke, 2019, "Surrogate gradient learning in spiking neural networks", IEEE
    Signal Processing Magazine 36.
    """

    widths: tuple[int, ...] = (128,)
    steps: int = 16
    coding: Literal["direct", "rate", "latency"] = "latency"
    decay: float = 0.9
    threshold: float = 1.0
    reset: Literal["subtract", "zero"] = "subtract"
    surrogate: Literal["arctan", "fast_sigmoid"] = "arctan"
    slope: float = 2.0
    readout: Literal["membrane", "spikes"] = "membrane"

    def __post_init__(self) -> None:
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        require(
            1 <= self.steps <= 10_000, "model.steps", self.steps, "a whole number from 1 to 10,000, usually 10 to 100"
        )
        require(self.coding in CODINGS, "model.coding", self.coding, ", ".join(CODINGS))
        require(self.readout in ("membrane", "spikes"), "model.readout", self.readout, "membrane or spikes")
        check_neuron(self.decay, self.threshold, self.reset, self.surrogate, self.slope, "model.")

    def build(self, inputs: tuple[int, ...], outputs: int) -> SpikingNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        if not inputs or min(inputs) < 1:
            raise UserError(
                f"model spiking came upon inputs {inputs}; allowed: numbers or pictures, such as (1, 8, 8)."
            )
        return SpikingNet(
            (math.prod(inputs), *self.widths, outputs),
            self.steps,
            self.coding,
            self.decay,
            self.threshold,
            self.reset,
            self.surrogate,
            self.slope,
            self.readout,
        )
