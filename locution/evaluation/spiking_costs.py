"""What an answer of a spiking network costs: its spikes, the operations that they cause, and the energy of those."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from locution.models.spiking import SpikingNet

ADDITION, MULTIPLICATION = 0.9, 4.6  # picojoules of a 32-bit addition, and of a multiplication with an addition
BATCH = 512


@dataclass(frozen=True)
class SpikingCosts:
    """The cost of each answer: `spikes` (N, L) of what came in and of each layer, `additions` (N,), one for each
    synapse that a spike reaches, `multiplications` of the leaks (and of currents that come in unspiked), and `dense`:
    those of a network of the same layers without spikes.
    """

    spikes: Tensor
    additions: Tensor
    multiplications: int
    dense: int

    @property
    def nanojoules(self) -> Tensor:
        """Estimate the energy of each answer (N,)."""
        return (ADDITION * self.additions + MULTIPLICATION * self.multiplications) / 1000

    @property
    def dense_nanojoules(self) -> float:
        """Estimate the energy of an answer of the network without spikes."""
        return MULTIPLICATION * self.dense / 1000


def spiking_costs(model: SpikingNet, inputs: Tensor) -> SpikingCosts:
    """Spikes per inference say how frugal a spiking network is: on a processor made for it, only a spike costs.

    A spike causes an addition at each synapse that it reaches (a synaptic operation); each neuron besides loses a part
    of its potential at each step, which is a multiplication. A network without spikes multiplies and adds once for each
    of its weights. Energies are those of Horowitz for 45 nm: 0.9 pJ for an addition, 4.6 pJ for both; what moving
    numbers about costs is not in them.

    Shapes: inputs (N, ...).

    >>> net = SpikingNet([2, 3, 1], steps=4, decay=0.5)
    >>> _ = [layer.weight.data.fill_(1.5) for layer in net.layers], [layer.bias.data.zero_() for layer in net.layers]
    >>> costs = spiking_costs(net, torch.tensor([[1.0, 0.0]]))
    >>> costs.spikes.tolist(), costs.additions.tolist()  # one spike to 3 neurons, which fire once each to 1
    ([[1.0, 3.0]], [6.0])
    >>> costs.multiplications, costs.dense  # 4 neurons, 4 steps; 2 x 3 + 3 x 1
    (16, 9)

    Reference: M. Horowitz, 2014, "Computing's energy problem (and what we can do about it)", ISSCC, figure 1.1.9; the
    count: B. Rueckauer et al., 2017, "Conversion of continuous-valued deep networks to efficient event-driven
    networks", section 2.
    """
    training, counts = model.training, []
    device = model.shares.device
    with torch.no_grad():
        for few in torch.split(inputs, BATCH):
            trace = model.eval().trace(few.to(device))
            counts.append(torch.stack([spikes.sum((0, 2)) for spikes in (trace.inputs, *trace.layers)], 1).cpu())
    model.train(training)
    spikes = torch.cat(counts)  # (N, L)
    dense = [before * after for before, after in pairwise(model.widths)]
    reaches = [float(after) for after in model.widths[1:]] + [0.0]  # neurons that answer by spikes reach nobody
    multiplications = model.steps * sum(model.widths[1:])
    if model.coding == "direct":  # what comes in are currents: each is multiplied by its weights, once for all steps
        multiplications += dense[0]
        spikes = torch.cat([torch.zeros_like(spikes[:, :1]), spikes[:, 1:]], 1)
    additions = spikes.double() @ torch.tensor(reaches[: spikes.shape[1]], dtype=torch.float64)
    return SpikingCosts(spikes, additions, multiplications, sum(dense))
