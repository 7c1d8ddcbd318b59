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
from locution.evaluation.modes import mode_collapse, mode_coverage
from locution.evaluation.proportions import proportion
from locution.losses.sinkhorn import transport_plan
from locution.losses.wasserstein import matching_distance
from locution.models.gan import GAN
from locution.reporting.cloud import carried, cloud
from locution.reporting.results import Drawing, Metric, RunResults, Table
from locution.reporting.transport import transport
from locution.tasks.clouds import corners, density_picture
from locution.tasks.generated_pictures import judge_pictures

Make = Callable[[int, int], Tensor]  # how many, and the seed
JUDGED = 2500  # examples that are made to be judged
MATCHED = 500  # of them that are matched with as many real ones
CARRIED = 80  # of them in the picture of the transport
CLOSE = 0.005  # epsilon of that plan, as a share of the mean cost
TURNS = 20_000  # at most; samples on a thin line may need many
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


def judged(
    results: RunResults,
    model: GAN,
    part: Any,
    data: Dataset,
    make: Make,
    asked: Tensor | None = None,
    mend: str = "",
) -> None:
    """Judge what a generator makes, by what is known of its data.

    asked: the class of each of JUDGED examples. mend: what may help against a collapse.
    """
    held = data.test if data.test is not None else data.train
    if not isinstance(held, TensorBatches) or not isinstance(data.train, TensorBatches):
        raise UserError(f"{results.title} has no examples in memory to be judged by; allowed: data such as digits.")
    truth = modes_of(part)
    if truth is not None:
        judge_modes(results, truth, data, make(JUDGED, 0), mend)
    if len(data.inputs) == 1:
        judge_points(results, model, part, held.inputs, data.train.inputs, make)
    else:
        judge_pictures(results, data.train, held, data.labels, make(JUDGED, 0), asked, mend)


def judge_modes(results: RunResults, truth: GaussianMixture, data: Dataset, samples: Tensor, mend: str = "") -> None:
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
    line = mode_collapse(found, names, due=due, mend=mend)
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
        real, fake = (model.score(some.to(device)).cpu().double().mean() for some in (held, make(len(held), 0)))
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
    plan = transport_plan(x, y, epsilon, turns=TURNS, tolerance=0.01)  # for a picture that is near enough
    alt = f"Which of {len(x)} samples is carried to which of {len(y)} held-out points, at the least cost."
    picture = carried(x.numpy(), y.numpy(), plan.numpy(), ("samples", "held-out points"), alt=alt)
    note = "entropic optimal transport; blue: samples, orange: held-out points"
    results.drawings.append(Drawing("What must be moved to turn samples into data", picture, note, wide=False))
