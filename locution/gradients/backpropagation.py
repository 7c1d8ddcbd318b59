"""The gradient, by its definition and by backpropagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch


def gradient(loss: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-5) -> Tensor:
    """The gradient says, for each weight, how fast the loss grows when that weight alone grows.

    It is measured here by its definition: move one weight a little up and down, and look. That takes two
    losses a weight; backpropagation gives the same from one pass. Shapes: at any shape, the gradient the
    same, in float64.

    >>> found = gradient(lambda w: (w**2).sum(), torch.tensor([3.0, -1.0]))
    >>> [round(value, 4) for value in found.tolist()]  # 2 w
    [6.0, -2.0]

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", eq. 5.69.
    """
    point = at.detach().double()
    result = torch.empty_like(point)
    for index in range(point.numel()):
        ends = []
        for sign in (1, -1):
            moved = point.clone()
            moved.view(-1)[index] += sign * step
            ends.append(loss(moved))
        result.view(-1)[index] = (ends[0] - ends[1]) / (2 * step)
    return result


def backpropagate(
    model: nn.Module, objective: Callable[[nn.Module, Batch], tuple[Any, Tensor]], batch: Batch
) -> dict[str, Tensor]:
    """Backpropagation finds the gradients of all weights in one backward pass, by the chain rule, last layer
    first.

    Returns the gradient of each parameter that trains, by name; zero where the loss does not depend on it.
    The model, its weights and their `.grad` stay as they are.

    >>> from locution.models.linear import Line
    >>> x = torch.arange(5.0)
    >>> def mse(model, batch):
    ...     return None, ((model(batch.inputs) - batch.targets) ** 2).mean()
    >>> {name: g.item() for name, g in backpropagate(Line(), mse, Batch(x, 2 * x + 1)).items()}
    {'w': -28.0, 'b': -10.0}

    Reference: D. Rumelhart, G. Hinton, R. Williams, 1986, "Learning representations by back-propagating
    errors", eqs. 4-8; S. Linnainmaa, 1976, "Taylor expansion of the accumulated rounding error".
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.enable_grad():
        _, loss = objective(model, batch)
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if grad is None else grad
        for (name, p), grad in zip(trained.items(), found, strict=True)
    }
