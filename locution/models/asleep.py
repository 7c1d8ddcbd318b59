"""A model asleep for a moment, and awake again where it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def asleep(model: nn.Module) -> Iterator[nn.Module]:
    """Ask a model while it trains: in eval mode and without gradients; then each part is as it was.

    >>> net = nn.Sequential(nn.Linear(1, 1), nn.Dropout().eval())
    >>> with asleep(net):
    ...     net.training, net(torch.ones(1, 1)).requires_grad
    (False, False)
    >>> net.training, net[0].training, net[1].training
    (True, True, False)
    """
    awake = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for module in awake:
            module.training = True
