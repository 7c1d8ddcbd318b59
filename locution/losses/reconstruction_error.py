"""The reconstruction error: how far what an autoencoder makes again is from what came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.errors import UserError
from locution.losses.basic import mean_squared_error, weighted_mean


def reconstruction_error(outputs: Tensor, x: Tensor) -> Tensor:
    """The reconstruction error is the mean squared distance between an input and what was made again from its code.

    Shapes: outputs and x (N, ...), the same; returns (N,), a mean over the numbers of each example.

    >>> import torch
    >>> reconstruction_error(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 1.0]]))  # (4 + 0) / 2
    tensor([2.])

    Reference: D. Rumelhart, G. Hinton, R. Williams, 1986, "Learning internal representations by error propagation"
    (the encoding problem); P. Baldi, K. Hornik, 1989, "Neural networks and principal component analysis", eq. 1.
    """
    if outputs.shape != x.shape:
        raise UserError(f"outputs have shape {tuple(outputs.shape)}; allowed: {tuple(x.shape)}, that of the inputs.")
    return mean_squared_error(outputs, x)


@dataclass
class ReconstructionError:
    """The reconstruction error is the mean squared distance between an input and what was made again from its code.

    The loss is its mean over `batch.weight()`; answers are not looked at.

    >>> import torch
    >>> _, loss = ReconstructionError()(nn.ReLU(), Batch(torch.tensor([[-2.0, 1.0]])))
    >>> loss.item()  # (4 + 0) / 2
    2.0

    Reference: P. Baldi, K. Hornik, 1989, "Neural networks and principal component analysis", eq. 1.
    """

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (output, loss)."""
        output = model(batch.inputs)
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise UserError(f"the model answered with {kind}; allowed for reconstruction_error: a tensor.")
        return output, weighted_mean(reconstruction_error(output, batch.inputs), batch)
