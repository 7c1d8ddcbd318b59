"""From a model's outputs on a test set to the figures, the confusion and the errors of its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from locution.evaluation.calibration import expected_calibration_error
from locution.evaluation.intervals import bootstrap
from locution.evaluation.metrics import accuracy, confusion, measure
from locution.reporting.results import Confusion, Metric, RunResults, WrongAnswer

BETTER = {"accuracy": "higher", "macro_f1": "higher", "r2": "higher"}
NAMES = ("accuracy", "macro_f1", "cross_entropy", "calibration_error", "mse", "rmse", "mae", "r2", "commonest")
LABELS = {
    "cross_entropy": "cross-entropy",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "r2": "R2, the share explained",
    "commonest": "accuracy, always the commonest class",
}
MEAN = "1 is perfect, 0 is what always the mean would get"
UNEVEN = 1.5  # times an even share: from there on it is worth knowing what the commonest class alone gets


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
    names = ["mse", "rmse", "mae", *(["r2"] if targets.numel() == len(targets) and len(targets) > 1 else [])]
    found = metrics(names, outputs, targets, note, 0)
    return RunResults(title, metrics=[replace(one, note=MEAN) if one.name == "r2" else one for one in found])


def commonest(learnt: Tensor, targets: Tensor, classes: int) -> list[Metric]:
    """Measure what an answer gets that is always the class most often learnt from: below it nothing has been learnt.

    learnt, targets: (N,), (M,), classes of the examples learnt from and of those to be judged by. Where classes are
    about as frequent as each other it says little, and is left out.

    >>> [one.value for one in commonest(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 0, 0]), 2)]
    [0.75]
    >>> commonest(torch.tensor([0, 1]), torch.tensor([0, 1]), 2)
    []
    """
    counts = torch.bincount(learnt.cpu(), minlength=classes)
    if int(counts.max()) * classes < UNEVEN * len(learnt):
        return []
    always = torch.zeros(len(targets), classes).index_fill_(1, counts.argmax(), 1.0)
    one, name = accuracy(always, targets), "commonest"
    note = "what says nothing of an example gets, for comparison"
    return [Metric(name, one["value"], one["low"], one["high"], LABELS[name], better="higher", note=note)]
