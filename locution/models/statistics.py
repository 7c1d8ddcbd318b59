"""Running statistics of batch norms, measured anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from locution.engine.modes import batch_norms


@torch.no_grad()
def reestimate(model: nn.Module, inputs: Iterable[Any]) -> None:
    """Measure the running statistics of batch norms anew, at the weights that the model has now.

    >>> net = nn.BatchNorm1d(1)
    >>> reestimate(net, [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])])
    >>> net.running_mean
    tensor([4.])

    Reference: Izmailov, Podoprikhin, Garipov, Vetrov, Wilson, 2018, "Averaging weights leads to wider
    optima and better generalization", section 3.2.
    """
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in batch_norms(model)}
    model.eval()
    for norm in momenta:
        norm.reset_running_stats()
        norm.momentum = None  # a mean over all batches alike
        norm.train()
    for batch in inputs:
        model(batch)
    for norm, momentum in momenta.items():
        norm.momentum = momentum
    for module, training in modes.items():
        module.training = training
