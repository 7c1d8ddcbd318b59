"""The spiking neuron: it gathers, leaks, fires when it is full, and lets a gradient through all the same."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from locution.errors import UserError, require

SURROGATES = ("arctan", "fast_sigmoid")
RESETS = ("subtract", "zero")


def surrogate_gradient(over: Tensor, kind: str = "arctan", slope: float = 2.0) -> Tensor:
    """A surrogate gradient stands in for the slope of a spike, which is 0 nearly everywhere and infinite at one point.

    The neuron still fires all or nothing; only the gradient pretends that it had fired a little more the fuller it was.

    Parameters
    ----------
    over: how far the membrane potential is above the threshold, any shape. kind: "arctan", slope / 2 / (1 + (pi / 2
    slope over)^2), or "fast_sigmoid", 1 / (slope |over| + 1)^2. slope: the higher, the nearer to the threshold a
    potential must be to learn (usually 2 for arctan, 25 for fast_sigmoid).

    >>> surrogate_gradient(torch.tensor([0.0, 1.0]), "fast_sigmoid", slope=1.0)
    tensor([1.0000, 0.2500])
    >>> surrogate_gradient(torch.tensor([0.0, 1 / math.pi]), "arctan", slope=2.0)
    tensor([1.0000, 0.5000])

    Reference: E. Neftci, H. Mostafa, F. Zenke, 2019, "Surrogate gradient learning in spiking neural networks", IEEE
    Signal Processing Magazine 36, section "Surrogate gradients"; arctan: W. Fang et al., 2021, "Incorporating learnable
    membrane time constant to enhance learning of spiking neural networks", eq. 12.
    """
    if kind == "fast_sigmoid":
        return (slope * over.abs() + 1).square_().reciprocal_()
    return (math.pi / 2 * slope * over).square_().add_(1).reciprocal_().mul_(slope / 2)


class _Firing(torch.autograd.Function):
    """All steps of a layer of neurons at once, and the way back through them: a few operations a step, no graph."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, decay: float, threshold: float, settings: tuple[bool, str, float]) -> Any:
        zero = settings[0]
        potentials, spikes = torch.empty_like(currents), torch.empty_like(currents)  # (T, N, H) each
        before = fired = None
        for now, potential, spike in zip(currents.unbind(), potentials.unbind(), spikes.unbind(), strict=True):
            if before is None or fired is None:
                potential.copy_(now)
            elif zero:  # what fired begins from nothing
                torch.addcmul(before, before, fired, value=-1, out=potential).mul_(decay).add_(now)
            else:
                torch.add(now, before, alpha=decay, out=potential).sub_(fired, alpha=threshold)
            torch.gt(potential, threshold, out=spike)
            before, fired = potential, spike
        ctx.save_for_backward(potentials, spikes) if zero else ctx.save_for_backward(potentials)
        ctx.settings = decay, threshold, settings
        return spikes, potentials

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_spikes: Tensor, to_potentials: Tensor) -> tuple[Tensor, None, None, None]:
        decay, threshold, (zero, kind, slope) = ctx.settings
        potentials = ctx.saved_tensors[0]
        gradient = surrogate_gradient(potentials - threshold, kind, slope)
        gradient.mul_(to_spikes).add_(to_potentials)  # (T, N, H)
        steps = gradient.unbind()
        kept = (1 - ctx.saved_tensors[1]).mul_(decay).unbind() if zero else ()  # how much of each was handed on
        for number in range(len(steps) - 2, -1, -1):
            if zero:
                steps[number].addcmul_(steps[number + 1], kept[number])
            else:
                steps[number].add_(steps[number + 1], alpha=decay)
        return gradient, None, None, None


