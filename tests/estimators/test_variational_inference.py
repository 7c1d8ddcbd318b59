"""Variational inference against posteriors that can be written down, and against the best Gaussian found by a grid."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta, MultivariateNormal, kl_divergence

from locution.errors import UserError
from locution.estimators.variational_inference import path_loss, score_loss, variational_inference
from locution.models.bayesian_linear import exact_posterior, powers
from locution.models.gaussian_posterior import GaussianPosterior, divergence_between


def gaussian(z: Tensor, away: Tensor | float, spread: float) -> Tensor:
    """ln N(z; away, spread), summed over what lies behind the first axis."""
    return (-0.5 * ((z - away) / spread).square() - math.log(spread) - 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


SEEN = torch.tensor([1.2, 0.4, 2.1, 1.7, 0.9])


def unknown_mean(z: Tensor) -> Tensor:
    """A mean around 0 to a spread of 2, seen five times through noise of 0.8: (S, 1) -> (S,)."""
    return gaussian(z, 0.0, 2.0) + gaussian(SEEN - z, 0.0, 0.8)


def evidence_of_unknown_mean() -> float:
    covariance = 0.64 * torch.eye(5) + 4.0
    return float(MultivariateNormal(torch.zeros(5), covariance).log_prob(SEEN))


def test_the_mean_of_a_gaussian_is_found_exactly_and_the_bound_meets_the_evidence() -> None:
    variance = 1 / (1 / 4 + 5 / 0.64)
    found = variational_inference(unknown_mean, 1, steps=400)
    assert found.mean.item() == pytest.approx(variance * float(SEEN.sum()) / 0.64, abs=1e-3)
    assert found.covariance.item() == pytest.approx(variance, rel=2e-3)
    assert found.elbo == pytest.approx(evidence_of_unknown_mean(), abs=1e-3)


def test_without_a_gradient_of_the_model_it_comes_near_too() -> None:
    variance = 1 / (1 / 4 + 5 / 0.64)
    found = variational_inference(unknown_mean, 1, gradient="score", draws=32, steps=600)
    assert found.mean.item() == pytest.approx(variance * float(SEEN.sum()) / 0.64, abs=0.05)
    assert found.covariance.item() == pytest.approx(variance, rel=0.15)


def line() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(15, 1, generator=draw)
    return powers(x, 1), (0.5 + x + 0.5 * torch.randn(15, 1, generator=draw)).flatten()


def test_bayesian_regression_is_found_with_its_whole_covariance() -> None:
    features, targets = line()
    mean, covariance = exact_posterior(features, targets, 0.5, 3.0)
    assert abs(float(covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt())) > 0.7, "they hang together"

    def log_joint(w: Tensor) -> Tensor:
        return gaussian(w, 0.0, 3.0) + gaussian(targets - w @ features.T, 0.0, 0.5)

    found = variational_inference(log_joint, 2)
    assert float(divergence_between(found.mean, found.covariance, mean, covariance)) < 1e-4
    spread = 9 * features @ features.T + 0.25 * torch.eye(15)
    evidence = float(MultivariateNormal(torch.zeros(15), spread).log_prob(targets))
    assert found.elbo == pytest.approx(evidence, abs=1e-3)

    field = variational_inference(log_joint, 2, covariance="diagonal", draws=64)
    narrow = 1 / torch.linalg.inv(covariance).diagonal()  # Bishop, 2006, eq. 10.15 and around
    torch.testing.assert_close(field.covariance, torch.diag(narrow), rtol=0.1, atol=0)
    torch.testing.assert_close(field.mean, mean, rtol=0, atol=0.02)
    gap = float(divergence_between(mean, torch.diag(narrow), mean, covariance))
    assert field.elbo == pytest.approx(evidence - gap, abs=0.03), "the bound misses by what the mean field cannot say"


def test_a_coin_is_found_through_a_transform_as_well_as_any_gaussian_can() -> None:
    """Beta(2, 2) and 30 of 40 heads: the posterior is Beta(32, 12); the unknown number is its logit."""

    def log_joint(z: Tensor) -> Tensor:
        heads, tails = torch.nn.functional.logsigmoid(z), torch.nn.functional.logsigmoid(-z)
        both = math.lgamma(4.0)  # Beta(2, 2) has density 6 p (1 - p), and dp = p (1 - p) dz
        return ((30 + 2) * heads + (10 + 2) * tails).flatten() + both

    posterior = Beta(32.0, 12.0)
    found = variational_inference(log_joint, 1, steps=500)
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64) * found.covariance.item() ** 0.5 + found.mean.item()
    share = torch.softmax(-0.5 * (grid - found.mean.item()).square() / found.covariance.item(), 0)
    chance = grid.sigmoid()
    mean = float((share * chance).sum())
    assert mean == pytest.approx(float(posterior.mean), abs=0.003)
    assert float((share * (chance - mean).square()).sum()) ** 0.5 == pytest.approx(float(posterior.stddev), rel=0.03)
    evidence = math.lgamma(4.0) + math.lgamma(32.0) + math.lgamma(12.0) - math.lgamma(44.0)
    assert evidence - 0.01 < found.elbo < evidence + 1e-3
    best = best_gaussian(log_joint)
    assert found.elbo == pytest.approx(best, abs=1e-3), "no Gaussian has a larger bound"


def best_gaussian(log_joint: object) -> float:
    """Try means and spreads on a grid, each bound worked out by Gauss and Hermite's quadrature."""
    import numpy as np

    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(60))
    share = weights / weights.sum()
    bounds = []
    for mean in torch.linspace(0.6, 1.4, 41, dtype=torch.float64):
        for spread in torch.linspace(0.2, 0.5, 31, dtype=torch.float64):
            values: Tensor = log_joint((mean + spread * nodes)[:, None])  # type: ignore[operator]
            bounds.append(float((share * values).sum() + spread.log() + 0.5 * math.log(2 * math.pi * math.e)))
    return max(bounds)


