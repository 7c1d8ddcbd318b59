"""Sharpness: how steeply the loss curves where the weights are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.random import generator

Product = Callable[[Tensor], Tensor]


def power_iteration(product: Product, start: Tensor, iterations: int = 100, tolerance: float = 1e-5) -> float:
    """Find the eigenvalue of largest size of a symmetric matrix, of which only its product with a vector is
    known.

    >>> matrix = torch.tensor([[2.0, 0.0], [0.0, -3.0]])
    >>> round(power_iteration(lambda vector: matrix @ vector, torch.ones(2)), 3)
    -3.0

    Reference: von Mises, Pollaczek-Geiringer, 1929, "Praktische Verfahren der Gleichungsauflösung", section
    5.
    """
    vector, value = start / start.norm(), 0.0
    for _ in range(iterations):
        image = product(vector)
        before, value = value, float(vector @ image)
        size = image.norm()
        if size == 0 or abs(value - before) <= tolerance * abs(value):
            break
        vector = image / size
    return value


def sharpness(
    model: nn.Module,
    objective: Callable[[nn.Module, Batch], tuple[Any, Tensor]],
    batch: Batch,
    iterations: int = 100,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> float:
    """Sharpness is the largest eigenvalue of the loss's second derivative: how fast the loss rises in its
    worst direction.

    The model is looked at in eval mode, over the weights that train; the objective is the one that it
    trains by. Power iteration needs no matrix, only products with it, each about two backward passes. Where
    the eigenvalue of largest size is negative, the matrix is shifted by it and gone through once more.

    Loss (3 a^2 + b^2) / 2 curves by 3 along a and by 1 along b:

    >>> net = nn.Linear(2, 1, bias=False)
    >>> def objective(model, batch):
    ...     a, b = model.weight[0]
    ...     return None, (3 * a**2 + b**2) / 2
    >>> round(sharpness(net, objective, Batch(torch.zeros(1, 2))), 3)
    3.0

    Reference: Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, 2017, "On large-batch training for deep
    learning: generalization gap and sharp minima"; products: Pearlmutter, 1994, "Fast exact multiplication
    by the Hessian".
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.enable_grad():
            _, loss = objective(model, batch)
            gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
            slope = torch.cat([gradient.flatten() for gradient in gradients])

        def product(vector: Tensor) -> Tensor:
            if not slope.requires_grad:
                return torch.zeros_like(vector)  # a loss without curvature
            parts = torch.autograd.grad(slope, weights, vector, retain_graph=True, materialize_grads=True)
            return torch.cat([part.flatten() for part in parts])

        start = torch.randn(slope.numel(), generator=generator(seed, "sharpness")).to(slope)
        value = power_iteration(product, start, iterations, tolerance)
        if value >= 0:
            return value
        return value + power_iteration(lambda v: product(v) - value * v, start, iterations, tolerance)
    finally:
        for module, training in modes.items():
            module.training = training
