"""Figures that say how good predictions are, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from locution.errors import UserError, unknown
from locution.evaluation.intervals import bootstrap
from locution.evaluation.proportions import proportion
from locution.losses.basic import cross_entropy as surprise

Figure = dict[str, float]  # value, low, high


def _classes(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    if len(outputs) != len(targets):
        raise UserError(f"{len(targets)} targets came with {len(outputs)} outputs; allowed: one each.")
    guesses = outputs.argmax(-1) if outputs.dim() > targets.dim() or outputs.is_floating_point() else outputs
    right = targets.argmax(-1) if targets.is_floating_point() else targets
    return guesses.cpu(), right.cpu()


def accuracy(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """Accuracy is the share of examples whose class was predicted right.

    Shapes: outputs are scores (N, C) or classes (N,); targets are classes (N,).

    >>> accuracy(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 1, 1]))["value"]
    0.75

    Reference: D. Hand, 1997, "Construction and assessment of classification rules", chapter 6.
    """
    guesses, right = _classes(outputs, targets)
    return _share(guesses == right, seed)


def error_rate(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """The error rate is the share of examples whose class was predicted wrong: one minus the accuracy.

    >>> error_rate(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 1, 1]))["value"]
    0.25

    Reference: D. Hand, 1997, "Construction and assessment of classification rules", chapter 6.
    """
    guesses, right = _classes(outputs, targets)
    return _share(guesses != right, seed)


def _share(holds: Tensor, seed: int) -> Figure:
    """Measure how many it holds for; where it is all or none, a bootstrap knows nothing, and Wilson's interval does."""
    count = int(holds.sum())
    return proportion(count, len(holds)) if count in (0, len(holds)) else bootstrap(holds.double(), seed=seed)


def macro_f1(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """The macro F1 score is the mean over the classes of F1, which is high only if a class is found and not
    overcalled.

    F1 of a class is 2 x found / (said + there). Classes neither said nor there are left out of the mean.

    >>> guesses, right = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1])
    >>> macro_f1(guesses, right)["value"]  # (2 x 2 / 5 + 2 x 1 / 3) / 2
    0.733

    Reference: Y. Yang, X. Liu, 1999, "A re-examination of text categorization methods", section 4.
    """
    guesses, right = _classes(outputs, targets)
    if bool((guesses == right).all()):
        return _share(guesses == right, seed)  # all right: so far may all be, as with the share of right answers
    count = int(torch.cat([guesses, right]).max()) + 1
    said = torch.nn.functional.one_hot(guesses, count)  # (N, C)
    there = torch.nn.functional.one_hot(right, count)
    found = said * there

    def score(means: Tensor) -> Tensor:
        both, one, other = means.view(*means.shape[:-1], 3, count).unbind(-2)  # each (..., C)
        total = one + other
        scores: Tensor = (2 * both / total.clamp(min=1e-12)).sum(-1) / (total > 0).sum(-1)
        return scores

    return bootstrap(torch.cat([found, said, there], 1), score, seed=seed)


def confusion(outputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """A confusion matrix counts how often each class (row) was taken for each class (column): (C, C).

    >>> confusion(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), classes=2)
    tensor([[1, 0],
            [1, 1]])

    Reference: J. Townsend, 1971, "Theoretical analysis of an alphabetic confusion matrix".
    """
    guesses, right = _classes(outputs, targets)
    return torch.bincount(right * classes + guesses, minlength=classes**2).view(classes, classes)


def cross_entropy(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """Held-out cross-entropy is the mean surprise, in nats, at the right answers of examples not learnt from.

    >>> cross_entropy(torch.zeros(3, 10), torch.tensor([1, 2, 3]))["value"]  # ln 10
    2.3026

    Reference: I. J. Good, 1952, "Rational decisions", section 8.
    """
    return bootstrap(surprise(outputs.float().cpu(), targets.cpu()), seed=seed)


def mse(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """The mean squared error is the average of the squared distances between predictions and targets.

    >>> mse(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0]))["value"]  # (1 + 9) / 2
    5.0

    Reference: C. F. Gauss, 1809, "Theoria motus corporum coelestium", section 179.
    """
    return bootstrap((_distances(outputs, targets) ** 2).mean(1), seed=seed)


def rmse(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """The root mean squared error is the root of the mean squared error: a typical miss, in the units of the targets.

    >>> rmse(torch.tensor([1.0, 7.0]), torch.tensor([2.0, 0.0]))["value"]  # the root of (1 + 49) / 2
    5.0

    Reference: T. Chai, R. Draxler, 2014, "Root mean square error (RMSE) or mean absolute error (MAE)?", equation 2.
    """
    squared = mse(outputs, targets, seed)
    return {"value": squared["value"] ** 0.5, "low": squared["low"] ** 0.5, "high": squared["high"] ** 0.5}


def mae(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """The mean absolute error is the average distance between predictions and targets.

    >>> mae(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0]))["value"]  # (1 + 3) / 2
    2.0

    Reference: C. Willmott, K. Matsuura, 2005, "Advantages of the mean absolute error over the root mean
    square error".
    """
    return bootstrap(_distances(outputs, targets).mean(1), seed=seed)


def r2(outputs: Tensor, targets: Tensor, seed: int = 0) -> Figure:
    """The coefficient of determination (R squared) is the share of the targets' variance that predictions
    explain.

    It is 1 where all are right, 0 for always saying the mean, and below 0 for worse than that. Targets: (N,)
    or (N, 1).

    >>> r2(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0]))["value"]  # 1 - 1 / 4.667
    0.786

    Reference: S. Wright, 1921, "Correlation and causation", Journal of Agricultural Research 20.
    """
    squares = (_distances(outputs, targets) ** 2).flatten()
    y = targets.double().cpu().flatten()
    if len(y) != len(targets):
        raise UserError(f"targets have shape {tuple(targets.shape)}; allowed: (N,) or (N, 1), one value each.")

    def explained(means: Tensor) -> Tensor:
        error, mean, square = means.unbind(-1)
        return 1 - error / (square - mean**2).clamp(min=1e-300)

    return bootstrap(torch.stack([squares, y, y**2], 1), explained, seed=seed)


def _distances(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape != targets.shape:
        came, wanted = tuple(targets.shape), tuple(outputs.shape)
        raise UserError(f"targets have shape {came}; allowed: {wanted}, the shape of the model's outputs.")
    away = (outputs.double() - targets.double()).abs().cpu()
    return away.reshape(len(away), -1)  # (N, D)


Metric = Callable[[Tensor, Tensor, int], Figure]
METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "error_rate": error_rate,
    "macro_f1": macro_f1,
    "cross_entropy": cross_entropy,
    "mse": mse,
    "rmse": rmse,
    "mae": mae,
    "r2": r2,
}


def measure(names: Sequence[str], outputs: Tensor, targets: Tensor, seed: int = 0) -> dict[str, Figure]:
    """A metric is a figure that says how good a model is at its task, on examples it never learnt from.

    Each of the metrics named is measured, with value, low and high. Errors: UserError for a name that is
    none.

    >>> measure(["accuracy"], torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 1]))
    {'accuracy': {'value': 1.0, 'low': 0.342, 'high': 1.0}}

    Reference: D. Hand, 1997, "Construction and assessment of classification rules", chapter 6.
    """
    for name in names:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    return {name: METRICS[name](outputs, targets, seed) for name in names}
