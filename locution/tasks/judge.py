"""From a model's outputs on a test set to the figures, the confusion and the errors of its report."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from locution.evaluation.calibration import expected_calibration_error
from locution.evaluation.intervals import bootstrap
from locution.evaluation.metrics import confusion, measure
from locution.reporting.results import Confusion, Metric, RunResults, WrongAnswer

BETTER = {"accuracy": "higher", "macro_f1": "higher", "r2": "higher"}
NAMES = ("accuracy", "macro_f1", "cross_entropy", "calibration_error", "mse", "mae", "r2")
LABELS = {
    "cross_entropy": "cross-entropy",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error",
    "mse": "mean squared error",
    "mae": "mean absolute error",
}


def metrics(names: Sequence[str], outputs: Tensor, targets: Tensor, note: str, seed: int) -> list[Metric]:
    """Measure each figure with its interval.

    >>> import torch
    >>> found = metrics(["mse"], torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [2.0]]), "two points", 0)
    >>> found[0].value
    5.0
    """
    figures = measure(names, outputs, targets, seed)
    return [
        Metric(
            name,
            one["value"],
            one["low"],
            one["high"],
            LABELS.get(name, ""),
            better=BETTER.get(name, "lower"),
            note=note,
        )
        for name, one in figures.items()
    ]


def calibration(outputs: Tensor, targets: Tensor, note: str, bins: int = 10) -> Metric:
    """Measure how far confidence is from correctness (ECE), with its interval: outputs (N, C), targets (N,).

    >>> outputs = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.8, 0.2]]).log()
    >>> calibration(outputs, torch.tensor([0, 0, 0, 1]), "four").value  # sure by 0.8, right in 0.75
    0.05
    """
    sure, answers = outputs.detach().double().cpu().softmax(-1).max(-1)  # (N,), (N,)
    right = answers == targets.cpu()
    sure = sure.clamp(max=1.0)
    found = expected_calibration_error(sure.tolist(), right.tolist(), bins)
    place = (sure * bins).long().clamp(max=bins - 1)  # (N,)
    apart = torch.nn.functional.one_hot(place, bins) * (sure - right.double())[:, None]  # (N, bins)
    between = bootstrap(apart, lambda means: means.abs().sum(-1))
    name = "calibration_error"
    low, high = min(between["low"], found.error), max(between["high"], found.error)
    return Metric(name, found.error, low, high, LABELS[name], better="lower", note=note)


def judge_classes(
    title: str, outputs: Tensor, inputs: Tensor, targets: Tensor, labels: Sequence[str], note: str
) -> RunResults:
    """Judge answers that are classes: outputs (N, C), targets (N,); with pictures of what went wrong, where there are.

    The intervals are always drawn with seed 0: the same answers have the same interval in every run.
    """
    found = metrics(["accuracy", "macro_f1", "cross_entropy"], outputs, targets, note, 0)
    found.append(calibration(outputs, targets, note))
    counts = confusion(outputs, targets, len(labels)).tolist()
    results = RunResults(title, metrics=found, confusion=Confusion(list(labels), counts))
    chances, answers = outputs.float().softmax(-1).max(-1)  # (N,), (N,)
    missed = (answers != targets).nonzero().flatten().tolist()
    surest_first = sorted(missed, key=lambda row: -float(chances[row]))
    if inputs.dim() >= 3 and inputs.shape[-2] > 1:
        pictures = inputs.reshape(len(inputs), -1, *inputs.shape[-2:])[:, 0]  # (N, rows, columns), the first channel
        results.wrong = [
            WrongAnswer(
                pictures[row].numpy(),
                labels[int(targets[row])],
                labels[int(answers[row])],
                float(chances[row]),
                f"test:{row}",
            )
            for row in surest_first[:24]
        ]
    return results


def judge_values(title: str, outputs: Tensor, targets: Tensor, note: str) -> RunResults:
    """Judge answers that are values: outputs and targets (N, ...)."""
    names = ["mse", "mae", *(["r2"] if targets.numel() == len(targets) and len(targets) > 1 else [])]
    return RunResults(title, metrics=metrics(names, outputs, targets, note, 0))
