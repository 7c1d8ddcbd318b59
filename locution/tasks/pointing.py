"""The task of pointing: picking elements of the input in an order, judged by tours and by hulls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.hulls import polygon_area
from locution.data.tours import tour_lengths
from locution.errors import LocutionError, UserError
from locution.evaluation.intervals import bootstrap
from locution.evaluation.proportions import proportion
from locution.models.pointer import PointerNetwork
from locution.reporting.polygons import polygons
from locution.reporting.results import Drawing, Graph, Metric, RunResults
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.other_sizes import hulls_of_other_sizes, tours_of_other_sizes
from locution.tasks.supervised import Supervised
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

BEAMS, SHOWN = 5, 8
Answers = list[list[int]]


class Pointing(WeightsKept):
    """Combinatorial optimisation looks for the best of very many arrangements, such as the shortest of all tours.

    Here a pointer network learns it from arrangements that were found exactly. Tours are judged by how much longer they
    are than the shortest, hulls by the area that they cover and by whether every corner is right; both as the network
    picks them, one after another, and by the best of 5 beams. No search repairs them afterwards.

    >>> from locution.recipe import resolve
    >>> job = Pointing().prepare(resolve("tours", ["data.count=8", "data.test=4"]), quiet=True)
    >>> job.data.train.targets.shape
    torch.Size([8, 10])

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", section 4.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data and build the model."""
        job = Supervised().job(recipe, recipe.part("data").load(recipe.seed), quiet=quiet)
        if not isinstance(job.model, PointerNetwork):
            what = f"model '{recipe.model.get('name')}' does not pick elements of its input"
            raise UserError(f"{what}; allowed: model.name=pointer.")
        return job

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the answers on the test set, as they are picked and by beams."""
        data: Dataset = job.data
        held = data.test
        if held is None or not isinstance(held.inputs, Tensor):
            raise LocutionError(f"{recipe.name} has no test data to judge by.")
        points, truths = held.inputs, listed(held.targets, data.outputs)
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        greedy = picked(model, points)
        for answers, how in ((greedy, ""), (picked(model, points, BEAMS), f"_of_{BEAMS}_beams")):
            figures = hull_figures if data.sizes.get("ends") else tour_figures
            results.metrics += figures(points, answers, truths, how)
        hulls = bool(data.sizes.get("ends"))
        results.drawings.append(drawing(points, greedy, truths, hulls))
        results.graphs.append(of_other_sizes(model, data.outputs, hulls))
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer each input: points as x,y x,y ..., however many, or test:3; with the elements in their order."""
        job = self.prepare(lighter(recipe, inputs), quiet=True)
        model = self.load(recipe, job, folder)
        found = []
        for text in inputs:
            points = read_points(text, job.data)
            (answer,) = picked(model, points[None], BEAMS)
            said = " ".join(map(str, answer))
            if job.data.sizes.get("ends"):
                found.append(f"{said} (area {polygon_area(points[answer]):.3f})")
            else:
                found.append(f"{said} (length {float(tour_lengths(points[None], torch.tensor([answer]))):.3f})")
        return found


def lighter(recipe: Recipe, inputs: Sequence[str]) -> Recipe:
    """Leave out the questions of training, which are long to solve, unless an input names one of them.

    Each part of the data is drawn by a stream of its own: test:3 stays what it was.

    >>> from locution.recipe import resolve
    >>> lighter(resolve("tours"), ["test:3"]).data["count"], lighter(resolve("tours"), ["train:3"]).data["count"]
    (1, 60000)
    """
    if any(text.startswith("train:") for text in inputs):
        return recipe
    return replace(recipe, data={**recipe.data, "count": 1})


def of_other_sizes(model: nn.Module, learnt: int, hulls: bool) -> Graph:
    """Draw how well the network picks from fewer and from more elements than it learnt from."""

    def pick(points: Tensor, beams: int) -> Answers:
        return picked(model, points, beams)

    return hulls_of_other_sizes(pick, learnt, hull_areas, 0) if hulls else tours_of_other_sizes(pick, learnt, BEAMS, 0)


