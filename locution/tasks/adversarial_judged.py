"""How a GAN is judged: by the modes that it makes, how far they are from the real ones, and what is seen in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.gaussian_mixture import GaussianMixture
from locution.data.known_density import KnownDensity
from locution.engine import Observer, Record, TensorBatches
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.energy_distance import energy_distance
from locution.evaluation.feature_judge import SURE, FeatureJudge, frechet_distance
from locution.evaluation.modes import class_coverage, lifelike, mode_collapse, mode_coverage, neighbourhood_coverage
from locution.evaluation.proportions import proportion
from locution.losses.sinkhorn import transport_plan
from locution.losses.wasserstein import matching_distance
from locution.models.gan import GAN
from locution.reporting.cloud import carried, cloud
from locution.reporting.results import Drawing, Gallery, Metric, RunResults, Table
from locution.reporting.transport import transport
from locution.tasks.clouds import corners, crowd, density_picture

Make = Callable[[int, int], Tensor]  # how many, and the seed
JUDGED = 2500  # examples that are made to be judged
MATCHED = 500  # of them that are matched with as many real ones
CARRIED = 80  # of them in the picture of the transport
CLOSE = 0.005  # epsilon of that plan, as a share of the mean cost
MODES = 100  # more are no modes but pieces of a line


def modes_of(part: Any) -> GaussianMixture | None:
    """Find the modes of the data, where they are known and few."""
    truth = part.truth() if isinstance(part, KnownDensity) else None
    return truth if isinstance(truth, GaussianMixture) and 2 <= len(truth.shares) <= MODES else None


class ModesWatch(Observer):
    """Counts at the end of each epoch how many modes of the data the generator makes, for a curve of the report."""

    name: ClassVar[str] = "modes"

    def __init__(self, truth: GaussianMixture) -> None:
        self.truth = truth

    @classmethod
    def of(cls, part: Any) -> list[Self]:
        """Watch where the modes are known."""
        truth = modes_of(part)
        return [] if truth is None else [cls(truth)]

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """Make some examples and see at which modes they lie."""
        assert isinstance(model, GAN)
        samples = model.sample(JUDGED, generator(0, "modes watched")).float().cpu()
        found = mode_coverage(samples, self.truth.means, self.truth.deviations)
        covered = len(found.counts) - len(found.missing(due=self.truth.shares.tolist()))
        return {"covered_modes": float(covered), "high_quality": found.quality}


def judged(results: RunResults, model: GAN, part: Any, data: Dataset, make: Make) -> None:
    """Judge what a generator makes, by what is known of its data."""
    held = data.test if data.test is not None else data.train
    if not isinstance(held, TensorBatches) or not isinstance(data.train, TensorBatches):
        raise UserError(f"{results.title} has no examples in memory to be judged by; allowed: data such as digits.")
    truth = modes_of(part)
    if truth is not None:
        judge_modes(results, truth, data, make(JUDGED, 0))
    if len(data.inputs) == 1:
        judge_points(results, model, part, held.inputs, data.train.inputs, make)
    else:
        judge_pictures(results, data.train, held, data.labels, make(JUDGED, 0))


def judge_modes(results: RunResults, truth: GaussianMixture, data: Dataset, samples: Tensor) -> None:
    """Say which modes are made, and warn of a collapse."""
    due, names = truth.shares.tolist(), data.labels or tuple(f"mode {n + 1}" for n in range(len(truth.shares)))
    found = mode_coverage(samples, truth.means, truth.deviations)
    count = len(names) - len(found.missing(due=due))
    note = f"of {len(names)}, each with a tenth or more of its share of {len(samples):,} samples"
    quality: Any = proportion(sum(found.counts), found.drawn)
    near = "within 3 standard deviations of a mode"
    results.metrics += [
        Metric("covered_modes", count, label="modes covered", better="higher", note=note),
        Metric("high_quality", **quality, label="samples of high quality", better="higher", note=near),
    ]
    line = mode_collapse(found, names, due=due)
    results.warnings += [line] if line else []
    rows = [(name, made, share * found.drawn) for name, made, share in zip(names, found.counts, due, strict=True)]
    results.tables.append(Table("Samples of each mode", ("mode", "samples", "their share would be"), rows))


def judge_points(results: RunResults, model: GAN, part: Any, held: Tensor, known: Tensor, make: Make) -> None:
    """Measure how far samples are from real points, and what the critic thinks of that; draw both on the plane."""
    count = min(MATCHED, len(held), len(known))
    samples = make(count, 0)
    far, near = (float(matching_distance(some, held[:count])) for some in (samples, known[:count]))
    note = f"{count} samples matched with as many held-out points; as many that were learnt from: {near:.3f}"
    label = "Wasserstein distance to the data"
    results.metrics.append(Metric("wasserstein", far, label=label, better="lower", note=note))
    with torch.no_grad():
        device = next(model.parameters()).device
        real, fake = (model.score(some.to(device)).double().mean() for some in (held, make(len(held), 0)))
    said = "mean score of held-out points less that of samples"
    results.metrics.append(Metric("critic_gap", float(real - fake), label="what the critic still sees", note=said))
    many = make(JUDGED, 0)
    along = transport(many[:, 0].tolist(), held[:, 0].tolist(), ("samples", "held-out points"))
    results.graphs.append(replace(along, title="What must be moved along the first axis"))
    if held.shape[1] == 2:
        draw_plane(results, part, samples, many, held)


def draw_plane(results: RunResults, part: Any, samples: Tensor, many: Tensor, held: Tensor) -> None:
    """Draw samples over the density of the data, if it is known, and what must be moved to turn them into data."""
    low, high = corners(held)
    clouds, behind, where = {"samples": many.numpy(), "held-out points": held.numpy()}, None, "held-out points"
    if isinstance(part, KnownDensity):
        del clouds["held-out points"]
        where = "the true density"
        shade: Any = part.truth().log_density  # its root, or thin modes would be all that is seen
        behind = density_picture(lambda places: 0.25 * shade(places), low, high, 160).numpy()
    alt = f"{len(many)} samples on a plane, over {where}."
    picture = cloud(clouds, low.numpy(), high.numpy(), alt=alt, density=behind)
    note = f"blue: {len(many):,} samples; {'orange' if behind is None else 'grey'}: {where}"
    results.drawings.append(Drawing(f"Samples, over {where}", picture, note, wide=False))
    x, y = samples[:CARRIED], held[:CARRIED]
    epsilon = CLOSE * float(torch.cdist(x, y).square().mean())
    plan = transport_plan(x, y, epsilon, tolerance=0.01)  # for a picture that is near enough
    alt = f"Which of {len(x)} samples is carried to which of {len(y)} held-out points, at the least cost."
    picture = carried(x.numpy(), y.numpy(), plan.numpy(), ("samples", "held-out points"), alt=alt)
    note = "entropic optimal transport; blue: samples, orange: held-out points"
    results.drawings.append(Drawing("What must be moved to turn samples into data", picture, note, wide=False))


def gaussian_fit(inputs: Tensor, count: int, seed: int = 0) -> Tensor:
    """Draw from the Gaussian that has the mean and the covariance of some pictures, cut off to their range: a generator
    that knows no more than how pixels go together in pairs.
    """
    flat = inputs.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    noise = torch.randn(count, flat.shape[1], generator=generator(seed, "gaussian fit"), dtype=torch.float64)
    drawn: Tensor = flat.mean(0) + (noise * values.clamp(min=0).sqrt()) @ vectors.T
    return drawn.clamp(float(flat.min()), float(flat.max())).float().view(count, *inputs.shape[1:])


def judge_pictures(
    results: RunResults, known: TensorBatches, held: TensorBatches, labels: tuple[str, ...], samples: Tensor
) -> None:
    """Let a classifier that learnt from real pictures judge samples, held-out pictures, and a Gaussian fit beside."""
    others = {"samples": samples, "Gaussian fit": gaussian_fit(known.inputs, len(samples)), "held out": held.inputs}
    judge = FeatureJudge(known.inputs, known.targets) if labels else None
    seen = {} if judge is None else {name: judge.features(some) for name, some in others.items()}
    learnt = None if judge is None else judge.features(known.inputs)
    rows = []
    for name, some in others.items():
        tail = "" if name == "samples" else "_" + name.replace(" ", "_").lower()
        far, near = energy_distance(some, known.inputs), neighbourhood_coverage(held.inputs, some[: len(held)])
        row: list[Any] = [name, far, float("nan") if name == "held out" else near]
        if judge is not None and learnt is not None:
            share = proportion(int((recognised(judge, known.inputs, some) >= 0).sum()), len(some))
            apart = frechet_distance(seen[name], learnt)
            about = f"of {len(some)}: lifelike, and a classifier is {SURE:.0%} sure of the class".replace("%", " %")
            results.metrics += [
                Metric(
                    f"recognised{tail}",
                    **share,
                    label=f"recognised, {name}",
                    group="recognised",
                    better="higher",
                    note=about,
                ),
                Metric(
                    f"frechet{tail}", apart, label=f"Frechet distance, {name}", group="Frechet distance", better="lower"
                ),
            ]
            row += [share["value"], apart]
        rows.append(row)
    results.metrics.append(Metric("energy_distance", rows[0][1], label="energy distance", better="lower"))
    results.metrics.append(Metric("coverage", rows[0][2], label="coverage of held-out pictures", better="higher"))
    columns = ["", "energy distance", "coverage", *(["recognised", "Frechet distance"] if judge else [])]
    note = "distances to the pictures learnt from; coverage: held-out pictures near which one was made"
    results.tables.append(Table("Samples beside others", columns, rows, note))
    if judge is not None:
        found = class_coverage(recognised(judge, known.inputs, samples), len(labels))
        line = mode_collapse(found, [f"class {name}" for name in labels])
        results.warnings += [line] if line else []
    results.galleries += pictures(samples, known.inputs)


def recognised(judge: FeatureJudge, known: Tensor, some: Tensor) -> Tensor:
    """Say the class of each picture (N,): -1 where the judge is not sure of it, or where it is not lifelike, for of
    such a classifier may be sure by mistake.
    """
    return torch.where(lifelike(known, some), judge.classes(some), -1)


def pictures(samples: Tensor, known: Tensor) -> list[Gallery]:
    """Show samples, and beside some of them the real picture that is nearest to each: none was learnt by heart."""
    few = samples[:12]
    nearest = known[torch.cdist(few.flatten(1), known.flatten(1)).argmin(1)]
    pairs = torch.stack([few, nearest]).mean(2).numpy()  # (2, 12, H, W)
    note = "above: samples; below: the nearest of the pictures that were learnt from"
    return [*shown(samples[:60], "Samples"), Gallery("Samples and what they are nearest to", pairs, note)]


def shown(values: Tensor, title: str) -> list[Gallery]:
    """Show what was made: pictures in rows, points of the plane by how many lie where; nothing of other examples."""
    if values.dim() == 4 and min(values.shape[2:]) > 1:
        columns = next(many for many in range(min(12, len(values)), 0, -1) if len(values) % many == 0 or many <= 4)
        some = values[: len(values) // columns * columns].mean(1)
        return [Gallery(title, some.view(-1, columns, *some.shape[1:]).numpy(), f"{len(some)} made from noise")]
    if values.dim() == 2 and values.shape[1] == 2 and len(values) > 1:
        return [Gallery(title, crowd(values, *corners(values))[None, None].numpy(), f"{len(values)} points made")]
    return []
