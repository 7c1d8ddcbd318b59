"""What a model is worth on other data than those of its headline: another domain, another kind."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from locution.engine import TensorBatches
from locution.inference.predict import predict
from locution.reporting.results import Metric
from locution.tasks.judge import metrics


def judged_elsewhere(model: nn.Module, others: Mapping[str, TensorBatches], *, classes: bool) -> list[Metric]:
    """Judge a model on more held-out examples, by name: its accuracy there, or its mean squared error.

    >>> import torch
    >>> there = TensorBatches(torch.tensor([[1.0], [5.0]]), torch.tensor([[1.0], [1.0]]))
    >>> [(one.name, one.value) for one in judged_elsewhere(nn.Identity(), {"source": there}, classes=False)]
    [('mse_source', 8.0)]
    """
    found = []
    for name, held in others.items():
        outputs = predict(model, held.inputs).outputs
        kind = "accuracy" if classes else "mse"
        one = metrics([kind], outputs, held.targets, f"{len(held)} examples: {name}", 0)[0]
        label = f"{one.label or kind}, {name}"
        found.append(Metric(f"{kind}_{name}", one.value, one.low, one.high, label, better=one.better, note=one.note))
    return found
