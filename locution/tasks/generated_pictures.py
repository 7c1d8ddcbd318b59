"""How a run judges and shows the pictures that it makes: beside held-out ones, a Gaussian fit and plain copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from locution.engine import TensorBatches
from locution.evaluation.energy_distance import energy_distance
from locution.evaluation.feature_judge import SURE
from locution.evaluation.generated import Judgement, PictureJudge, gaussian_fit, some_of
from locution.evaluation.modes import class_coverage, mode_collapse, neighbourhood_coverage
from locution.evaluation.proportions import proportion
from locution.reporting.results import Gallery, Metric, RunResults, Table
from locution.tasks.clouds import corners, crowd

SAID = {  # of each figure its label, what is better, and what was measured
    "recognised": ("recognised", "higher", f"lifelike, and a classifier is {100 * SURE:.0f} % sure of the class"),
    "precision": ("precision", "higher", "samples as near to a real picture as its neighbours are"),
    "recall": ("recall", "higher", "held-out pictures as near to a sample as its neighbours are"),
    "coverage": ("coverage of held-out pictures", "higher", "held-out pictures near which a sample lies"),
    "data_copying": ("data-copying", "", "0.5: as new as held-out pictures; 1: copies; less: far from all"),
    "frechet": ("Frechet distance", "lower", "to the pictures learnt from, by what a classifier sees"),
    "energy_distance": ("energy distance", "lower", "to the pictures learnt from"),
}
BESIDE = ("recognised", "frechet")  # of others too, not only in the table


def judge_pictures(
    results: RunResults,
    known: TensorBatches,
    held: TensorBatches,
    labels: tuple[str, ...],
    samples: Tensor,
    asked: Tensor | None = None,
    mend: str = "",
) -> None:
    """Let a classifier that learnt from real pictures judge samples, and others beside.

    asked: of which class each was to be (N,). mend: what may help where classes are missing.
    """
    results.galleries += [*shown(samples[:60], "Samples", asked is not None), beside_nearest(samples, known.inputs)]
    if not labels:
        far, near = energy_distance(samples, known.inputs), neighbourhood_coverage(held.inputs, samples[: len(held)])
        results.metrics += [metric("energy_distance", {"value": far}, ""), metric("coverage", {"value": near}, "")]
        return
    judge = PictureJudge(known.inputs, known.targets, held.inputs)
    others = {
        "samples": samples,
        "Gaussian fit": gaussian_fit(known.inputs, len(samples)),
        "held out": held.inputs,
        "learnt from": some_of(known.inputs, len(samples)),
    }
    found = {name: judge(some) for name, some in others.items()}
    results.metrics += [metric(name, figure, "") for name, figure in found["samples"].figures.items()]
    if asked is not None:
        right: Any = proportion(int((found["samples"].classes == asked).sum()), len(samples))
        note = "recognised, and as the class that was asked for"
        results.metrics.append(Metric("as_asked", **right, label="recognised as asked", better="higher", note=note))
    for kind in ("Gaussian fit", "held out"):
        results.metrics += [metric(name, found[kind].figures[name], kind) for name in BESIDE]
    results.tables.append(beside(found))
    made = class_coverage(found["samples"].classes, len(labels))
    line = mode_collapse(made, [f"class {name}" for name in labels], mend=mend)
    results.warnings += [line] if line else []


def metric(name: str, figure: dict[str, float], kind: str) -> Metric:
    """Name a figure of some kind of pictures; of the samples themselves where none is named."""
    label, better, note = SAID[name]
    tail, of = (f"_{kind.replace(' ', '_').lower()}", f", {kind}") if kind else ("", "")
    group = label if name in BESIDE else ""
    return Metric(f"{name}{tail}", **figure, label=f"{label}{of}", group=group, better=better, note=note)


def beside(found: dict[str, Judgement]) -> Table:
    """Lay all figures of all kinds of pictures beside each other."""
    rows: list[list[Any]] = []
    for name, judgement in found.items():
        hidden = ("recall", "coverage") if name == "held out" else ()  # they are near to themselves
        rows.append([name, *(float("nan") if key in hidden else judgement.figures[key]["value"] for key in SAID)])
    note = "; ".join(f"{SAID[name][0]}: {SAID[name][2]}" for name in SAID)
    return Table("Samples beside others", ["", *(SAID[name][0] for name in SAID)], rows, note)


def beside_nearest(samples: Tensor, known: Tensor) -> Gallery:
    """Show beside some samples the real picture that is nearest to each: none was learnt by heart."""
    few = samples[:12]
    nearest = known[torch.cdist(few.flatten(1), known.flatten(1)).argmin(1)]
    pairs = torch.stack([few, nearest]).mean(2).numpy()  # (2, 12, H, W)
    note = "above: samples; below: the nearest of the pictures that were learnt from"
    return Gallery("Samples and what they are nearest to", pairs, note)


def shown(values: Tensor, title: str, by_class: bool = False) -> list[Gallery]:
    """Show what was made: pictures in rows, points of the plane by how many lie where; nothing of other examples."""
    if values.dim() == 4 and min(values.shape[2:]) > 1:
        most = 10 if by_class else 12
        columns = next(many for many in range(min(most, len(values)), 0, -1) if len(values) % many == 0 or many <= 4)
        some = values[: len(values) // columns * columns].mean(1)
        return [Gallery(title, some.view(-1, columns, *some.shape[1:]).numpy(), f"{len(some)} made from noise")]
    if values.dim() == 2 and values.shape[1] == 2 and len(values) > 1:
        return [Gallery(title, crowd(values, *corners(values))[None, None].numpy(), f"{len(values)} points made")]
    return []
