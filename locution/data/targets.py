"""Targets as distributions: what smoothing, mixing and distillation have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch, map_tensors
from locution.errors import UserError


def distributions(targets: Tensor, classes: int) -> Tensor:
    """Write classes as distributions: all the weight on one class.

    targets: whole numbers (N, ...), below zero where there is nothing to learn; returns (N, ..., classes),
    zero there. Targets that are distributions already come back as they are.

    >>> distributions(torch.tensor([2, -100]), 3)
    tensor([[0., 0., 1.], [0., 0., 0.]])
    """
    if targets.is_floating_point():
        return targets
    index = targets.long().unsqueeze(-1)  # (N, ..., 1)
    ones = torch.zeros((*targets.shape, classes), device=targets.device)
    return ones.scatter_(-1, index.clamp(min=0), (index >= 0).to(ones.dtype))


def are_distributions(targets: Tensor) -> bool:
    """Say whether targets are distributions over classes, each row adding up to one, or to zero if it does not count.

    >>> are_distributions(torch.tensor([[0.7, 0.3], [0.0, 0.0]])), are_distributions(torch.tensor([[2.5]]))
    (True, False)
    """
    if not targets.is_floating_point() or targets.dim() < 2 or targets.shape[-1] < 2:
        return False
    sums = targets.sum(-1)
    adds_up = ((sums - 1).abs() < 1e-3) | (sums == 0)
    return bool(adds_up.all()) and bool((targets >= 0).all())


def count_classes(model: nn.Module, batch: Batch) -> int | None:
    """Ask a model how many classes it tells apart, by showing it one example, asleep; None if that does not
    say it.

    >>> count_classes(nn.Linear(4, 3), Batch(torch.zeros(8, 4)))
    3
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            output: Any = model(map_tensors(lambda tensor: tensor[:1], batch.inputs))
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError):
        return None  # a model that is not called with its inputs alone
    finally:
        for module, training in modes.items():
            module.training = training
    targets = batch.targets.dim() if isinstance(batch.targets, Tensor) else 1
    fits = isinstance(output, Tensor) and output.dim() == targets + 1  # (N, C) for (N,), (N, T, C) for (N, T)
    return int(output.shape[-1]) if fits else None


def require_classes(setting: str, model: nn.Module, batch: Batch) -> int:
    """Take the number of classes that a setting leaves open from the model; refuse if it does not show it."""
    classes = count_classes(model, batch)
    if classes is None or classes < 2:
        raise UserError(f"{setting} is null; allowed: the number of classes, which this model does not show by itself.")
    return classes
