"""How a model of a density is judged: by its surprise at held-out examples, and by whether its steps can be undone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from locution.data.known_density import Density
from locution.engine.random import generator
from locution.evaluation.energy_distance import energy_distance
from locution.evaluation.intervals import bootstrap
from locution.losses.likelihood import NegativeLogLikelihood, bits_per_dimension, quantised
from locution.models.flow import Flow
from locution.reporting.results import Gallery, Metric, RunResults
from locution.tasks.clouds import corners, crowd, density_picture, gallery_of

DRAWS = 5  # of the spread within a pixel's value, for each example that is judged


def surprises(model: nn.Module, objective: NegativeLogLikelihood, x: Tensor) -> Tensor:
    """Measure how surprising each example is, in nats: (N, ...) -> (N,), a mean over draws where it is dequantised."""
    home, found = next(model.parameters()).device, []
    with torch.inference_mode():
        for number in range(DRAWS if objective.levels else 1):
            spread = objective.spread(x, generator(0, "dequantised", number))
            found.append(objective.surprise(model.eval(), spread.to(home))[1].cpu())
    return torch.stack(found).mean(0).clone()


def gaussian_surprise(x: Tensor, others: Tensor) -> Tensor:
    """Measure how surprising examples are to a Gaussian with the mean and covariance of others: (N, D), (M, D) -> (N,).

    >>> points = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) * 2**0.5  # of covariance 1
    >>> gaussian_surprise(torch.zeros(1, 2), points)  # ln 2 pi
    tensor([1.8379])
    """
    mean, covariance = others.double().mean(0), others.double().T.cov(correction=0)
    ridge = 1e-6 * torch.eye(len(mean), dtype=torch.float64)
    gaussian = torch.distributions.MultivariateNormal(mean, covariance + ridge)
    found: Tensor = -gaussian.log_prob(x.double()).float()  # type: ignore[no-untyped-call]
    return found


def likelihoods(
    model: nn.Module, objective: NegativeLogLikelihood, held: Tensor, learnt: Tensor, truth: Density | None
) -> list[Metric]:
    """Measure how surprising held-out examples are: in nats, in bits, and beside the truth where it is known."""
    values, size = surprises(model, objective, held), held[0].numel()
    apart, ways = generator(0, "dequantised"), [held.flatten(1), learnt.flatten(1)]
    baseline = gaussian_surprise(*[objective.spread(one, apart) for one in ways])
    baseline += math.log(objective.levels) * size if objective.levels else 0
    note = f"{len(held)} examples held out, in nats; a Gaussian: {float(baseline.mean()):.3f}"
    found = [Metric("nll", **bootstrap(values), label="surprise", group="nats", better="lower", note=note)]
    if objective.levels:
        bits = bits_per_dimension(values, size)
        other = float(bits_per_dimension(baseline, size).mean())
        note = f"knowing nothing: {math.log2(objective.levels):.2f}; a Gaussian: {other:.2f}"
        label = "bits per dimension"
        measured = bootstrap(bits)
        found.append(Metric("bits_per_dimension", **measured, label=label, group="bits", better="lower", note=note))
    if truth is not None:
        true = -truth.log_density(held)
        note = f"more surprised than the truth, in nats; the truth itself: {float(true.mean()):.3f}"
        label = "gap to the true density"
        found.append(Metric("gap", **bootstrap(values - true), label=label, group="gap", better="lower", note=note))
    return found


def jacobian_error(flow: Flow, x: Tensor) -> float:
    """Say how far the volumes that a flow states are from those that differentiation finds, at worst, in nats.

    x: (N, *shape). It is measured in fp64, on a copy of the flow.

    >>> from locution.models.invertible import ActNorm
    >>> jacobian_error(Flow((2,), [ActNorm(2)]), torch.rand(3, 2))
    0.0
    """
    import copy

    exact = copy.deepcopy(flow).cpu().double().eval()
    worst = 0.0
    for row in x.cpu().double():
        stated = exact.encode(row[None])[1].detach()
        jacobian = torch.func.jacrev(lambda one: exact.encode(one[None])[0][0])(row)
        found = torch.linalg.slogdet(jacobian.reshape(row.numel(), row.numel())).logabsdet
        worst = max(worst, float((stated - found.detach()).abs().max()))
    return worst


def invertibility(flow: Flow, x: Tensor) -> list[Metric]:
    """Go to noise and back, and hold the volumes against differentiation."""
    home = next(flow.parameters()).device
    with torch.inference_mode():
        back = flow.inverse(flow.encode(x.to(home))[0]).cpu()
    away = float((back - x).abs().max())
    few = x[:: max(1, len(x) // 3)][:3]
    note = f"the largest difference in {len(x)} examples taken to noise and back, in fp32"
    other = f"against the Jacobian by differentiation, in nats; {len(few)} examples, in fp64"
    return [
        Metric("round_trip", away, label="round trip", better="lower", note=note),
        Metric("jacobian", jacobian_error(flow, few), label="log-determinant off by", better="lower", note=other),
    ]


def looks(
    results: RunResults,
    flow: Flow,
    objective: NegativeLogLikelihood,
    held: Tensor,
    learnt: Tensor,
    truth: Density | None,
) -> None:
    """Draw as many examples as are held out, measure how far they are from those, and show them and the density."""
    with torch.inference_mode():
        drawn = flow.sample(len(held), generator(0, "density")).cpu().clone()
    drawn = quantised(drawn, objective.levels) if objective.levels else drawn
    far, near = energy_distance(drawn, held), energy_distance(learnt[: len(held)], held)
    note = f"of as many drawn to {len(held)} held out; of those learnt from: {near:.3f}"
    results.metrics.append(Metric("energy_distance", far, label="energy distance", better="lower", note=note))
    if held.dim() != 2 or held.shape[1] != 2:
        results.galleries += gallery_of(drawn[:60], "Drawn from noise")
        return
    low, high = corners(held)

    def learnt_density(places: Tensor) -> Tensor:
        with torch.inference_mode():
            found: Tensor = flow(places.to(next(flow.parameters())))["log_likelihood"].cpu()
            return found

    pictures = [density_picture(learnt_density, low, high)]
    pictures += [density_picture(truth.log_density, low, high)] if truth is not None else []
    places = crowd(drawn, low, high)
    pictures.append(places / places.max() * pictures[-1].max())
    seen = "the density learnt, the true one, examples drawn" if truth else "the density learnt, examples drawn"
    results.galleries.append(Gallery("The plane", torch.stack(pictures)[None].numpy(), f"from the left: {seen}"))