def leaky_integrate_and_fire(
    currents: Tensor,
    decay: float = 0.9,
    threshold: float = 1.0,
    reset: str = "subtract",
    surrogate: str = "arctan",
    slope: float = 2.0,
) -> tuple[Tensor, Tensor]:
    """A leaky integrate-and-fire neuron adds up what comes in, forgets a part of it at each step, and fires when full.

    U[t] = decay U[t-1] + I[t] - threshold S[t-1], and S[t] = 1 where U[t] > threshold, else 0. With the reset "zero"
    what fired begins from nothing: U[t] = decay U[t-1] (1 - S[t-1]) + I[t]. The gradient goes back through all steps,
    by a surrogate at each spike, and not through the reset.

    Parameters
    ----------
    currents: I (T, ...), what comes in at each step. decay: the share of the potential that is left after a step.
    threshold: where it fires. reset: "subtract" or "zero". surrogate, slope: those of `surrogate_gradient`.

    Returns spikes S of 0 and 1, and membrane potentials U, each (T, ...). Gradients of gradients are refused.

    >>> spikes, potentials = leaky_integrate_and_fire(torch.tensor([0.8, 0.8, 0.8, 0.0]), decay=0.5)
    >>> potentials  # 0.8; 0.4 + 0.8; 0.6 + 0.8 - 1; 0.2
    tensor([0.8000, 1.2000, 0.4000, 0.2000])
    >>> spikes
    tensor([0., 1., 0., 0.])

    Reference: W. Gerstner, W. Kistler, R. Naud, L. Paninski, 2014, "Neuronal dynamics", section 1.3; E. Neftci, H.
    Mostafa, F. Zenke, 2019, "Surrogate gradient learning in spiking neural networks", eqs. 4 and 5.
    """
    check_neuron(decay, threshold, reset, surrogate, slope)
    if not currents.is_floating_point() or currents.dim() < 1 or not len(currents):
        raise UserError(f"currents are {currents.dtype} of shape {tuple(currents.shape)}; allowed: fractions (T, ...).")
    settings = (reset == "zero", surrogate, slope)
    found: tuple[Tensor, Tensor] = _Firing.apply(currents, decay, threshold, settings)  # type: ignore[no-untyped-call]
    return found


def check_neuron(decay: float, threshold: float, reset: str, surrogate: str, slope: float, where: str = "") -> None:
    """Refuse settings of a neuron that mean nothing."""
    require(0 <= decay <= 1, f"{where}decay", decay, "a share from 0 to 1, usually 0.8 to 0.99")
    require(threshold > 0, f"{where}threshold", threshold, "a number above 0, usually 1")
    require(reset in RESETS, f"{where}reset", reset, " or ".join(RESETS))
    require(surrogate in SURROGATES, f"{where}surrogate", surrogate, " or ".join(SURROGATES))
    require(slope > 0, f"{where}slope", slope, "a number above 0, usually 2 for arctan and 25 for fast_sigmoid")


def leaky_integrator(currents: Tensor, decay: float = 0.9) -> Tensor:
    """A leaky integrator adds up what comes in and forgets a part of it at each step; it never fires.

    Shapes: currents I (T, ...) in, potentials U[t] = decay U[t-1] + I[t] out.

    >>> leaky_integrator(torch.tensor([1.0, 1.0, 0.0]), decay=0.5)
    tensor([1.0000, 1.5000, 0.7500])

    Reference: W. Gerstner, W. Kistler, R. Naud, L. Paninski, 2014, "Neuronal dynamics", section 1.3.1.
    """
    ages = torch.arange(len(currents), device=currents.device)
    left: Tensor = decay ** (ages[:, None] - ages).clamp(min=0).to(currents)
    share = torch.where(ages[:, None] < ages, 0, left)  # (T, T)
    potentials: Tensor = torch.tensordot(share, currents, 1)
    return potentials


def time_weights(steps: int, decay: float) -> Tensor:
    """Say how much what comes in at each step counts in a leaky integrator's mean over all steps: (T,), in doubles.

    >>> time_weights(2, decay=0.5)  # the first counts now, and half of it at the next step; the mean is of two
    tensor([0.7500, 0.5000], dtype=torch.float64)
    """
    whole = leaky_integrator(torch.eye(steps, dtype=torch.float64), decay)  # (T, T): from each step to each step
    return whole.mean(0)
