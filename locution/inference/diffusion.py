"""Drawing new examples from a diffusion model: from noise back to data, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from locution.errors import require
from locution.models.diffusion import predicted_noise
from locution.models.noise_levels import NoiseLevels

Predict = Callable[[Tensor, int], Tensor]  # (noisy (N, ...), level) -> the noise in it (N, ...)


def denoised(noisy: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Say what data there were if this was the noise: (noisy - sigma noise) / alpha.

    >>> denoised(torch.tensor([8.6]), torch.tensor([1.0]), torch.tensor(0.8), torch.tensor(0.6))
    tensor([10.])

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", eq. 15.
    """
    return (noisy - sigma * noise) / alpha


def fresh_noise(levels: NoiseLevels, now: int, then: int, eta: float = 1.0) -> Tensor:
    """Say how much new noise a step back from level `now` to level `then` adds: its deviation.

    With eta 1 it is as random as the way there was (DDPM), with eta 0 not at all (DDIM).

    >>> levels = NoiseLevels(torch.tensor([1.0, 0.8, 0.6]), torch.tensor([0.0, 0.6, 0.8]))
    >>> fresh_noise(levels, 2, 1)  # 0.6 x sqrt(1 - (0.6 x 0.6 / (0.8 x 0.8))^2)
    tensor(0.4961)

    Reference: J. Song, C. Meng, S. Ermon, 2021, "Denoising diffusion implicit models", eq. 16.
    """
    alpha, sigma = levels.alphas.cpu().double(), levels.sigmas.cpu().double()
    kept = (alpha[now] * sigma[then] / (alpha[then] * sigma[now])).square()
    found = eta * sigma[then] * (1 - kept).clamp(min=0).sqrt()
    return found.to(levels.sigmas)


def step_back(
    noisy: Tensor,
    noise: Tensor,
    levels: NoiseLevels,
    now: int,
    then: int,
    *,
    fresh: Tensor | None = None,
    eta: float = 0.0,
    limit: float | None = None,
) -> Tensor:
    """Take noisy examples from one level to a lower one, given what noise is in them: (N, ...) -> (N, ...).

    fresh: noise to add anew, where eta is above 0. limit: the data are known to lie within -limit to limit.

    >>> levels = NoiseLevels(torch.tensor([1.0, 0.8]), torch.tensor([0.0, 0.6]))
    >>> step_back(torch.tensor([8.6]), torch.tensor([1.0]), levels, 1, 0)
    tensor([10.])

    Reference: J. Song, C. Meng, S. Ermon, 2021, "Denoising diffusion implicit models", eq. 12.
    """
    alphas, sigmas = levels.alphas.to(noisy.device), levels.sigmas.to(noisy.device)
    data = denoised(noisy, noise, alphas[now], sigmas[now])
    if limit is not None:
        data = data.clamp(-limit, limit)
        noise = (noisy - alphas[now] * data) / sigmas[now]
    added = fresh_noise(levels, now, then, eta).to(noisy.device) if eta else torch.zeros((), device=noisy.device)
    found = alphas[then] * data + (sigmas[then].square() - added.square()).clamp(min=0).sqrt() * noise
    return found if fresh is None else found + added * fresh


def visited(most: int, steps: int) -> list[int]:
    """Choose which levels a shorter way back visits, evenly from the last to 0.

    >>> visited(1000, 4)
    [1000, 750, 500, 250, 0]
    """
    require(1 <= steps <= most, "steps", steps, f"a whole number from 1 to {most}, the levels there are")
    return [round(most * step / steps) for step in range(steps, -1, -1)]