def read_points(text: str, data: Dataset) -> Tensor:
    """Read points (n, 2) as they are typed, or an example of the data.

    >>> from locution.engine import TensorBatches
    >>> read_points("0,0 1,0 0.5,1", Dataset(TensorBatches(torch.zeros(1, 3, 2))))
    tensor([[0.0000, 0.0000],
            [1.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    if ":" in text:
        return read_input(text, data)
    try:
        rows = [[float(side) for side in point.split(",")] for point in text.split()]
        points = torch.tensor(rows)
    except ValueError:
        raise UserError(f"'{text}' are no points; allowed: x,y x,y x,y ..., or test:3.") from None
    if points.dim() != 2 or points.shape[1] != 2 or len(points) < 3:
        raise UserError(f"the points have shape {tuple(points.shape)}; allowed: three or more of two numbers each.")
    if not bool(((points >= 0) & (points <= 1)).all()):
        raise UserError(f"'{text}' leaves the square that was learnt from; allowed: numbers from 0 to 1.")
    return points


def listed(orders: Tensor, count: int) -> Answers:
    """Write answers as lists of elements, without the end and what stands behind it.

    >>> listed(torch.tensor([[1, 0, 2], [1, 2, -1]]), count=2)
    [[1, 0], [1]]
    """
    found = []
    for row in orders.tolist():
        end = next((at for at, one in enumerate(row) if not 0 <= one < count), len(row))
        found.append(row[:end])
    return found


def picked(model: nn.Module, points: Tensor, beams: int = 1) -> Answers:
    """Let the network pick: (N, n, 2) to a list of elements each."""
    network: Any = model
    device = next(model.parameters()).device
    return listed(network.eval().pick(points.to(device), beams).cpu(), points.shape[1])


def tour_figures(points: Tensor, answers: Answers, truths: Answers, how: str) -> list[Metric]:
    """How much longer tours are than the shortest, and how often they are as short."""
    lengths, shortest = (tour_lengths(points, torch.tensor(some)) for some in (answers, truths))
    note, by = f"{len(points)} maps held out", f", {BEAMS} beams" if how else ""
    right = int((lengths <= shortest * (1 + 1e-5)).sum())
    made = [
        measured(
            f"over_shortest{how}",
            f"longer than shortest{by}",
            "longer than shortest",
            "lower",
            bootstrap(lengths / shortest - 1),
            note,
        ),
        measured(
            f"shortest{how}", f"shortest found{by}", "shortest found", "higher", proportion(right, len(points)), note
        ),
    ]
    if not how:
        made.append(measured("length", "length", "length", "lower", bootstrap(lengths), note))
        made.append(measured("optimum", "length of the shortest", "length", "", bootstrap(shortest), note))
    return made


def measured(name: str, label: str, group: str, better: str, found: dict[str, float], note: str) -> Metric:
    """Make a metric of a figure with its interval."""
    return Metric(name, **found, label=label, group=group, better=better, note=note)


def hull_figures(points: Tensor, answers: Answers, truths: Answers, how: str) -> list[Metric]:
    """How much of the hull's area is covered, and how often every corner is right."""
    note, by = f"{len(points)} sets held out", f", {BEAMS} beams" if how else ""
    covered = torch.tensor(hull_areas(points, answers)) / torch.tensor(hull_areas(points, truths))
    right = sum(answer == truth for answer, truth in zip(answers, truths, strict=True))
    return [
        measured(f"area{how}", f"area covered{by}", "area covered", "higher", bootstrap(covered), note),
        measured(
            f"right{how}",
            f"every corner right{by}",
            "every corner right",
            "higher",
            proportion(right, len(points)),
            note,
        ),
    ]


def hull_areas(points: Tensor, answers: Answers) -> list[float]:
    """Measure the area within each answer; what is no polygon has none."""
    return [polygon_area(some[way]) if len(way) > 2 else 0.0 for some, way in zip(points, answers, strict=True)]


def way_lengths(points: Tensor, answers: Answers) -> list[float]:
    """Measure the length of each tour."""
    found: list[float] = tour_lengths(points, torch.tensor(answers)).tolist()
    return found


def drawing(points: Tensor, answers: Answers, truths: Answers, hulls: bool) -> Drawing:
    """Draw the first answers over the right ones, and below them those that are wrong by most."""
    measure = hull_areas if hulls else way_lengths
    size = list(zip(measure(points, answers), measure(points, truths), strict=True))
    worst = sorted(range(len(points)), key=lambda row: -abs(size[row][0] - size[row][1]))
    rows = [*range(min(SHOWN // 2, len(points))), *worst[: SHOWN // 2]]
    what = "area {:.3f}, right {:.3f}" if hulls else "{:.2f}, shortest {:.2f}"
    words = [what.format(*size[row]) for row in rows]
    title = "Hulls" if hulls else "Tours"
    shown, right = ([ways[row] for row in rows] for ways in (answers, truths))
    some = [points[row].numpy() for row in rows]
    picture = polygons(some, shown, right, words, alt=f"{title} as they were picked.")
    note = "dashed: the right answer; over it what the network picked; below: where it was wrong by most"
    return Drawing(title, picture, note)
