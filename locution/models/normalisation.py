"""Normalisation: bring what passes through a layer to mean 0 and spread 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from locution.errors import unknown


def batch_normalisation(
    inputs: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Batch normalisation brings each feature to mean 0 and spread 1 over the examples of the batch.

    inputs: (N, C, ...); the mean and the variance are taken over all axes but the second, for each of the C features.
    weight, bias: (C,), what the result is stretched and moved by, learnt; left out where they are None. eps: added to
    the variance, in squared units of the inputs. In use, when no batch is at hand, layers take running averages of the
    means and variances that training saw.

    >>> batch_normalisation(torch.tensor([[1.0], [2.0], [3.0]]), eps=0.0).flatten()  # the spread is sqrt(2 / 3)
    tensor([-1.2247, 0.0000, 1.2247])

    Reference: S. Ioffe, C. Szegedy, 2015, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", algorithm 1.
    """
    axes = [axis for axis in range(inputs.dim()) if axis != 1]
    column = [1, -1, *[1] * (inputs.dim() - 2)]  # (1, C, 1, ...)
    variance, mean = torch.var_mean(inputs, axes, correction=0, keepdim=True)  # (1, C, 1, ...)
    normal = (inputs - mean) / torch.sqrt(variance + eps)
    if weight is not None:
        normal = normal * weight.view(column)
    return normal if bias is None else normal + bias.view(column)


class BatchNorm(nn.BatchNorm1d):
    """torch's batch normalisation of (N, C), but a batch of one example, which has no spread, is no error.

    It is normalised by the running averages, and moves them not: the last batch of an epoch may well be of one.

    >>> layer = BatchNorm(2, eps=0.0)
    >>> layer(torch.tensor([[3.0, -1.0]])).tolist()  # running mean 0, running variance 1
    [[3.0, -1.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1 and self.running_mean is not None:
            mean, variance = self.running_mean, self.running_var
            return nn.functional.batch_norm(input, mean, variance, self.weight, self.bias, eps=self.eps)
        found: Tensor = super().forward(input)
        return found


NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda features: [],
    "batch": lambda features: [BatchNorm(features)],
    "layer": lambda features: [nn.LayerNorm(features)],
}


def norm_named(name: str, features: int) -> list[nn.Module]:
    """Make the normalisation that bears a name, for so many features: one layer, or none.

    >>> norm_named("layer", 8), norm_named("none", 8)
    ([LayerNorm((8,), ...)], [])
    """
    if name not in NORMS:
        raise unknown("norm", name, NORMS)
    return NORMS[name](features)
