"""The restricted Boltzmann machine: seen and hidden units that agree or disagree, and what is likely among them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from locution.errors import UserError, require


def free_energy(units: Tensor, weight: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
    """The free energy says how unlikely a Boltzmann machine finds what it sees: p(v) = exp(-F(v)) / Z.

    F(v) = -b v - sum over hidden units of ln(1 + exp(c + W v)): the hidden units are summed over, both ways each.

    Shapes: units v (..., V) from 0 to 1, weight W (H, V), visible b (V,), hidden c (H,); out (...), in nats.

    >>> free_energy(torch.tensor([1.0, 1.0]), torch.zeros(3, 2), torch.tensor([0.5, 0.25]), torch.zeros(3))
    tensor(-2.8294)

    Reference: Y. Freund, D. Haussler, 1994, "Unsupervised learning of distributions on binary vectors using two layer
    networks", section 2; G. Hinton, 2012, "A practical guide to training restricted Boltzmann machines", eq. 25.
    """
    kind = torch.promote_types(units.dtype, torch.float32)  # sums over all units want more than bf16
    gathered = softplus(linear(units, weight, hidden).to(kind)).sum(-1)
    return -(units.to(kind) @ visible.to(kind)) - gathered


def fire(chances: Tensor, draw: torch.Generator | None = None) -> Tensor:
    """Let units be 1 by these chances, else 0; from torch's own generator if no other is given."""
    noise = torch.rand(
        chances.shape, generator=draw, dtype=chances.dtype, device=draw.device if draw else chances.device
    )
    return (noise.to(chances.device) < chances).to(chances)


class BoltzmannMachine(nn.Module):
    """A restricted Boltzmann machine (RBM) has units that are seen and units that are not, joined to each other only.

    Each joint state has an energy, E(v, h) = -b v - c h - h W v, and the lower it is the likelier the state. Given the
    seen units the hidden ones are drawn independently, and the other way round: so it is drawn from in turns.

    Parameters
    ----------
    shape: of one input, of V numbers. hidden: H, how many units are not seen. chains: how many states of its own it
    keeps for persistent contrastive divergence.

    Shapes: (N, *shape) in, from 0 to 1; a dict out of "hidden" (N, H), how likely each hidden unit is 1, "outputs" (N,
    *shape), what it makes of the input again, before the sigmoid, and "free_energy" (N,).

    >>> machine = BoltzmannMachine((2,), hidden=1, chains=1)
    >>> _ = machine.weight.data.copy_(torch.tensor([[2.0, -2.0]]))
    >>> machine.hidden_chances(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).flatten()  # sigmoid(2), sigmoid(-2)
    tensor([0.8808, 0.1192], ...)

    Reference: P. Smolensky, 1986, "Information processing in dynamical systems: foundations of harmony theory"; G.
    Hinton, 2002, "Training products of experts by minimizing contrastive divergence", section 4.
    """

    chains: Tensor

    def __init__(self, shape: tuple[int, ...], hidden: int, chains: int = 100) -> None:
        super().__init__()
        self.shape, seen = tuple(shape), math.prod(shape)
        self.weight = nn.Parameter((2 * torch.rand(hidden, seen) - 1) / math.sqrt(seen))
        self.visible = nn.Parameter(torch.zeros(seen))
        self.hidden = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("chains", torch.randint(2, (chains, seen)).float())

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Say what is behind the inputs, what it makes of that again, and how unlikely it finds them."""
        units = self.flat(inputs)
        chances = self.hidden_chances(units)
        again = linear(chances, self.weight.T, self.visible).view(len(units), *self.shape)
        return {"hidden": chances, "outputs": again, "free_energy": self.energy(units)}

    def flat(self, inputs: Tensor) -> Tensor:
        """Lay the numbers of each input in a row: (N, *shape) -> (N, V)."""
        return inputs.flatten(1)

    def energy(self, units: Tensor) -> Tensor:
        """The free energy of seen units: (N, V) -> (N,)."""
        return free_energy(units, self.weight, self.visible, self.hidden)

    def hidden_chances(self, units: Tensor) -> Tensor:
        """Say how likely each hidden unit is 1, given the seen ones: (N, V) -> (N, H)."""
        return linear(units, self.weight, self.hidden).sigmoid()

    def visible_chances(self, units: Tensor) -> Tensor:
        """Say how likely each seen unit is 1, given the hidden ones: (N, H) -> (N, V)."""
        return linear(units, self.weight.T, self.visible).sigmoid()

    @torch.no_grad()
    def gibbs(self, units: Tensor, steps: int, draw: torch.Generator | None = None) -> Tensor:
        """Block Gibbs sampling draws all hidden units given the seen ones, then all seen given the hidden, and again.

        After many steps what is drawn is distributed as the machine says, wherever it began.

        Shapes: units (N, V) in and out, of 0 and 1.

        >>> machine = BoltzmannMachine((1,), hidden=1, chains=1)
        >>> _ = machine.weight.data.zero_(), machine.visible.data.fill_(100.0)  # what is seen can only be 1
        >>> machine.gibbs(torch.zeros(2, 1), steps=1).tolist()
        [[1.0], [1.0]]

        Reference: S. Geman, D. Geman, 1984, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration
        of images", section XII; G. Hinton, 2012, "A practical guide to training restricted Boltzmann machines".
        """
        for _ in range(steps):
            units = fire(self.visible_chances(fire(self.hidden_chances(units), draw)), draw)
        return units


@dataclass(frozen=True)
class BoltzmannModel:
    """A restricted Boltzmann machine (RBM) has units that are seen and units that are not, joined to each other only.

    `hidden` and `chains` are those of `BoltzmannMachine`; what is seen are the numbers of an input, from 0 to 1.

    >>> model = BoltzmannModel(hidden=16).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8))["hidden"].shape
    torch.Size([5, 16])

    Reference: P. Smolensky, 1986, "Information processing in dynamical systems: foundations of harmony theory".
    """

    hidden: int = 64
    chains: int = 100

    def __post_init__(self) -> None:
        require(self.hidden >= 1, "model.hidden", self.hidden, "a whole number from 1")
        require(self.chains >= 1, "model.chains", self.chains, "a whole number from 1, usually 100")

    def build(self, inputs: tuple[int, ...], outputs: int) -> BoltzmannMachine:
        """Make the machine; it sees its inputs, however many classes the data have."""
        check_seen("boltzmann", inputs)
        return BoltzmannMachine(inputs, self.hidden, self.chains)


def check_seen(name: str, inputs: tuple[int, ...]) -> None:
    """Refuse inputs that hold nothing to see."""
    if not inputs or min(inputs) < 1:
        raise UserError(f"model {name} came upon inputs {inputs}; allowed: numbers or pictures, such as (1, 8, 8).")
