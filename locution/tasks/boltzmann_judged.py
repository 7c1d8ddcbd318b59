"""How Boltzmann machines are judged and shown: likelihood, partition function, what they make again, what they draw."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.evaluation.intervals import bootstrap
from locution.evaluation.partition_function import annealed_importance_sampling, exact_log_partition, log_likelihood
from locution.models.belief import DeepBeliefNet
from locution.models.boltzmann import BoltzmannMachine, fire
from locution.reporting.results import Gallery, Graph, Metric, RunResults

COUNTED = 20  # units on the smaller side up to which the partition function is counted
TEMPERATURES, CHAINS = 5000, 1000
SHOWN = 12
STEPS = 1000
LADDER = (10, 30, 100, 300, 1000)


def log_odds(inputs: Tensor) -> Tensor:
    """Say the log-odds of each pixel to be 1, as if each had been both 0 and 1 once more: (N, ...) -> (V,).

    >>> log_odds(torch.ones(2, 1))  # 3 to 1
    tensor([1.0986])
    """
    return ((inputs.flatten(1).sum(0) + 1) / (len(inputs) + 2)).logit()


def log_partition(machine: BoltzmannMachine, seen: Tensor) -> tuple[float, bool]:
    """Count ln Z where that can be done, else estimate it; say which."""
    if min(machine.weight.shape) <= COUNTED:
        return exact_log_partition(machine), True
    return annealed_importance_sampling(machine, TEMPERATURES, CHAINS, base=log_odds(seen)).value, False


def named(name: str, found: dict[str, float], label: str, group: str, better: str, note: str) -> Metric:
    """Name a figure and its interval."""
    return Metric(name, found["value"], found["low"], found["high"], label, group, better, note)


def judge_machine(results: RunResults, machine: BoltzmannMachine, seen: Tensor, held: Tensor) -> None:
    """Add how likely a machine finds the test set, its partition function counted and estimated, and pictures."""
    base = log_odds(seen)
    annealed = annealed_importance_sampling(machine, TEMPERATURES, CHAINS, base=base)
    value, counted = log_partition(machine, seen)
    note = f"{len(held)} examples held out, in nats; ln Z {'counted' if counted else 'estimated'}"
    likely = log_likelihood(machine, held, value)
    alone = (held.flatten(1) * base - torch.nn.functional.softplus(base)).sum(1)
    figures = {
        "log_likelihood": (likely, "log-likelihood", note),
        "independent_pixels": (alone, "log-likelihood of pixels each for itself", note),
    }
    for name, (values, label, said) in figures.items():
        better = "higher" if name == "log_likelihood" else ""
        results.metrics.append(named(name, bootstrap(values), label, "likelihood", better, said))
    walked = f"{CHAINS} chains over {TEMPERATURES:,} temperatures; the interval is three standard errors"
    results.metrics.append(
        Metric("annealed", annealed.value, annealed.low, annealed.high, "ln Z, annealed", "partition", note=walked)
    )
    if counted:
        states = f"over {2 ** min(machine.weight.shape):,} states"
        off = abs(math.expm1(annealed.value - value))
        results.metrics += [
            Metric("log_partition", value, label="ln Z, counted", group="partition", note=states),
            Metric("partition_error", off, label="how far the estimated Z is off", better="lower", note="a share of Z"),
        ]
    results.graphs.append(ladder(machine, base, value if counted else annealed.value, counted))
    errors = bootstrap(made_again(machine, held)[0])
    results.metrics.append(
        named("reconstruction", errors, "squared error of a pixel", "again", "lower", "handed up and down")
    )
    show(results, machine, held)


def judge_belief(results: RunResults, net: DeepBeliefNet, seen: Tensor, held: Tensor) -> None:
    """Add how well each height of a stack makes the test set again, and pictures."""
    mean = log_odds(seen).sigmoid()
    still = (held.flatten(1) - mean).square().mean(1)
    note = f"{len(held)} examples held out, handed up and down again"
    for height, errors in enumerate(made_again(net, held)):
        units = net.machine(height).weight.shape[0]
        label = f"squared error of a pixel, from {units} units at height {height + 1}"
        name = f"reconstruction_{height + 1}"
        results.metrics.append(named(name, bootstrap(errors), label, "again", "lower", note))
    plain = "squared error of the mean picture"
    results.metrics.append(named("mean_picture", bootstrap(still), plain, "again", "", note))
    show(results, net, held)


@torch.no_grad()
def again(model: BoltzmannMachine | DeepBeliefNet, inputs: Tensor) -> list[Tensor]:
    """Hand inputs up and down again, by chances, from each height: a list of (N, *shape)."""
    if isinstance(model, BoltzmannMachine):
        chances = model.visible_chances(model.hidden_chances(model.flat(inputs)))
        return [chances.view(inputs.shape)]
    heights = range(1, len(model.layers) + 1)
    return [model.down(model.up(inputs, height), height) for height in heights]


def made_again(model: BoltzmannMachine | DeepBeliefNet, inputs: Tensor) -> list[Tensor]:
    """Measure the squared error of a pixel when inputs are handed up and down, from each height: a list of (N,)."""
    return [(found - inputs).square().flatten(1).mean(1) for found in again(model, inputs)]


@torch.no_grad()
def drawn(model: BoltzmannMachine | DeepBeliefNet, count: int, steps: int, seed: int) -> Tensor:
    """Let a machine, or the one on top of a stack, settle from states of chance, and hand down: (count, *shape)."""
    draw = generator(seed, "samples")
    top = model if isinstance(model, BoltzmannMachine) else model.machine(-1)
    states = torch.randint(2, (count, top.weight.shape[1]), generator=draw).to(top.weight)
    hidden = fire(top.hidden_chances(top.gibbs(states, steps, draw)), draw)
    if isinstance(model, BoltzmannMachine):
        return model.visible_chances(hidden).view(count, *model.shape).cpu()
    return model.down(hidden, len(model.layers), draw).cpu()


def ladder(machine: BoltzmannMachine, base: Tensor, value: float, counted: bool) -> Graph:
    """Draw how the estimate of ln Z comes nearer with more temperatures."""
    found = [annealed_importance_sampling(machine, rungs, 100, base=base) for rungs in LADDER]
    across = [float(rungs) for rungs in LADDER]
    lines = {
        "counted" if counted else f"{TEMPERATURES:,} temperatures": ([across[0], across[-1]], [value, value]),
        "annealed": (across, [one.value for one in found]),
        "three errors above": (across, [one.high for one in found]),
        "three errors below": (across, [max(one.low, value - 5) for one in found]),
    }
    note = "ln Z by annealed importance sampling with 100 chains"
    return Graph("Partition function", lines, across="temperatures", up="ln Z", log="x", note=note)


def show(results: RunResults, model: BoltzmannMachine | DeepBeliefNet, held: Tensor) -> None:
    """Add pictures of what is seen: filters of the lowest machine, inputs made again, samples."""
    if held.dim() < 3 or held.shape[-2] < 2 or len(held) < SHOWN:
        return
    low = model if isinstance(model, BoltzmannMachine) else model.machine(0)
    filters = low.weight.detach().cpu().view(-1, *held.shape[1:])
    made = drawn(model, 4 * SHOWN, STEPS, 0)
    stack = torch.cat([held[:SHOWN], *(one[:SHOWN].cpu() for one in again(model, held[:SHOWN]))])
    results.galleries += [
        *in_rows("Filters", filters, "what each hidden unit looks for: dark where it wants ink, light where none"),
        *in_rows("Reconstructions", stack, "above: test pictures; below: made again, from each height"),
        *in_rows("Samples", made, f"from states of chance, after {STEPS:,} steps of Gibbs sampling"),
    ]


def in_rows(title: str, pictures: Tensor, note: str) -> list[Gallery]:
    """Lay pictures (N, channels, H, W) or (N, H, W) in rows; nothing where there are no pictures."""
    if pictures.dim() < 3 or pictures.shape[-2] < 2:
        return []
    grey = pictures.mean(1) if pictures.dim() > 3 else pictures
    wide = min(SHOWN, len(grey))
    whole = grey[: len(grey) // wide * wide]
    return [Gallery(title, whole.reshape(-1, wide, *whole.shape[-2:]).float().numpy(), note)]
