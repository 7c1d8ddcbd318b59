"""What a pointer network minimises: how surprising each right pick is to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.errors import UserError
from locution.losses.basic import weighted_mean


def pick_surprise(logs: Tensor, order: Tensor) -> Tensor:
    """Measure how surprising the right picks are, in nats: a mean over those of each example, (N,).

    logs: (N, m, n), log-probabilities of all elements before each pick; order: (N, m), the right picks. Picks of -1,
    behind the end of an answer, do not count.

    >>> import torch
    >>> logs = torch.tensor([[[0.5, 0.5], [0.25, 0.75]]]).log()
    >>> pick_surprise(logs, torch.tensor([[0, 1]])), pick_surprise(logs, torch.tensor([[0, -1]]))
    (tensor([0.4904]), tensor([0.6931]))
    """
    counts = order >= 0
    found = logs.gather(2, order.clamp(min=0)[..., None])[..., 0]  # (N, m)
    return -found.masked_fill(~counts, 0.0).sum(1) / counts.sum(1)


@dataclass
class Picks:
    """Teacher forcing shows a network the right answer up to each pick, and asks it for the next one.

    The loss is the surprise at the right picks, in nats, a mean over the picks of each example and over
    `batch.weight()`. The model takes (inputs, order) and returns log-probabilities (N, m, n), as a pointer network
    does.

    Reference: R. Williams, D. Zipser, 1989, "A learning algorithm for continually running fully recurrent neural
    networks", section 3; O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", eq. 2.

    >>> import torch
    >>> class Even(nn.Module):
    ...     def forward(self, points, order): return torch.full((1, 2, 2), 0.5).log()
    >>> _, loss = Picks()(Even(), Batch(torch.zeros(1, 2, 2), torch.tensor([[1, 0]])))
    >>> round(loss.item(), 4)
    0.6931
    """

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model along the right answers and measure: (log-probabilities, loss)."""
        order = batch.targets
        if not isinstance(order, Tensor) or order.is_floating_point() or order.dim() != 2:
            raise UserError("the targets are no orders of elements; allowed: whole numbers (N, picks), as of tours.")
        logs = model(batch.inputs, order)
        return logs, weighted_mean(pick_surprise(logs, order), batch)
