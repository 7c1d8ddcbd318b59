"""The partition function: what all states of a Boltzmann machine weigh together, counted or estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from locution.engine.random import generator
from locution.errors import UserError, require
from locution.models.boltzmann import BoltzmannMachine, fire, free_energy

MOST = 25  # units on the smaller side: 33 million states
CHUNK = 1 << 16


def exact_log_partition(machine: BoltzmannMachine) -> float:
    """The partition function Z adds up exp(-energy) over all states of a machine: what makes its chances add up to 1.

    Here it is counted: over all states of the seen units or of the hidden ones, whichever are fewer, with the others
    summed over in closed form. Returns ln Z. Refuses machines with more than 25 units on both sides.

    >>> machine = BoltzmannMachine((3,), hidden=2, chains=1)
    >>> _ = [parameter.data.zero_() for parameter in machine.parameters()]
    >>> round(exact_log_partition(machine) / math.log(2), 6)  # 2^5 states of energy 0
    5.0

    Reference: R. Salakhutdinov, I. Murray, 2008, "On the quantitative analysis of deep belief networks", section 2.
    """
    weight, visible, hidden = parts(machine)
    if weight.shape[0] < weight.shape[1]:  # fewer hidden units: they take the part of the seen
        weight, visible, hidden = weight.T, hidden, visible
    count = weight.shape[1]
    if count > MOST:
        raise UserError(f"the smaller side has {count} units; allowed: up to {MOST}, or annealed importance sampling.")
    places = torch.arange(count)
    sums = []
    for start in range(0, 1 << count, CHUNK):
        numbers = torch.arange(start, min(start + CHUNK, 1 << count))
        states = ((numbers[:, None] >> places) & 1).to(weight)  # (chunk, units): all of them, one by one
        sums.append((-free_energy(states, weight, visible, hidden)).logsumexp(0))
    return float(torch.stack(sums).logsumexp(0))


@dataclass(frozen=True)
class Annealed:
    """An estimate of ln Z: the value, three standard errors below and above, and what each chain weighed (chains,)."""

    value: float
    low: float
    high: float
    log_weights: Tensor


def annealed_importance_sampling(
    machine: BoltzmannMachine, temperatures: int = 1000, chains: int = 500, seed: int = 0, base: Tensor | None = None
) -> Annealed:
    """Annealed importance sampling estimates the partition function by walking from a machine whose Z is known.

    Chains begin at a machine without weights, are led to the wanted one through many between them, by a step of Gibbs
    sampling each, and note how much likelier each next machine finds where they are: the mean of what they noted is the
    ratio of the two partition functions, without bias.

    Parameters
    ----------
    machine: on the processor. temperatures: machines between, evenly spread; more of them estimate better. chains: how
    many walk. base: (V,), the biases of the machine without weights; the machine's own if None (those of the mean of
    data start nearer). seed: of the draws.

    >>> _ = torch.manual_seed(0)
    >>> machine = BoltzmannMachine((6,), hidden=4, chains=1)
    >>> abs(annealed_importance_sampling(machine, 200, 200).value - exact_log_partition(machine)) < 0.01
    True

    Reference: R. Neal, 2001, "Annealed importance sampling"; R. Salakhutdinov, I. Murray, 2008, "On the quantitative
    analysis of deep belief networks", section 4.1.
    """
    require(temperatures >= 1, "temperatures", temperatures, "a whole number from 1, usually 1,000 or more")
    require(chains >= 2, "chains", chains, "a whole number from 2, usually 100 to 1,000")
    weight, visible, hidden = parts(machine)
    first = visible if base is None else base.to(visible)
    draw = generator(seed, "annealing")
    states = fire(first.sigmoid().expand(chains, -1), draw)
    start = float(softplus(first).sum()) + len(hidden) * math.log(2)  # ln Z of the machine without weights

    apart, fields = states @ (visible - first), states @ weight.T + hidden  # (chains,), (chains, H)
    noted = torch.zeros(chains, dtype=weight.dtype)
    for number in range(temperatures):
        now, then = number / temperatures, (number + 1) / temperatures
        noted += (then - now) * apart + (softplus(then * fields) - softplus(now * fields)).sum(1)
        if then < 1:
            on = fire((then * fields).sigmoid(), draw)
            states = fire(((1 - then) * first + then * (visible + on @ weight)).sigmoid(), draw)
            apart, fields = states @ (visible - first), states @ weight.T + hidden
    shares = (noted - noted.max()).exp()
    mean, error = shares.mean(), shares.std() / math.sqrt(chains)
    value = start + float(noted.max())
    low, high = (mean - 3 * error).clamp(min=1e-300).log(), (mean + 3 * error).log()
    return Annealed(value + float(mean.log()), value + float(low), value + float(high), start + noted)


def parts(machine: BoltzmannMachine) -> tuple[Tensor, Tensor, Tensor]:
    """Take weights and biases out of a machine, in double precision on the processor."""
    weight, visible, hidden = (
        parameter.detach().cpu().double() for parameter in (machine.weight, machine.visible, machine.hidden)
    )
    return weight, visible, hidden


def log_likelihood(machine: BoltzmannMachine, inputs: Tensor, log_partition: float) -> Tensor:
    """The log-likelihood says how likely a Boltzmann machine finds each input, once its partition function is known.

    Shapes: inputs (N, *shape) in, (N,) out, in nats: -F(v) - ln Z.

    >>> machine = BoltzmannMachine((3,), hidden=2, chains=1)
    >>> _ = [parameter.data.zero_() for parameter in machine.parameters()]
    >>> log_likelihood(machine, torch.ones(1, 3), exact_log_partition(machine))  # one of eight states
    tensor([-2.0794], dtype=torch.float64)

    Reference: G. Hinton, 2012, "A practical guide to training restricted Boltzmann machines", section 2.
    """
    return -free_energy(machine.flat(inputs).cpu().double(), *parts(machine)) - log_partition