def test_both_gradients_are_that_of_the_bound_on_average() -> None:
    """A Gaussian joint's bound has its gradient in closed form: -(m - 1) / 4 by m, and 1 - s^2 / 4 by ln s."""
    posterior = GaussianPosterior(1, spread=0.7).double()
    with torch.no_grad():
        posterior.mean.fill_(-0.5)
    wanted = torch.tensor([(-0.5 - 1) / 4, 0.7 * (0.7 / 4 - 1 / 0.7)], dtype=torch.float64)  # of the negative bound
    noise = torch.randn(40_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for loss in (path_loss, score_loss):
        value = loss(posterior, lambda z: gaussian(z, 1.0, 2.0), noise)
        found = torch.cat(torch.autograd.grad(value, [posterior.mean, posterior.log_spread]))
        torch.testing.assert_close(found, wanted, atol=0.03, rtol=0)
        exact = kl_divergence(torch.distributions.Normal(-0.5, 0.7), torch.distributions.Normal(1.0, 2.0))
        assert float(value.detach()) == pytest.approx(float(exact), abs=0.02)


def test_a_draw_is_compared_with_the_others_alone() -> None:
    """Of three draws z worth w, the gradient by the mean is -1/3 sum (w - mean of the other two) z."""
    noise, worth = torch.tensor([[0.5], [-1.0], [2.0]]), torch.tensor([1.0, 4.0, -2.0])
    posterior = GaussianPosterior(1)
    value = score_loss(posterior, lambda z: worth + posterior.log_density(z), noise)
    others = torch.tensor([(4 - 2) / 2, (1 - 2) / 2, (1 + 4) / 2])
    wanted = -((worth - others) * noise.flatten()).mean()
    torch.testing.assert_close(torch.autograd.grad(value, posterior.mean)[0], wanted[None])
    torch.testing.assert_close(value.detach(), -worth.mean())


def test_the_path_leaves_nothing_to_chance_where_the_gaussian_is_the_posterior() -> None:
    posterior = GaussianPosterior(2, spread=1.0).double()
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = path_loss(posterior, lambda z: gaussian(z, 0.0, 1.0), noise)
    for gradient in torch.autograd.grad(value, list(posterior.parameters())):
        assert float(gradient.abs().max()) < 1e-12


def test_densities_divergences_and_draws_are_torchs_own() -> None:
    torch.manual_seed(0)
    posterior = GaussianPosterior(3, spread=0.5).double()
    with torch.no_grad():
        for parameter in posterior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    torchs = MultivariateNormal(posterior.mean, scale_tril=posterior.factor())
    values = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(posterior.log_density(values), torchs.log_prob(values))
    torch.testing.assert_close(posterior.covariance(), torchs.covariance_matrix)
    prior = MultivariateNormal(torch.zeros(3, dtype=torch.float64), 4 * torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(posterior.divergence(2.0), kl_divergence(torchs, prior))
    between = divergence_between(posterior.mean, posterior.covariance(), prior.mean, prior.covariance_matrix)
    torch.testing.assert_close(between, kl_divergence(torchs, prior))
    noise = torch.randn(50_000, 3, dtype=torch.float64)
    torch.testing.assert_close(torch.cov(posterior.draw(noise).T), posterior.covariance(), atol=0.03, rtol=0)
    assert GaussianPosterior(3, "diagonal").below is None


def test_the_same_seed_finds_the_same() -> None:
    one, two, other = (variational_inference(unknown_mean, 1, steps=20, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.mean, two.mean)
    assert not torch.equal(one.mean, other.mean)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    for refuse, line in (
        (lambda: variational_inference(unknown_mean, 0), "size is 0; allowed: "),
        (lambda: variational_inference(unknown_mean, 1, gradient="reinforce"), "gradient is 'reinforce'; allowed: "),  # type: ignore[arg-type]
        (lambda: variational_inference(unknown_mean, 1, covariance="banded"), "covariance is 'banded'; allowed: "),  # type: ignore[arg-type]
        (lambda: variational_inference(unknown_mean, 1, draws=1, gradient="score"), "draws is 1; allowed: "),
        (lambda: variational_inference(unknown_mean, 1, steps=1), "steps is 1; allowed: "),
        (lambda: variational_inference(unknown_mean, 1, lr=0.0), r"lr is 0\.0; allowed: "),
        (lambda: variational_inference(lambda z: z, 1), r"answered with \(16, 1\) for 16 draws; allowed: \(16,\)"),
        (lambda: variational_inference(lambda z: 3.0, 1), "answered with float"),  # type: ignore[arg-type,return-value]
        (lambda: variational_inference(lambda z: z.log().sum(1), 1), "log_joint is not finite where"),
    ):
        with pytest.raises(UserError, match=line):
            refuse()
