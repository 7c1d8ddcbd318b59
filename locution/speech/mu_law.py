"""The mu-law: 256 steps of loudness, fine where it is quiet and coarse where it is loud."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from locution.errors import require

LEVELS = 256


def mu_law(samples: Tensor, levels: int = LEVELS) -> Tensor:
    """The mu-law writes each sample of sound as one of 256 numbers, with steps that grow with loudness, as ears do.

    f(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu), mu = levels - 1, then rounded to `levels` numbers from 0; silence is
    levels / 2. samples: (...), full scale 1, what is louder is cut off; gives whole numbers (...).

    >>> mu_law(torch.tensor([-1.0, 0.0, 0.01, 0.02, 1.0]))  # half of all numbers lie below a sixteenth of full scale
    tensor([  0, 128, 157, 169, 255])

    Reference: ITU-T recommendation G.711, 1972, "Pulse code modulation of voice frequencies"; in this form A. van den
    Oord et al., 2016, "WaveNet: a generative model for raw audio", section 2.2.
    """
    require(levels >= 2, "levels", levels, "a whole number from 2, usually 256")
    mu = levels - 1
    loud = samples.double().clamp(-1, 1)
    bent = loud.sign() * torch.log1p(mu * loud.abs()) / math.log1p(mu)  # -1 to 1
    return ((bent + 1) / 2 * mu + 0.5).floor().long()


def from_mu_law(codes: Tensor, levels: int = LEVELS) -> Tensor:
    """Turn mu-law numbers back into samples, from -1 to 1: each the middle of what it stands for.

    >>> from_mu_law(torch.tensor([0, 128, 255]))
    tensor([-1.0000e+00,  8.6212e-05,  1.0000e+00])
    >>> codes = torch.arange(256)
    >>> torch.equal(mu_law(from_mu_law(codes)), codes)
    True
    """
    mu = levels - 1
    bent = 2 * codes.double() / mu - 1
    return (bent.sign() * torch.expm1(bent.abs() * math.log1p(mu)) / mu).float()
