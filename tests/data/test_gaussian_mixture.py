"""Gaussian mixtures: density, score and noise against integrals, differentiation and draws."""

from __future__ import annotations

import pytest
import torch

from locution.data.gaussian_mixture import GaussianMixture, GaussianMixtureData, on_a_circle
from locution.data.known_density import KnownDensity
from locution.data.two_moons import TwoMoonsData, draw_moons, moons_density
from locution.errors import UserError

MIXTURE = GaussianMixture(
    torch.tensor([0.2, 0.5, 0.3]),
    torch.tensor([[0.0, 0.0], [2.0, 1.0], [-1.0, 2.0]]),
    torch.tensor([0.5, 0.8, 0.3]),
)


def grid(reach: float, steps: int) -> tuple[torch.Tensor, float]:
    line = (torch.arange(steps) + 0.5) / steps * 2 * reach - reach
    return torch.cartesian_prod(line, line), (2 * reach / steps) ** 2


@pytest.mark.parametrize("density", [MIXTURE, moons_density(0.2, 256)], ids=["mixture", "moons"])
def test_a_density_adds_up_to_one(density: GaussianMixture) -> None:
    places, field = grid(8.0, 160)
    assert density.log_density(places).exp().sum() * field == pytest.approx(1.0, abs=1e-4)


def test_the_score_is_the_gradient_of_the_log_density() -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gradient = torch.autograd.grad(MIXTURE.log_density(x).sum(), x)[0]
    torch.testing.assert_close(MIXTURE.score(x), gradient, atol=1e-4, rtol=1e-4)


def test_draws_have_the_shares_the_mean_and_the_covariance() -> None:
    points, which = MIXTURE.draw(200_000, torch.Generator().manual_seed(0))
    shares = torch.bincount(which) / len(which)
    torch.testing.assert_close(shares, MIXTURE.shares, atol=0.005, rtol=0)
    torch.testing.assert_close(points.mean(0), MIXTURE.mean(), atol=0.02, rtol=0)
    torch.testing.assert_close(points.T.cov(), MIXTURE.covariance(), atol=0.03, rtol=0)


def test_noise_makes_a_wider_mixture() -> None:
    # scaling by alpha and adding sigma of noise: alpha mean, alpha^2 covariance + sigma^2
    noised = MIXTURE.noised(0.6, 0.8)
    torch.testing.assert_close(noised.mean(), 0.6 * MIXTURE.mean())
    torch.testing.assert_close(noised.covariance(), 0.36 * MIXTURE.covariance() + 0.64 * torch.eye(2))
    torch.testing.assert_close(noised.deviations, (0.36 * MIXTURE.deviations.square() + 0.64).sqrt())


def test_points_belong_to_the_nearest_cloud() -> None:
    assert MIXTURE.nearest(MIXTURE.means).tolist() == [0, 1, 2]


def test_means_lie_evenly_on_a_circle() -> None:
    means = on_a_circle(5, 2.0)
    torch.testing.assert_close(means.norm(dim=1), torch.full((5,), 2.0))
    torch.testing.assert_close(
        (means - means.roll(1, 0)).norm(dim=1), torch.full((5,), 4 * 0.5877852), rtol=1e-4, atol=0
    )


def test_the_density_of_moons_is_that_of_their_points() -> None:
    # the mean of the log-density over draws against the same by counting points in fields
    points, _ = draw_moons(1_000_000, 0.2, torch.Generator().manual_seed(1))
    truth = moons_density(0.2)
    low, side, fields = torch.tensor([-2.0, -1.5]), 0.1, 50
    places = ((points - low) / side).long()
    inside = ((places >= 0) & (places < fields)).all(1)
    counts = torch.bincount(places[inside, 0] * fields + places[inside, 1], minlength=fields**2)
    middles = low + side * (torch.cartesian_prod(torch.arange(fields), torch.arange(fields)) + 0.5)
    stated = truth.log_density(middles).exp() * side**2
    assert (counts / len(points) - stated).abs().sum() < 0.03  # chance alone makes about 0.02


def test_the_data_are_split_the_same_for_every_seed_and_learnt_from_otherwise() -> None:
    data = GaussianMixtureData(train=100, development=10, test=10)
    one, other = data.load(0), data.load(1)
    assert one.test is not None
    assert other.test is not None
    assert torch.equal(one.test.inputs, other.test.inputs)
    assert not torch.equal(one.train.inputs, other.train.inputs)  # type: ignore[attr-defined]
    assert one.labels == ("cloud 1", "cloud 2", "cloud 3", "cloud 4")


@pytest.mark.parametrize("part", [GaussianMixtureData(), TwoMoonsData()])
def test_data_that_know_their_density_say_so(part: object) -> None:
    assert isinstance(part, KnownDensity)
    assert part.truth().log_density(torch.zeros(3, 2)).shape == (3,)


@pytest.mark.parametrize(
    "wrong", [{"shares": ()}, {"shares": (0.5, 0.6)}, {"shares": (1.5, -0.5)}, {"deviation": 0.0}, {"train": 0}]
)
def test_settings_that_make_no_mixture_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="allowed"):
        GaussianMixtureData(**wrong)  # type: ignore[arg-type]


def test_moons_without_noise_have_no_density() -> None:
    with pytest.raises(UserError, match="noise is 0"):
        moons_density(0.0)
