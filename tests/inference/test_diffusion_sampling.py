"""Sampling with the exact score plugged in: what is drawn is the mixture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.data.gaussian_mixture import GaussianMixture, on_a_circle
from locution.errors import UserError
from locution.inference.diffusion import (
    NetworkSays,
    annealed_langevin,
    diffusion_sample,
    fresh_noise,
    step_back,
    visited,
)
from locution.models.noise_levels import (
    NoiseLevels,
    cosine_schedule,
    linear_schedule,
    variance_exploding,
    variance_preserving,
)

TRUTH = GaussianMixture(torch.tensor([0.1, 0.2, 0.3, 0.4]), on_a_circle(4, 1.5), torch.full((4,), 0.3))
COUNT = 4000


def exact(levels: NoiseLevels) -> object:
    def says(x: Tensor, level: int) -> Tensor:
        alpha, sigma = float(levels.alphas[level]), float(levels.sigmas[level])
        return -sigma * TRUTH.noised(alpha, sigma).score(x)

    return says


def start(seed: int = 0, count: int = COUNT) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def check(points: Tensor, loose: float = 1.0) -> None:
    """Five standard errors of 4000 points, and what discrete steps add."""
    torch.testing.assert_close(points.mean(0), TRUTH.mean(), atol=0.1 * loose, rtol=0)
    torch.testing.assert_close(points.T.cov(), TRUTH.covariance(), atol=0.12 * loose, rtol=0)
    shares = torch.bincount(TRUTH.nearest(points), minlength=4) / len(points)
    torch.testing.assert_close(shares, TRUTH.shares, atol=0.04 * loose, rtol=0)
    own = points - TRUTH.means[TRUTH.nearest(points)]
    assert own.std() == pytest.approx(0.3, abs=0.02 * loose)  # each cloud is as wide as it should be


LEVELS = {
    "cosine": variance_preserving(cosine_schedule(300)),
    "linear": variance_preserving(linear_schedule(300)),
    "exploding": variance_exploding(300, 0.005, 20.0),
}


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_mixture_is_drawn_from_noise(name: str, eta: float) -> None:
    levels = LEVELS[name]
    points = diffusion_sample(exact(levels), levels, start(), eta=eta, draw=torch.Generator().manual_seed(1))  # type: ignore[arg-type]
    check(points)


def test_the_same_noise_becomes_the_same_data_in_any_number_of_steps() -> None:
    levels = LEVELS["cosine"]
    finest = diffusion_sample(exact(levels), levels, start())  # type: ignore[arg-type]
    assert torch.equal(finest, diffusion_sample(exact(levels), levels, start()))  # type: ignore[arg-type]
    apart = {}
    for steps in (10, 30, 100):
        few = diffusion_sample(exact(levels), levels, start(), steps=steps)  # type: ignore[arg-type]
        apart[steps] = float((few - finest).norm(dim=1).median())
    assert apart[10] > apart[30] > apart[100]
    assert apart[100] < 0.03
    other = diffusion_sample(exact(levels), levels, start(), eta=1.0, draw=torch.Generator().manual_seed(1))  # type: ignore[arg-type]
    assert (other - finest).norm(dim=1).median() > 0.3  # DDPM forgets where it began


def test_langevin_dynamics_draw_the_mixture() -> None:
    levels = variance_exploding(40, 0.02, 5.0)
    draw = torch.Generator().manual_seed(1)
    check(annealed_langevin(exact(levels), levels, start(), draw, each=25, rate=0.2), loose=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("now", [1, 2, 150, 300])
def test_a_random_step_is_the_posterior_of_the_forward_process(now: int) -> None:
    # Ho et al. 2020, eqs. 6 and 7: mean and variance of x_{t-1} given x_t and x_0
    betas = cosine_schedule(300).double()
    left = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])
    beta, before, here = betas[now - 1], left[now - 1], left[now]
    levels = LEVELS["cosine"]
    x0, noise = torch.tensor([[0.7, -1.2]]).double(), torch.tensor([[0.3, 0.4]]).double()
    noisy = here.sqrt() * x0 + (1 - here).sqrt() * noise
    mean = before.sqrt() * beta / (1 - here) * x0 + (1 - beta).sqrt() * (1 - before) / (1 - here) * noisy
    variance = (1 - before) / (1 - here) * beta
    wide = NoiseLevels(left.sqrt(), (1 - left).sqrt())
    found = step_back(noisy, noise, wide, now, now - 1, fresh=torch.zeros(1, 2).double(), eta=1.0)
    torch.testing.assert_close(found, mean, atol=1e-6, rtol=1e-6)
    assert float(fresh_noise(levels, now, now - 1)) == pytest.approx(float(variance.sqrt()), rel=1e-3, abs=1e-6)
    moved = step_back(noisy, noise, wide, now, now - 1, fresh=torch.ones(1, 2).double(), eta=1.0)
    torch.testing.assert_close(moved - found, torch.full((1, 2), float(variance.sqrt())).double(), atol=1e-6, rtol=1e-6)


def test_data_keep_within_their_limit() -> None:
    levels = LEVELS["cosine"]
    held = diffusion_sample(exact(levels), levels, start(), steps=20, limit=0.5)  # type: ignore[arg-type]
    assert held.abs().max() <= 0.5
    assert (held.abs() > 0.49).float().mean() > 0.5


def test_levels_are_visited_evenly_down_to_none() -> None:
    assert visited(5, 5) == [5, 4, 3, 2, 1, 0]
    assert visited(1000, 1) == [1000, 0]
    with pytest.raises(UserError, match="steps is 6"):
        visited(5, 6)


class Told(nn.Module):
    """Says its class, or 10 without one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        self.calls += 1
        return torch.zeros_like(x) + (10.0 if label is None else label[:, None])


def test_guidance_goes_past_what_the_class_says() -> None:
    model, levels, x = Told(), LEVELS["cosine"], torch.zeros(2, 1)
    label = torch.tensor([3, 4])
    assert NetworkSays(model, levels, label, 0.0)(x, 5).flatten().tolist() == [3, 4]
    assert model.calls == 1  # without guidance nothing is asked twice
    # (1 + w) told - w untold: 3 x 3 - 2 x 10, 3 x 4 - 2 x 10
    assert NetworkSays(model, levels, label, 2.0)(x, 5).flatten().tolist() == [-11, -8]
    assert NetworkSays(model, levels, None, 2.0)(x, 5).flatten().tolist() == [10, 10]


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_a_share_of_fresh_noise_is_a_share(eta: float) -> None:
    with pytest.raises(UserError, match="eta"):
        diffusion_sample(exact(LEVELS["cosine"]), LEVELS["cosine"], start(), eta=eta)  # type: ignore[arg-type]
