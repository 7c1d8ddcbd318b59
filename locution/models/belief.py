"""The deep belief network: Boltzmann machines on top of each other, each explaining what the one below found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from locution.errors import require
from locution.models.boltzmann import BoltzmannMachine, check_seen, fire
from locution.models.mlp import fully_connected


class DeepBeliefNet(nn.Module):
    """A deep belief network (DBN) is a stack of Boltzmann machines, each trained on what the one below finds hidden.

    Trained so, without answers, it draws inputs of its own: the machine on top settles, and its state is handed down.
    With a layer of scores behind it and the chances handed up instead of draws, it is a perceptron of sigmoids whose
    weights began from what inputs have in common: fine-tuning goes on from there with few answers.

    Parameters
    ----------
    shape: of one input. widths: hidden units of each machine, from the bottom up. outputs: scores. chains: states that
    each machine keeps for persistent contrastive divergence.

    Shapes: (N, *shape) in, from 0 to 1; scores (N, outputs) out.

    >>> _ = torch.manual_seed(0)
    >>> net = DeepBeliefNet((1, 8, 8), (32, 16), outputs=10)
    >>> net(torch.rand(5, 1, 8, 8)).shape, net.up(torch.rand(5, 1, 8, 8), 1).shape
    (torch.Size([5, 10]), torch.Size([5, 32]))

    Reference: G. Hinton, S. Osindero, Y. Teh, 2006, "A fast learning algorithm for deep belief nets"; G. Hinton, R.
    Salakhutdinov, 2006, "Reducing the dimensionality of data with neural networks", Science 313 (fine-tuning).
    """

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], outputs: int, chains: int = 100) -> None:
        super().__init__()
        shapes = [tuple(shape), *((width,) for width in widths)]
        machines = [BoltzmannMachine(below, above[0], chains) for below, above in pairwise(shapes)]
        self.layers: nn.ModuleList = nn.ModuleList(machines)
        self.head = fully_connected(widths[-1], outputs)
        self.shape = tuple(shape)

    def machine(self, number: int) -> BoltzmannMachine:
        """Hand out one of the machines, counted from the bottom; -1 is the one on top."""
        layer = self.layers[number]
        assert isinstance(layer, BoltzmannMachine)
        return layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Hand the chances of hidden units up through all machines, to scores."""
        scores: Tensor = self.head(self.up(inputs, len(self.layers)))
        return scores

    def up(self, inputs: Tensor, height: int) -> Tensor:
        """Hand chances up through the lowest so many machines: (N, *shape) -> (N, units of that height)."""
        units = inputs.flatten(1)
        for number in range(height):
            units = self.machine(number).hidden_chances(units)
        return units

    def down(self, units: Tensor, height: int, draw: torch.Generator | None = None) -> Tensor:
        """Hand a state of the units of a height down to the inputs' chances: (N, units) -> (N, *shape).

        On the way states are drawn, if there is something to draw from, else chances are handed down.
        """
        for number in reversed(range(height)):
            units = self.machine(number).visible_chances(units)
            units = fire(units, draw) if number and draw is not None else units
        return units.view(len(units), *self.shape)


@dataclass(frozen=True)
class BeliefModel:
    """A deep belief network (DBN) is a stack of Boltzmann machines, each trained on what the one below finds hidden.

    `widths` and `chains` are those of `DeepBeliefNet`. The task boltzmann_learning trains the machines one after
    another, without answers; a task with answers starts from there (`start`), with a fresh `head`.

    >>> model = BeliefModel(widths=(32, 16)).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])

    Reference: G. Hinton, S. Osindero, Y. Teh, 2006, "A fast learning algorithm for deep belief nets".
    """

    widths: tuple[int, ...] = (128, 64)
    chains: int = 100

    def __post_init__(self) -> None:
        fine = min(self.widths, default=0) >= 1
        require(fine, "model.widths", list(self.widths), "one or more whole numbers from 1")
        require(self.chains >= 1, "model.chains", self.chains, "a whole number from 1, usually 100")

    def build(self, inputs: tuple[int, ...], outputs: int) -> DeepBeliefNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        check_seen("belief", inputs)
        return DeepBeliefNet(inputs, self.widths, outputs, self.chains)
