"""Spike codes: how numbers from 0 to 1 become spikes in time."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import require


def rate_code(values: Tensor, steps: int, uniform: Tensor | None = None) -> Tensor:
    """Rate coding fires the more often the larger a number is: at each step by chance, and the number is the chance.

    Parameters
    ----------
    values: (N, F) from 0 to 1; what is below never fires, what is above always. steps: T. uniform: draws from 0 to 1,
    of a shape that fits (T, N, F); fresh ones from torch's own generator where None.

    Returns spikes (T, N, F) of 0 and 1. A gradient goes through as if the numbers themselves had.

    >>> rate_code(torch.tensor([[0.0, 0.5, 1.0]]), 2, torch.tensor([[[0.3]], [[0.6]]])).tolist()
    [[[0.0, 1.0, 1.0]], [[0.0, 0.0, 1.0]]]

    Reference: E. Adrian, Y. Zotterman, 1926, "The impulses produced by sensory nerve-endings", part II.
    """
    require(steps >= 1, "steps", steps, "a whole number from 1")
    if uniform is None:
        uniform = torch.rand(steps, *values.shape, dtype=values.dtype, device=values.device)
    spikes = (uniform < values).to(values)  # (T, N, F)
    return spikes + (values - values.detach()) if values.requires_grad else spikes


def same_draws(values: Tensor, steps: int) -> Tensor:
    """Draw, once and for all, what decides over spikes when a model is asked: (T, 1, F), the same for every example."""
    drawn = torch.rand(steps, 1, values.shape[-1], generator=generator(0, "spikes"))
    return drawn.to(values)


def latency_code(values: Tensor, steps: int) -> Tensor:
    """Latency coding fires once, the sooner the larger a number is: 1 at the first step, 0 never.

    Parameters
    ----------
    values: (N, F) from 0 to 1; what is above fires at the first step. steps: T; a number x > 0 fires at the step that
    is nearest to (1 - x) (T - 1).

    Returns spikes (T, N, F) of 0 and 1. A gradient goes through as if a spike were as tall as its number.

    >>> latency_code(torch.tensor([[1.0, 0.5, 0.0]]), 3)[:, 0]
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 0.]])

    Reference: S. Thorpe, A. Delorme, R. Van Rullen, 2001, "Spike-based strategies for rapid processing", Neural
    Networks 14, section 2.
    """
    require(steps >= 1, "steps", steps, "a whole number from 1")
    when = ((1 - values.detach()) * (steps - 1)).round().clamp(min=0)  # (N, F)
    times = torch.arange(steps, device=values.device, dtype=values.dtype)[:, None, None]
    spikes = ((when == times) & (values > 0)).to(values)  # (T, N, F)
    return spikes * (1 + (values - values.detach())) if values.requires_grad else spikes
