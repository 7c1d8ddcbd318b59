"""The Bayesian linear model: its bound, its spread and its exact posterior against closed forms and scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import BayesianRidge
from torch import Tensor
from torch.distributions import MultivariateNormal

from locution.engine import Batch
from locution.errors import UserError
from locution.losses.elbo import ELBO
from locution.models.bayesian_linear import BayesianLinear, BayesianLinearModel, exact_posterior, powers

NOISE, PRIOR = 0.5, 3.0


def line(count: int = 10) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(count, 1, generator=draw, dtype=torch.float64)
    return x, 0.5 + x + NOISE * torch.randn(count, 1, generator=draw, dtype=torch.float64)


def exact(count: int = 10, degree: int = 1) -> BayesianLinear:
    """A model whose posterior is the exact one."""
    x, y = line(count)
    model = BayesianLinearModel(degree=degree, prior=PRIOR, examples=count).build((1,), 1).double()
    mean, covariance = exact_posterior(powers(x, degree), y.flatten(), NOISE, PRIOR)
    root = torch.linalg.cholesky(covariance)
    with torch.no_grad():
        model.posterior.mean.copy_(mean)
        model.posterior.log_spread.copy_(root.diagonal().log())
        model.posterior.below.copy_(root[tuple(torch.tril_indices(degree + 1, degree + 1, -1))])
    return model


def test_the_posterior_is_scikit_learns_at_the_same_noise_and_prior() -> None:
    x, y = line()
    features = powers(x, 1)
    still = {"max_iter": 1, "alpha_1": 0.0, "alpha_2": 0.0, "lambda_1": 0.0, "lambda_2": 0.0, "fit_intercept": False}
    ridge = BayesianRidge(alpha_init=1 / NOISE**2, lambda_init=1 / PRIOR**2, **still)
    ridge.fit(features.numpy(), y.flatten().numpy())
    mean, covariance = exact_posterior(features, y.flatten(), ridge.alpha_**-0.5, ridge.lambda_**-0.5)
    torch.testing.assert_close(covariance, torch.from_numpy(ridge.sigma_))
    torch.testing.assert_close(mean, torch.from_numpy(ridge.coef_))


def test_at_the_exact_posterior_the_loss_is_the_surprise_at_the_data_and_its_gradient_nothing() -> None:
    x, y = line()
    model, objective = exact().train(), ELBO("gaussian", spread=NOISE, explains="targets")
    torch.manual_seed(0)
    many = Batch(x.repeat(20_000, 1), y.repeat(20_000, 1))
    _, loss = objective(model, many)
    covariance = PRIOR**2 * powers(x, 1) @ powers(x, 1).T + NOISE**2 * torch.eye(10, dtype=torch.float64)
    evidence = MultivariateNormal(torch.zeros(10, dtype=torch.float64), covariance).log_prob(y.flatten())
    assert float(loss.detach()) * 10 == pytest.approx(-float(evidence), abs=0.05)
    for gradient in torch.autograd.grad(loss, list(model.parameters())):
        assert float(gradient.abs().max()) < 0.05


def test_each_example_is_answered_with_weights_of_its_own_in_training_and_with_their_mean_asleep() -> None:
    model = exact(degree=2)
    x = torch.full((20_000, 1), 1.5, dtype=torch.float64)
    torch.manual_seed(0)
    answers = model.train()(x)["outputs"].flatten().detach()
    with torch.no_grad():
        said = model.eval()(x[:3])
    spread = float(said["spread"][0])
    assert abs(float(answers.mean()) - float(said["outputs"][0])) < 5 * spread / 20_000**0.5
    assert float(answers.std()) == pytest.approx(spread, rel=5 / 40_000**0.5)
    weights = powers(x[:1], 2)
    assert spread**2 == pytest.approx(float((weights @ model.posterior.covariance() @ weights.T).detach()))
    assert torch.equal(said["outputs"][0], said["outputs"][1])


def test_the_divergence_is_shared_out_among_the_examples() -> None:
    one, many = (BayesianLinear(1, prior=2.0, examples=count).eval() for count in (1, 50))
    x = torch.zeros(4, 1)
    torch.testing.assert_close(one(x)["divergence"], 50 * many(x)["divergence"])
    wanted = 2 * (0.5 * (0.01 / 4 - 1) - math.log(0.1 / 2))  # two weights of spread 0.1, expected to spread 2
    torch.testing.assert_close(one(x)["divergence"], torch.full((4,), wanted))


def test_what_does_not_fit_is_refused() -> None:
    for refuse, text in (
        (lambda: BayesianLinearModel(degree=0), r"model\.degree is 0; allowed: "),
        (lambda: BayesianLinearModel(prior=0.0), r"model\.prior is 0\.0; allowed: "),
        (lambda: BayesianLinearModel(examples=0), r"model\.examples is 0; allowed: "),
        (lambda: BayesianLinearModel(covariance="round"), r"model\.covariance is 'round'; allowed: full or diagonal"),  # type: ignore[arg-type]
        (lambda: BayesianLinearModel().build((1, 30, 30), 1), r"inputs \(1, 30, 30\); allowed: 1 to 200"),
        (lambda: BayesianLinearModel().build((1,), 3), "answer with 3 numbers; allowed: 1"),
    ):
        with pytest.raises(UserError, match=text):
            refuse()
