"""How a diffusion model is judged: by the true score where it is known, by whether its pictures are recognised."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.gaussian_mixture import GaussianMixture
from locution.engine import TensorBatches
from locution.engine.batches import Batches
from locution.engine.random import generator
from locution.evaluation.energy_distance import energy_distance
from locution.evaluation.intervals import bootstrap
from locution.evaluation.proportions import proportion
from locution.evaluation.recognised import Recogniser
from locution.models.diffusion import predicted_noise
from locution.models.noise_levels import NoiseLevels
from locution.reporting.results import Gallery, Graph, Metric, RunResults, Table
from locution.tasks.clouds import corners, crowd, density_picture, gallery

Draw = Callable[..., Tensor]
JUDGED, STEPS = 1000, 25  # pictures drawn to be judged, in so many steps
POINTS = 5000  # points drawn, and true ones beside them
LOOKED_AT = 20  # levels at most at which a score is held against the truth
GUIDANCES = (0.0, 1.0, 2.0, 4.0)
WAYS = (5, 10, 25, 50, 100)  # steps of the ways back that are compared
COMPARED, LEAST = 300, 50  # pictures drawn by each, and how many at least of larger ones


def score_squares(model: nn.Module, levels: NoiseLevels, level: int, truth: GaussianMixture, x: Tensor) -> Tensor:
    """Square how far the score of a network is from the true one at points with noise of a level, and the true one.

    Returns (N, 2): |s - s*|^2 and |s*|^2. The root of the ratio of their means is the relative error, weighted by the
    density of the points.
    """
    at = torch.full((len(x),), level)
    exact = truth.noised(float(levels.alphas[level]), float(levels.sigmas[level])).score(x)
    home = next(model.parameters()).device
    with torch.no_grad():
        said = predicted_noise(model, x.to(home), levels, at.to(home)).cpu()
    learnt = -said / levels.sigmas[level]
    return torch.stack([(learnt - exact).square().sum(1), exact.square().sum(1)], 1).double()


def relative(means: Tensor) -> Tensor:
    """Take the root of the ratio of two means: (..., 2) -> (...).

    >>> relative(torch.tensor([1.0, 400.0]))
    tensor(0.0500)
    """
    return (means[..., 0] / means[..., 1]).sqrt()


def judge_points(
    results: RunResults, model: nn.Module, levels: NoiseLevels, truth: GaussianMixture, draw: Draw
) -> None:
    """Hold the score at every level against the true one, and the points drawn against true draws."""
    looked = [round(one) for one in np.linspace(1, len(levels), min(LOOKED_AT, len(levels)))]
    squares = {}
    for level in looked:
        noised = truth.noised(float(levels.alphas[level]), float(levels.sigmas[level]))
        x, _ = noised.draw(POINTS, generator(0, "score", level))
        squares[level] = score_squares(model, levels, level, truth, x)
    errors = {level: float(relative(both.mean(0))) for level, both in squares.items()}
    worst = max(errors, key=errors.__getitem__)
    note = f"the worst of {len(looked)} levels, sigma {float(levels.sigmas[worst]):.2g}; {POINTS} points of it"
    whole = bootstrap(squares[worst], relative)
    results.metrics += [
        Metric("score_error", **whole, label="relative error of the score", group="score", better="lower", note=note),
        Metric(
            "score_error_mean",
            float(np.mean(list(errors.values()))),
            label="its mean over the levels",
            group="score",
            better="lower",
        ),
    ]
    points, others = draw(POINTS), truth.draw(POINTS, generator(0, "true points"))[0]
    if len(truth.shares) <= 100:
        shares = torch.bincount(truth.nearest(points), minlength=len(truth.shares)) / len(points)
        apart = float((shares - truth.shares).abs().max())
        note = f"{len(points)} points drawn; true shares {', '.join(f'{one:.2g}' for one in truth.shares.tolist())}"
        results.metrics.append(Metric("share_error", apart, label="a cloud's share off by", better="lower", note=note))
    far, near = energy_distance(points, others), energy_distance(draw_truth(truth), others)
    note = f"to {POINTS} true ones; of as many other true ones: {near:.3f}"
    results.metrics.append(Metric("energy_distance", far, label="energy distance of points", better="lower", note=note))
    sigmas = [float(levels.sigmas[level]) for level in looked]
    line = {"learnt score": (sigmas, [errors[level] for level in looked])}
    results.graphs.append(Graph("Relative error of the score", line, across="the noise's deviation", log="x"))
    low, high = corners(others)
    places = crowd(points, low, high, 60)
    pictures = torch.stack(
        [density_picture(truth.log_density, low, high, 60), places * (truth_peak(truth) / places.max())]
    )
    results.galleries.append(
        Gallery("The plane", pictures[None].numpy(), "left: the true density; right: points drawn")
    )


def truth_peak(truth: GaussianMixture) -> float:
    """The density at the middle of the densest cloud."""
    return float(truth.log_density(truth.means).max().exp())


def draw_truth(truth: GaussianMixture) -> Tensor:
    """Draw other true points than those that are compared with."""
    return truth.draw(POINTS, generator(1, "true points"))[0]


def in_memory(some: Batches) -> TensorBatches:
    """Take examples as tensors, which `ready` has made sure they are."""
    assert isinstance(some, TensorBatches)
    return some


def judge_pictures(results: RunResults, data: Dataset, draw: Draw, conditional: bool) -> None:
    """Let a classifier that learnt from real pictures recognise those that are drawn, and measure how far they are."""
    real, held = in_memory(data.train), in_memory(data.test or data.train)
    learnt, others = ((some.inputs + 1) / 2 for some in (real, held))
    count = how_many(JUDGED, data.inputs)
    near = energy_distance(learnt, others)
    note = f"of {count} drawn to {len(others)} held out; of those learnt from: {near:.3f}"
    results.graphs.append(ways_back(draw, others, learnt, conditional))
    if not conditional:
        pictures = draw(count, steps=STEPS)
        far = energy_distance(pictures, others)
        results.metrics.append(Metric("energy_distance", far, label="energy distance", better="lower", note=note))
        results.galleries.append(gallery(pictures, "Drawn from noise", ""))
        return
    judge = Recogniser(learnt, real.targets)
    able = judge.right(others, held.targets) / len(others)
    rows, classes = [], len(data.labels)
    for guidance in GUIDANCES:
        pictures = draw(count, guidance=guidance, steps=STEPS)
        share = proportion(judge.right(pictures, torch.arange(count) % classes), count)
        far = energy_distance(pictures, others)
        rows.append((guidance, share, far))
        if guidance in (0.0, 2.0):
            title = f"Drawn with guidance {guidance:g}" if guidance else "Drawn as each class, without guidance"
            results.galleries.append(gallery(pictures, title, "a column each: " + ", ".join(data.labels), classes))
    about = f"of {count} drawn in {STEPS} steps, by a classifier that is right on {able:.3f} of those held out"
    for name, row, label in (("recognised", rows[0], "recognised"), ("recognised_guided", rows[2], "with guidance 2")):
        results.metrics.append(Metric(name, **row[1], label=label, group="recognised", better="higher", note=about))
    results.metrics.append(Metric("energy_distance", rows[0][2], label="energy distance", better="lower", note=note))
    columns = ("guidance", "recognised", "energy distance")
    cells = [(f"{one:g}", f"{share['value']:.3f}", f"{far:.3f}") for one, share, far in rows]
    results.tables.append(Table("What guidance does", columns, cells, f"Energy distance of real ones: {near:.3f}."))


def how_many(most: int, shape: Sequence[int]) -> int:
    """Say how many pictures are drawn to be judged: fewer of larger ones, each of which takes as much longer.

    >>> how_many(1000, (1, 8, 8)), how_many(1000, (3, 16, 16)), how_many(1000, (3, 64, 64))
    (1000, 250, 50)
    """
    return min(most, max(LEAST, most * 64 // math.prod(shape[-2:])))


def ways_back(draw: Draw, others: Tensor, learnt: Tensor, conditional: bool) -> Graph:
    """Draw how far pictures lie from those held out, by how many steps they were drawn in, without guidance."""
    wishes = {"guidance": 0.0} if conditional else {}
    count = how_many(COMPARED, others.shape)
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for name, eta in (("DDIM", 0.0), ("with fresh noise", 1.0)):
        apart = [energy_distance(draw(count, steps=steps, eta=eta, **wishes), others) for steps in WAYS]
        lines[name] = ([float(steps) for steps in WAYS], apart)
    near = energy_distance(learnt[torch.randperm(len(learnt), generator=generator(0, "as many"))[:count]], others)
    across = lines["DDIM"][0]
    lines["pictures learnt from"] = ([across[0], across[-1]], [near, near])
    steps = ", ".join(map(str, WAYS))
    note = f"energy distance of {count} pictures to those held out, in {steps} steps"
    return Graph("Steps and quality", lines, across="steps", up="energy distance", log="x", note=note, marked=True)
