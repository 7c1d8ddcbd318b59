"""The Gaussian VAE against probabilistic PCA: a linear one has a likelihood and a posterior in closed form."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Engine, TensorBatches, Turn
from locution.evaluation.importance_weighting import importance_weighted_bound, log_likelihood, log_weights
from locution.losses.elbo import ELBO, bound
from locution.models.vae import VAE, VAEModel, reparameterise
from locution.optimizers.one_cycle import OneCycleMethod

D, LATENTS = 6, 2
GAUSSIAN = ELBO("gaussian")


def examples() -> Tensor:
    """400 examples of 6 numbers that spread far along two directions, and by 1 along the others."""
    draw = torch.Generator().manual_seed(0)
    mix = torch.linalg.qr(torch.randn(D, D, generator=draw, dtype=torch.float64)).Q
    spread = torch.tensor([3.0, 2.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    return torch.randn(400, D, generator=draw, dtype=torch.float64) * spread @ mix.T + 0.5


def likeliest(x: Tensor) -> tuple[Tensor, Tensor]:
    """The weights (D, LATENTS) and the mean of probabilistic PCA with noise of 1 (Tipping and Bishop, 1999, eq. 7)."""
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    return vectors[:, -LATENTS:] * (values[-LATENTS:] - 1).sqrt(), mean


def exact_log_likelihood(x: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """ln N(x; mean, W W^T + I), (N,)."""
    covariance = weights @ weights.T + torch.eye(D, dtype=torch.float64)
    away = x - mean
    square = (away @ torch.linalg.inv(covariance) * away).sum(1)
    return -0.5 * (square + torch.logdet(covariance) + D * math.log(2 * math.pi))


def linear_vae(x: Tensor) -> VAE:
    """A linear VAE with the weights of probabilistic PCA, and its exact posterior: M^-1 W^T (x - mean), M^-1."""
    weights, mean = likeliest(x)
    precision = weights.T @ weights + torch.eye(
        LATENTS, dtype=torch.float64
    )  # diagonal: the directions are at right angles
    model = VAEModel(latents=LATENTS, widths=()).build((D,), 1).double()
    code, made = (
        next(m for m in half.modules() if isinstance(m, nn.Linear)) for half in (model.encoder, model.decoder)
    )
    with torch.no_grad():
        back = torch.linalg.inv(precision) @ weights.T
        code.weight.copy_(torch.cat([back, torch.zeros(LATENTS, D, dtype=torch.float64)]))
        code.bias.copy_(torch.cat([-back @ mean, -precision.diagonal().log()]))
        made.weight.copy_(weights)
        made.bias.copy_(mean)
    return model.eval()


def test_with_the_exact_posterior_every_draw_weighs_what_the_input_is_likely() -> None:
    x = examples()
    model, exact = linear_vae(x), exact_log_likelihood(x, *likeliest(x))
    for seed in (0, 1):
        torch.testing.assert_close(log_weights(model(x, torch.Generator().manual_seed(seed)), x, GAUSSIAN), exact)
    torch.testing.assert_close(log_likelihood(model, x, GAUSSIAN, draws=3), exact)


def test_the_bound_is_the_likelihood_on_average_where_the_posterior_is_exact() -> None:
    x = examples()
    model, exact = linear_vae(x), exact_log_likelihood(x, *likeliest(x))
    with torch.no_grad():
        answers = [model(x, torch.Generator().manual_seed(seed)) for seed in range(200)]
    surprises = torch.stack([GAUSSIAN.parts(answer, x)[0] for answer in answers])
    found = -bound(surprises, answers[0]["divergence"])
    error = surprises.mean(1).std() / 200**0.5
    assert abs(float((found - exact).mean())) < 5 * float(error)


def test_training_reaches_the_likelihood_of_probabilistic_pca() -> None:
    torch.manual_seed(0)
    x = examples()
    best = float(exact_log_likelihood(x, *likeliest(x)).mean())
    model = VAEModel(latents=LATENTS, widths=()).build((D,), 1)
    turn = Turn(GAUSSIAN, partial(torch.optim.Adam, lr=0.02))
    Engine(model, turn, [OneCycleMethod()], device="cpu").fit(TensorBatches(x.float(), batch_size=400), steps=900)
    found = float(log_likelihood(model.eval(), x.float(), GAUSSIAN, draws=50).mean())
    assert best - 0.02 < found < best + 1e-3, "no linear VAE passes it"


def test_more_draws_bring_the_bound_closer_from_below() -> None:
    x = examples()
    exact = exact_log_likelihood(x, *likeliest(x))
    model = linear_vae(x)
    code = next(m for m in model.encoder.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        code.bias.add_(torch.tensor([0.3, -0.3, 0.8, 0.8], dtype=torch.float64))  # a posterior that is none
        weights = torch.stack(
            [log_weights(model(x, torch.Generator().manual_seed(s)), x, GAUSSIAN) for s in range(240)]
        )
    means = [float(importance_weighted_bound(some).mean()) for some in (weights[:1], weights[:10], weights)]
    one = float(torch.stack([importance_weighted_bound(row[None]).mean() for row in weights]).mean())
    ten = float(torch.stack([importance_weighted_bound(weights[k : k + 10]).mean() for k in range(0, 240, 10)]).mean())
    assert one + 0.05 < ten < means[2] < float(exact.mean()) + 0.005
    assert means[2] > float(exact.mean()) - 0.02
    likely = [float(log_likelihood(model, x, GAUSSIAN, draws).mean()) for draws in (1, 20)]
    assert likely[0] + 0.05 < likely[1], "each draw is another"
    assert torch.equal(log_likelihood(model, x, GAUSSIAN, 2), log_likelihood(model, x, GAUSSIAN, 2))
    assert not torch.equal(log_likelihood(model, x, GAUSSIAN, 2), log_likelihood(model, x, GAUSSIAN, 2, seed=1))


def test_the_divergence_and_the_surprise_make_up_the_weight_of_a_draw_on_average() -> None:
    """E[ln w] is the ELBO: checked with a network that is not linear, and 0 or 1 as inputs."""
    torch.manual_seed(0)
    model, elbo = VAEModel(latents=3, widths=(8,)).build((5,), 1).double().eval(), ELBO()
    x = torch.rand(4, 5, dtype=torch.float64).round().repeat(5000, 1)
    answer = model(x, torch.Generator().manual_seed(1))
    surprise, divergence = elbo.parts(answer, x)
    weights = log_weights(answer, x, elbo).view(5000, 4)
    wanted = -(surprise.view(5000, 4).mean(0) + divergence.view(5000, 4)[0])
    assert bool(((weights.mean(0) - wanted).abs() < 5 * weights.std(0) / 5000**0.5 + 1e-9).all())


def test_a_draw_is_the_mean_and_the_spread_times_the_noise_and_has_their_gradients() -> None:
    means, logs = (
        torch.tensor([[1.0, -2.0]], requires_grad=True),
        torch.tensor([[0.0, math.log(9.0)]], requires_grad=True),
    )
    draw = reparameterise(means, logs, torch.tensor([[0.5, -1.0]]))
    torch.testing.assert_close(draw, torch.tensor([[1.5, -5.0]]))
    draw.sum().backward()
    assert means.grad is not None
    assert means.grad.tolist() == [[1.0, 1.0]]
    torch.testing.assert_close(logs.grad, torch.tensor([[0.25, -1.5]]))  # half the spread times the noise


def test_training_draws_from_torchs_generator_and_evaluation_is_always_alike() -> None:
    torch.manual_seed(0)
    model, x = VAEModel(latents=3).build((4,), 1), torch.rand(7, 4)
    model.train()
    torch.manual_seed(5)
    one, other = model(x)["causes"], model(x)["causes"]
    torch.manual_seed(5)
    assert torch.equal(one, model(x)["causes"])
    assert not torch.equal(one, other)
    model.eval()
    assert torch.equal(model(x)["causes"], model(x)["causes"])
    torch.testing.assert_close(model(x)["causes"][:2], model(x[:2])["causes"])  # each example for itself
    assert not torch.equal(model(x, torch.Generator().manual_seed(1))["causes"], model(x)["causes"])


def test_noise_is_standard_and_reaches_every_cause() -> None:
    model = VAEModel(latents=3).build((4,), 1).eval()
    noise = model.noise(torch.zeros(20_000, 3), torch.Generator().manual_seed(0))
    assert bool((noise.mean(0).abs() < 5 / 20_000**0.5).all())
    assert bool(((noise.std(0) - 1).abs() < 5 / 40_000**0.5).all())
    assert float(torch.corrcoef(noise.T).triu(1).abs().max()) < 5 / 20_000**0.5


def test_samples_come_of_causes_around_nothing_and_the_spread_narrows_them() -> None:
    model = VAEModel(latents=2, widths=()).build((2,), 1).eval()
    line = next(m for m in model.decoder.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        line.weight.copy_(torch.eye(2))
        line.bias.zero_()
        made = model.sample(20_000, torch.Generator().manual_seed(0))
        narrow = model.sample(20_000, torch.Generator().manual_seed(0), 0.5)
    assert bool(((made.std(0) - 1).abs() < 5 / 40_000**0.5).all())
    torch.testing.assert_close(narrow, 0.5 * made)
    assert torch.equal(made, model.sample(20_000, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("shape", [(1, 16, 16), (5,)], ids=str)
def test_the_code_is_the_mean_of_the_causes(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model, x = VAEModel(latents=3, widths=(8,)).build(shape, 1).eval(), torch.rand(6, *shape)
    answer = model(x)
    assert torch.equal(model.code(x), answer["means"])
    torch.testing.assert_close(answer["outputs"], model.decode(answer["causes"]))
    away = (answer["causes"] - answer["means"]) / (0.5 * answer["log_variances"]).exp()
    torch.testing.assert_close(away, model.noise(answer["means"], None))
