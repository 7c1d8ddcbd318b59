"""Contrastive divergence: make what is seen likelier than what the machine makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean
from locution.models.boltzmann import BoltzmannMachine, fire


@dataclass
class ContrastiveDivergence:
    """Contrastive divergence (CD-k) lowers the energy of what was seen, and raises that of what the machine, left to
    itself for k steps, makes of it.

    The loss is the mean of F(v) - F(v_k), F the free energy, v the data, v_k drawn by k steps of block Gibbs sampling
    and held fast: its gradient is the statistic of contrastive divergence, -<h v> of the data + <h v> of the draws. The
    exact gradient of the likelihood takes draws after endless steps. With `persistent` the draws go on, step by step of
    training, from states that the machine keeps (PCD) instead of beginning at the data each time: nearer to the exact
    gradient at the same cost. The loss itself says nothing of how good a machine is: see the partition function.

    Settings
    --------
    steps: k. persistent: go on with the machine's own states.

    >>> machine = BoltzmannMachine((2,), hidden=1, chains=1)
    >>> _ = [parameter.data.zero_() for parameter in machine.parameters()], torch.manual_seed(0)
    >>> _, loss = ContrastiveDivergence()(machine, Batch(torch.ones(1000, 2)))
    >>> loss.backward()
    >>> machine.visible.grad  # of what it draws half are 1, of the data all
    tensor([-0.5, -0.5])

    Reference: G. Hinton, 2002, "Training products of experts by minimizing contrastive divergence", eq. 11; T.
    Tieleman, 2008, "Training restricted Boltzmann machines using approximations to the likelihood gradient" (PCD).
    """

    steps: int = 1
    persistent: bool = False

    def __post_init__(self) -> None:
        require(self.steps >= 1, "objective.steps", self.steps, "a whole number from 1")

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Draw from the machine and compare: (free energies of the data (N,), loss)."""
        if not isinstance(model, BoltzmannMachine):
            name = type(model).__name__
            raise UserError(f"contrastive divergence came upon a {name}; allowed: a Boltzmann machine.")
        seen = model.flat(batch.inputs)
        if self.persistent:
            drawn = model.gibbs(model.chains, self.steps)
            if model.training:
                model.chains.copy_(drawn)
        else:
            drawn = model.gibbs(fire(seen), self.steps)  # of chances between 0 and 1 a state is drawn first
        energies, against = model.energy(seen), model.energy(drawn)
        raised = against.mean() if self.persistent else weighted_mean(against, batch)
        return energies, weighted_mean(energies, batch) - raised


@dataclass
class Layerwise:
    """Greedy layerwise pretraining teaches a deep network layer after layer, each to explain what the one below says.

    What `objective` asks of one machine is asked of the layer that a batch's targets name; the layers below are held
    fast and hand their chances up. It takes networks with `layers` of machines.

    >>> from locution.models.belief import DeepBeliefNet
    >>> _ = torch.manual_seed(0)
    >>> net = DeepBeliefNet((4,), (3, 2), outputs=2)
    >>> _, loss = Layerwise(ContrastiveDivergence())(net, Batch(torch.ones(5, 4), torch.ones(5, dtype=torch.int64)))
    >>> loss.backward()
    >>> [layer.weight.grad is None for layer in net.layers]  # it was the second layer's turn
    [True, False]

    Reference: G. Hinton, S. Osindero, Y. Teh, 2006, "A fast learning algorithm for deep belief nets", section 4; Y.
    Bengio, P. Lamblin, D. Popovici, H. Larochelle, 2007, "Greedy layer-wise training of deep networks".
    """

    objective: ContrastiveDivergence

    def __call__(self, model: Any, batch: Batch) -> tuple[Any, Tensor]:
        """Hand the inputs up to the layer whose turn it is, and measure there: (output, loss)."""
        number = int(batch.targets[0])
        with torch.no_grad():
            handed = model.up(batch.inputs, number)
        return self.objective(model.layers[number], replace(batch, inputs=handed))
