"""Which modules train, which stay frozen, and which statistics may move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def train_mode(module: nn.Module) -> None:
    """Wake the modules that train and leave the frozen ones asleep.

    A module whose parameters are all frozen stays in eval mode with everything inside it, so that its dropout and
    its running statistics do not wake.

    >>> net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Dropout()), nn.Linear(2, 1))
    >>> _ = net[0].requires_grad_(False)
    >>> train_mode(net)
    >>> net.training, net[0][1].training
    (True, False)
    """
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    module.training = True
    for child in module.children():
        train_mode(child)


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """List the modules that keep running statistics of what passes through them."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def frozen_statistics(modules: list[_BatchNorm]) -> Iterator[None]:
    """Keep running statistics still: they describe the first pass of a step, not a second one at moved weights.

    (Foret et al., 2021, SAM: the second pass sees weights that are never kept.)
    """
    momenta = [module.momentum for module in modules]
    counts = [None if m.num_batches_tracked is None else m.num_batches_tracked.clone() for m in modules]
    for module in modules:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, momentum, count in zip(modules, momenta, counts, strict=True):
            module.momentum = momentum
            if count is not None and module.num_batches_tracked is not None:
                module.num_batches_tracked.copy_(count)
