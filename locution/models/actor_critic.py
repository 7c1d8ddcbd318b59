"""The actor and the critic: one network chooses actions, the other says what a situation is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.activations import activation as activation_named
from locution.models.mlp import MLP

DECIDED, CERTAIN = 0.01, 1.0  # scales of the last layers: all actions are as good as equal at first


class ActorCritic(nn.Module):
    """An actor-critic is two networks: the actor says how likely it takes each action, the critic what it expects.

    Each is a multilayer perceptron of its own. First weights are orthogonal; those of the actor's last layer are small,
    so that it begins undecided.

    Parameters
    ----------
    observations: numbers in what is observed. actions: how many there are to choose from. widths: hidden layers of each
    network.

    Shapes: (N, observations) in; a dict out of "logits" (N, actions), before softmax, and "values" (N,): the return
    that is expected from here on.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> answer = ActorCritic(4, 2, widths=(8,))(torch.zeros(5, 4))
    >>> answer["logits"].shape, answer["values"].shape
    (torch.Size([5, 2]), torch.Size([5]))
    >>> answer["logits"].softmax(-1)[0].tolist()
    [0.5, 0.5]

    Reference: A. Barto, R. Sutton, C. Anderson, 1983, "Neuronlike adaptive elements that can solve difficult learning
    control problems", section V.
    """

    def __init__(self, observations: int, actions: int, widths: Sequence[int], activation: str = "tanh") -> None:
        super().__init__()
        self.actor = MLP([observations, *widths, actions], activation)
        self.critic = MLP([observations, *widths, 1], activation)
        begin_orthogonal(self.actor, DECIDED)
        begin_orthogonal(self.critic, CERTAIN)

    def forward(self, observed: Tensor) -> dict[str, Tensor]:
        """Say how likely each action is, and what is to be expected."""
        return {"logits": self.actor(observed), "values": self.critic(observed).squeeze(-1)}


def begin_orthogonal(network: nn.Module, last: float) -> None:
    """Draw the first weights of all layers as rotations, scaled by the root of 2, and by `last` in the last layer.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> begin_orthogonal(layer := nn.Linear(2, 2), 3.0)
    >>> (layer.weight @ layer.weight.T).detach()
    tensor([[9., 0.],
            [0., 9.]])

    Reference: A. Saxe, J. McClelland, S. Ganguli, 2014, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", section 3.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, last if layer is layers[-1] else math.sqrt(2))
        nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class ActorCriticModel:
    """An actor-critic is two networks: the actor says how likely it takes each action, the critic what it expects.

    `widths` and `activation` are those of the hidden layers of each network.

    >>> import torch
    >>> model = ActorCriticModel(widths=(16,)).build(inputs=(4,), outputs=2)
    >>> sorted(model(torch.zeros(3, 4)))
    ['logits', 'values']

    Reference: A. Barto, R. Sutton, C. Anderson, 1983, "Neuronlike adaptive elements that can solve difficult learning
    control problems", section V.
    """

    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"

    def __post_init__(self) -> None:
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        activation_named(self.activation)

    def build(self, inputs: tuple[int, ...], outputs: int) -> ActorCritic:
        """Make both networks; their first weights are drawn from torch's own generator."""
        if len(inputs) != 1:
            raise UserError(f"model actor_critic came upon inputs {inputs}; allowed: (numbers,), those observed.")
        return ActorCritic(inputs[0], outputs, self.widths, self.activation)