def diffusion_sample(
    predict: Predict,
    levels: NoiseLevels,
    start: Tensor,
    *,
    steps: int | None = None,
    eta: float = 0.0,
    draw: torch.Generator | None = None,
    limit: float | None = None,
) -> Tensor:
    """Denoising diffusion implicit models (DDIM) go from noise to data in few steps, from the same noise to the same.

    Parameters
    ----------
    predict: says which noise is in examples of a level. levels: those it was trained on. start: (N, ...), standard
    normal noise. steps: how many, all levels if not given. eta: how much of the noise is drawn anew at each step, from
    `draw`: 0 none; 1 over all levels is DDPM sampling (ancestral sampling). limit: as in `step_back`.

    Data that are all 3, and a network that knows:

    >>> levels = NoiseLevels(torch.tensor([1.0, 0.8, 0.6]), torch.tensor([0.0, 0.6, 0.8]))
    >>> def knows(noisy, level): return (noisy - levels.alphas[level] * 3) / levels.sigmas[level]
    >>> diffusion_sample(knows, levels, torch.tensor([[0.5], [-1.0]])).round(decimals=4)
    tensor([[3.],
            [3.]])

    Reference: J. Song, C. Meng, S. Ermon, 2021, "Denoising diffusion implicit models", eqs. 12 and 16.
    """
    require(0 <= eta <= 1, "eta", eta, "a number from 0 (DDIM) to 1 (DDPM)")
    way = visited(len(levels), len(levels) if steps is None else steps)
    wide = (levels.alphas[-1].square() + levels.sigmas[-1].square()).sqrt()
    x = start * wide.to(start.device)  # data of variance 1, and the noise of the last level
    for now, then in pairwise(way):
        fresh = torch.randn(x.shape, generator=draw).to(x) if eta > 0 and then > 0 else None
        x = step_back(x, predict(x, now), levels, now, then, fresh=fresh, eta=eta, limit=limit)
    return x


def guided(told: Tensor, untold: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance goes further from what a network says without the class, past what it says with it.

    With guidance 0 the class is told and no more; with more, examples are more clearly of their class and less varied.

    >>> guided(torch.tensor([2.0]), torch.tensor([1.0]), 3.0)  # 4 x 2 - 3 x 1
    tensor([5.])

    Reference: J. Ho, T. Salimans, 2022, "Classifier-free diffusion guidance", eq. 6.
    """
    return (1 + guidance) * told - guidance * untold


@dataclass(frozen=True)
class NetworkSays:
    """What a network says is the noise in examples of a level, of a class where one is told, guided where asked."""

    model: nn.Module
    levels: NoiseLevels
    label: Tensor | None = None
    guidance: float = 0.0

    def __call__(self, noisy: Tensor, level: int) -> Tensor:
        """Ask it: (N, ...) -> (N, ...)."""
        at = torch.full((len(noisy),), level, device=noisy.device)
        ask = partial(predicted_noise, self.model, noisy, self.levels, at)
        told = ask(self.label)
        return told if self.label is None or not self.guidance else guided(told, ask(None), self.guidance)


def annealed_langevin(
    predict: Predict,
    levels: NoiseLevels,
    start: Tensor,
    draw: torch.Generator,
    *,
    each: int = 20,
    rate: float = 0.1,
) -> Tensor:
    """Annealed Langevin dynamics climbs the score with noise added, many small steps at each level, from most to least.

    Each step moves by half of rate x sigma^2 along the score and by noise of a variance of rate x sigma^2.

    Parameters
    ----------
    predict, levels, start: as in `diffusion_sample`, of a variance-exploding diffusion. each: steps a level. rate: how
    large they are, beside the variance of the noise.

    >>> levels = NoiseLevels(torch.ones(3), torch.tensor([0.0, 0.1, 1.0]))
    >>> def knows(noisy, level):  # of data that are all 3, the score is (3 - x) / sigma^2
    ...     return (noisy - 3) / levels.sigmas[level]
    >>> draw = torch.Generator().manual_seed(0)
    >>> annealed_langevin(knows, levels, torch.zeros(1000, 1), draw, each=50).mean().round(decimals=1)
    tensor(3.)

    Reference: Y. Song, S. Ermon, 2019, "Generative modeling by estimating gradients of the data distribution",
    algorithm 1, with its step size in the units of each level.
    """
    require(each >= 1, "each", each, "a whole number from 1")
    require(rate > 0, "rate", rate, "a number above 0, usually 0.1")
    x = start * float((levels.alphas[-1].square() + levels.sigmas[-1].square()).sqrt())
    for level in range(len(levels), 0, -1):
        sigma = float(levels.sigmas[level])
        for _ in range(each):
            noise = torch.randn(x.shape, generator=draw).to(x)
            x = x - 0.5 * rate * sigma * predict(x, level) + rate**0.5 * sigma * noise
    return x
