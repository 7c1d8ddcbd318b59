"""Maximum likelihood: what a model that knows how likely each example is learns by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean


def dequantised(x: Tensor, levels: int, draw: torch.Generator | None = None) -> Tensor:
    """Dequantisation spreads whole numbers evenly up to the next, so that they have a density that cannot be cheated.

    A model of a density could put all of it on the few values that there are, and be as likely as it likes.

    x: (N, ...), from 0 to 1 in steps of 1 / (levels - 1). Returns (N, ...) from 0 to 1, each value spread over its own
    share of 1 / levels.

    >>> spread = dequantised(torch.tensor([0.0, 0.5, 1.0]), 3, torch.Generator().manual_seed(0))
    >>> (spread * 3).floor()
    tensor([0., 1., 2.])

    Reference: L. Theis, A. van den Oord, M. Bethge, 2016, "A note on the evaluation of generative models", section 3.1.
    """
    chance = torch.rand(x.shape, generator=draw).to(x)
    return ((x * (levels - 1)).round() + chance) / levels


def quantised(x: Tensor, levels: int) -> Tensor:
    """Undo `dequantised`: find the value whose share each number lies in.

    >>> quantised(torch.tensor([0.1, 0.5, 0.9]), 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return (x * levels).floor().clamp(0, levels - 1) / (levels - 1)


def bits_per_dimension(nats: Tensor, size: int) -> Tensor:
    """Bits per dimension are how many yes-or-no answers a model needs, on average, to name one number of an example.

    nats: (N,), minus the logarithm of how likely each example is. size: how many numbers an example has.

    >>> bits_per_dimension(torch.tensor([64 * math.log(17.0)]), 64)  # knowing nothing of 17 values: log2 17
    tensor([4.0875])

    Reference: L. Theis, A. van den Oord, M. Bethge, 2016, "A note on the evaluation of generative models", section 3.1.
    """
    return nats / (size * math.log(2))


@dataclass
class NegativeLogLikelihood:
    """Maximum likelihood learning makes the examples as likely as can be: the loss is how surprising they are.

    The loss is minus the log-likelihood, in nats, a mean over `batch.weight()`. The model answers a batch of inputs
    with "log_likelihood" (N,).

    Settings
    --------
    levels: how many values a pixel can have, from 0 to 1; they are dequantised, and the loss is a bound on the surprise
    at the values themselves. 0 for numbers that can have any value.

    >>> class Even(nn.Module):  # as likely everywhere from 0 to 1
    ...     def forward(self, x): return {"log_likelihood": torch.zeros(len(x))}
    >>> _, loss = NegativeLogLikelihood(levels=2)(Even(), Batch(torch.tensor([[1.0, 0.0, 1.0]])))
    >>> round(loss.item(), 4)  # 3 ln 2
    2.0794

    Reference: R. A. Fisher, 1922, "On the mathematical foundations of theoretical statistics", section 6.
    """

    levels: int = 0

    def __post_init__(self) -> None:
        fine = self.levels == 0 or self.levels >= 2
        require(
            fine, "objective.levels", self.levels, "a whole number from 2, such as 256, or 0 for numbers of any value"
        )

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (output, loss)."""
        draw = None if model.training else generator(0, "dequantised")
        output, surprise = self.surprise(model, self.spread(batch.inputs, draw))
        return output, weighted_mean(surprise, batch)

    def spread(self, x: Tensor, draw: torch.Generator | None = None) -> Tensor:
        """Dequantise, where there are levels."""
        return dequantised(x, self.levels, draw) if self.levels else x

    def surprise(self, model: nn.Module, x: Tensor) -> tuple[Any, Tensor]:
        """Ask a model how surprising examples are that are spread already: (output, (N,)), in nats."""
        output = model(x)
        if not isinstance(output, dict) or "log_likelihood" not in output:
            kind = type(output).__name__
            raise UserError(f"the model answered with {kind}; allowed: a dict of log_likelihood, as of a flow.")
        found = output["log_likelihood"]
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        volume = math.log(self.levels) * x[0].numel() if self.levels else 0.0
        return output, volume - found
