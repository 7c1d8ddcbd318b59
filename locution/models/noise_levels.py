"""How much noise there is at each step of a diffusion: schedules, and the way from data to noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.errors import require

LAST = 0.999  # Nichol and Dhariwal: no step forgets more than this


def linear_schedule(steps: int) -> Tensor:
    """A linear schedule adds noise whose variance rises evenly from step to step: (steps,), from 0.0001 to 0.02.

    These are for a thousand steps; of fewer, each adds as much more, so that as little of the data is left at the end.

    >>> linear_schedule(1000)[[0, -1]]
    tensor([0.0001, 0.0200])

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", section 4.
    """
    each = torch.linspace(0.0001, 0.02, steps, dtype=torch.float64) * (1000 / steps)
    return each.clamp(max=LAST).float()


def cosine_schedule(steps: int) -> Tensor:
    """A cosine schedule adds noise so that what is left of the data falls as a cosine squared: variances (steps,).

    >>> left = (1 - cosine_schedule(1000)).cumprod(0)
    >>> left[[0, 499, 999]].round(decimals=3)  # all, half, nothing
    tensor([1.0000, 0.4940, 0.0000])

    Reference: A. Nichol, P. Dhariwal, 2021, "Improved denoising diffusion probabilistic models", eq. 17.
    """
    times = torch.arange(steps + 1, dtype=torch.float64) / steps
    left = (((times + 0.008) / 1.008) * math.pi / 2).cos().square()  # (steps + 1,)
    return (1 - left[1:] / left[:-1]).clamp(max=LAST).float()


SCHEDULES = {"linear": linear_schedule, "cosine": cosine_schedule}


@dataclass(frozen=True)
class NoiseLevels:
    """The forward process of a diffusion scales data by alpha and adds noise of a deviation sigma, more at each level.

    Parameters
    ----------
    alphas, sigmas: (T + 1,); level 0 is the data as they are, level T the most noise.

    >>> levels = variance_preserving(torch.tensor([0.36]))
    >>> levels.alphas, levels.sigmas  # sqrt(1 - 0.36), sqrt(0.36)
    (tensor([1.0000, 0.8000]), tensor([0.0000, 0.6000]))
    >>> levels.noised(torch.tensor([[10.0]]), torch.tensor([[1.0]]), torch.tensor([1]))
    tensor([[8.6000]])

    Reference: J. Ho, A. Jain, P. Abbeel, 2020, "Denoising diffusion probabilistic models", eq. 4; both kinds in one
    from D. Kingma, T. Salimans, B. Poole, J. Ho, 2021, "Variational diffusion models", section 3.1.
    """

    alphas: Tensor
    sigmas: Tensor

    def __len__(self) -> int:
        """Count the levels with noise, T."""
        return len(self.alphas) - 1

    def at(self, level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Look up alpha and sigma of each example, (N,) -> (N, 1, ...), to be multiplied with what is given."""
        shape = (-1,) + (1,) * (like.dim() - 1)
        alpha, sigma = (table.to(like.device)[level].view(shape) for table in (self.alphas, self.sigmas))
        return alpha, sigma

    def noised(self, x: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Add noise to each example up to its level, all at once: (N, ...), (N, ...), (N,) -> (N, ...)."""
        alpha, sigma = self.at(level, x)
        return alpha * x + sigma * noise


def variance_preserving(betas: Tensor) -> NoiseLevels:
    """A variance-preserving diffusion shrinks the data as it adds noise, so that data of variance 1 keep it.

    betas: (T,), the variance of the noise that each step adds.

    >>> levels = variance_preserving(linear_schedule(1000))
    >>> (levels.alphas.square() + levels.sigmas.square()).sub(1).abs().max() < 1e-6
    tensor(True)

    Reference: Y. Song et al., 2021, "Score-based generative modeling through stochastic differential equations",
    section 3.4.
    """
    logs = torch.log1p(-betas.double()).cumsum(0)  # of what is left of the data's variance
    left = torch.cat([torch.zeros(1, dtype=torch.float64), logs])
    return NoiseLevels((0.5 * left).exp().float(), (-torch.expm1(left)).sqrt().float())


def variance_exploding(levels: int, smallest: float, largest: float) -> NoiseLevels:
    """A variance-exploding diffusion leaves the data as they are and adds noise, each level by one factor more.

    >>> variance_exploding(3, 0.1, 10.0).sigmas
    tensor([ 0.0000,  0.1000,  1.0000, 10.0000])

    Reference: Y. Song, S. Ermon, 2019, "Generative modeling by estimating gradients of the data distribution",
    section 4.2.
    """
    require(levels >= 2, "levels", levels, "a whole number from 2")
    require(0 < smallest < largest, "smallest", smallest, f"a number above 0 and below largest, {largest:g}")
    powers = torch.linspace(math.log(smallest), math.log(largest), levels, dtype=torch.float64)
    return NoiseLevels(torch.ones(levels + 1), torch.cat([torch.zeros(1, dtype=torch.float64), powers.exp()]).float())
