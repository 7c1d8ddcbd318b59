"""What else may be measured at the end of a run, where its recipe asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from locution.engine import TensorBatches
from locution.engine.batch import Batch
from locution.errors import UserError, unknown
from locution.evaluation.sharpness import sharpness
from locution.models.spectral_norm import lipschitz_bound
from locution.reporting.results import Metric

Measured = Callable[[nn.Module, Any, Any], float]


def training_sharpness(model: nn.Module, objective: Any, batches: Any) -> float:
    """The sharpness of the loss on all training examples at once, where the weights came to lie.

    Raises UserError where the examples are no tensors in memory.

    >>> import torch
    >>> net = nn.Linear(1, 1, bias=False)
    >>> def objective(model, batch):
    ...     return None, ((model(batch.inputs) - batch.targets) ** 2).mean()
    >>> data = TensorBatches(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1), batch_size=1)
    >>> round(training_sharpness(net, objective, data), 3)  # 2 x the mean of x squared, (1 + 9) / 2
    10.0
    """
    if not isinstance(batches, TensorBatches):
        came = type(batches).__name__
        raise UserError(f"figures has sharpness, and the examples are {came}; allowed: tensors in memory.")
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        return 0.0  # nothing can move
    whole = Batch(batches.inputs, batches.targets, batches.weights).to(weights[0].device)
    return sharpness(model, objective, whole)


@dataclass(frozen=True)
class Figure:
    """A figure that a recipe may ask for: how it is measured, what it was measured on, and which side is better."""

    measure: Measured
    note: str
    better: str = "lower"


FIGURES = {
    "sharpness": Figure(training_sharpness, "largest eigenvalue of the Hessian of the training loss"),
    "lipschitz": Figure(lambda model, *_: lipschitz_bound(model), "product of the layers' largest singular values"),
}


def check_figures(names: Sequence[str]) -> None:
    """Refuse a figure that nobody can measure, before anything trains.

    >>> check_figures(["sharpnes"])
    Traceback (most recent call last):
    locution.errors.UserError: 'sharpnes' is no figure that a recipe may ask for. Did you mean 'sharpness'? ...
    """
    for name in names:
        if name not in FIGURES:
            raise unknown("figure that a recipe may ask for", name, FIGURES)


def more_figures(names: Sequence[str], model: nn.Module, objective: Any, batches: Any) -> list[Metric]:
    """Measure the figures that a recipe asks for.

    >>> net = nn.Linear(1, 1)
    >>> _ = net.weight.data.fill_(-2.0)
    >>> [str(one) for one in more_figures(["lipschitz"], net, None, None)]
    ['2.000']
    """
    check_figures(names)
    found = []
    for name in names:
        one = FIGURES[name]
        found.append(Metric(name, one.measure(model, objective, batches), better=one.better, note=one.note))
    return found
