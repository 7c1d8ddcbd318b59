"""Noise prediction and denoising score matching against closed forms."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.data.gaussian_mixture import GaussianMixture
from locution.engine import Engine, TensorBatches, Turn
from locution.engine.batch import Batch
from locution.errors import UserError
from locution.losses.diffusion import NoisePrediction, asked, forgotten
from locution.losses.likelihood import NegativeLogLikelihood
from locution.losses.score_matching import ScoreMatching, denoising_score_matching, paired
from locution.models.diffusion import DenoiserModel, VelocityDenoiser
from locution.models.flow import FlowModel
from locution.models.noise_levels import NoiseLevels


class Exact(nn.Module):
    """Says the noise that is expected in points of a mixture, times a factor."""

    def __init__(self, truth: GaussianMixture, levels: NoiseLevels, factor: float = 1.0) -> None:
        super().__init__()
        self.truth, self.levels, self.factor = truth, levels, factor

    def forward(self, scaled: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        level = (time * len(self.levels)).round().long()
        noise = torch.empty_like(scaled)
        for one in set(level.tolist()):
            alpha, sigma = float(self.levels.alphas[one]), float(self.levels.sigmas[one])
            rows = level == one
            x = scaled[rows] * (alpha**2 + sigma**2) ** 0.5
            noise[rows] = -sigma * self.truth.noised(alpha, sigma).score(x)
        return self.factor * noise


class Watching(nn.Module):
    """Keeps what it was asked."""

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        self.seen = (x, time, label)
        return torch.zeros_like(x)


TRUTH = GaussianMixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), torch.tensor([0.3, 0.5]))
POINTS = TRUTH.draw(4000, torch.Generator().manual_seed(0))[0]


@pytest.mark.parametrize(
    "objective", [NoisePrediction(levels=20), NoisePrediction(levels=20, schedule="linear"), ScoreMatching(levels=20)]
)
def test_the_true_score_has_the_least_loss(objective: NoisePrediction | ScoreMatching) -> None:
    losses = {}
    for factor in (0.8, 0.9, 1.0, 1.1, 1.2):
        model = Exact(TRUTH, objective.noise, factor).eval()
        losses[factor] = objective(model, Batch(POINTS))[1].item()
    assert min(losses, key=losses.__getitem__) == 1.0
    # the loss is a parabola in the factor: its least value lies at 1 but for chance
    bend = losses[0.8] - 2 * losses[1.0] + losses[1.2]
    assert abs(0.2 * (losses[0.8] - losses[1.2]) / (2 * bend)) < 0.02


def test_denoising_differs_from_true_score_matching_by_what_no_score_changes() -> None:
    # Vincent 2011, eq. 10 and 11: both losses, of any two functions, differ by the same; 1-D, by draws in great number
    draw = torch.Generator().manual_seed(0)
    truth = GaussianMixture(torch.tensor([0.5, 0.5]), torch.tensor([[-1.0], [1.0]]), torch.tensor([0.4, 0.4]))
    x = truth.draw(400_000, draw)[0]
    sigma = 0.5
    noisy = x + sigma * torch.randn(x.shape, generator=draw)
    exact = truth.noised(1.0, sigma).score(noisy)
    apart = []
    for score in (-noisy, torch.tanh(noisy)):
        denoising = denoising_score_matching(score, x, noisy, torch.full((len(x),), sigma)).mean()
        explicit = 0.5 * (score - exact).square().sum(1).mean()
        apart.append(float(denoising - explicit))
    assert apart[0] == pytest.approx(apart[1], abs=0.02)
    assert apart[0] > 0.5  # and they do differ


def test_the_loss_of_a_batch_is_weighted_and_a_mean_over_levels() -> None:
    silent = Watching().eval()
    _, even = NoisePrediction()(silent, Batch(torch.zeros(6, 2)))
    weights = torch.tensor([1.0, 0, 0, 0, 0, 0])
    _, first = NoisePrediction()(silent, Batch(torch.zeros(6, 2), weights=weights))
    _, noise, _ = asked(silent, Batch(torch.zeros(6, 2)), NoisePrediction().noise, 0.0)
    torch.testing.assert_close(even, noise.square().mean())
    torch.testing.assert_close(first, noise[0].square().mean())


@pytest.mark.parametrize("antithetic", [True, False])
def test_the_loss_of_scores_is_weighted(antithetic: bool) -> None:
    silent, objective = Watching().eval(), ScoreMatching(antithetic=antithetic)
    batch = Batch(torch.zeros(6, 2), weights=torch.tensor([0.0, 2.0, 0, 0, 0, 0]))
    twice = paired(batch) if antithetic else batch
    _, noise, _ = asked(silent, twice, objective.noise, 0.0, antithetic)
    torch.testing.assert_close(objective(silent, batch)[1], 0.5 * noise[1].square().sum())


def test_asleep_the_loss_is_always_the_same_and_awake_it_follows_torchs_generator() -> None:
    objective, model, batch = NoisePrediction(), Watching(), Batch(POINTS[:50])
    model.eval()
    assert objective(model, batch)[1] == objective(model, batch)[1]
    model.train()
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(objective(model, batch)[1].item())
    assert losses[0] == losses[1] != losses[2]


def test_levels_are_drawn_evenly_from_the_first_to_the_last() -> None:
    torch.manual_seed(0)
    model = Watching().train()
    _, _, level = asked(model, Batch(torch.zeros(40_000, 1)), NoisePrediction(levels=4).noise, 0.0)
    counts = torch.bincount(level, minlength=5)
    assert counts[0] == 0
    assert counts[1:].min() > 9600  # of 10,000; four deviations are 350
    assert model.seen[1].max() == 1.0


def test_classes_are_told_and_in_training_a_share_is_left_out() -> None:
    torch.manual_seed(0)
    model, labels = Watching(), torch.arange(5000) % 10
    objective = NoisePrediction(forget=0.25)
    objective(model.train(), Batch(torch.zeros(5000, 1), labels))
    told = model.seen[2]
    assert told is not None
    left = told == -1
    assert left.float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(told[~left], labels[~left])
    objective(model.eval(), Batch(torch.zeros(5000, 1), labels))
    assert model.seen[2] is labels
    objective(model.train(), Batch(torch.zeros(5, 1)))
    assert model.seen[2] is None


def test_shares_of_classes_are_left_out_too() -> None:
    torch.manual_seed(0)
    shares = forgotten(torch.full((1000, 2), 0.5), 0.5)
    assert set(shares.sum(1).tolist()) == {0.0, 1.0}


def test_pairs_see_opposite_noise_of_one_level() -> None:
    model = Watching().train()
    torch.manual_seed(0)
    objective = ScoreMatching(levels=5)
    x = torch.randn(8, 2)
    objective(model, Batch(x))
    seen, time, _ = model.seen
    assert torch.equal(time[:8], time[8:])
    sigma = objective.noise.sigmas[(time[:8] * 5).round().long()][:, None]
    wide = (1 + sigma.square()).sqrt()
    torch.testing.assert_close((seen[:8] + seen[8:]) / 2 * wide, x)
    assert (seen[:8] - seen[8:]).abs().min() > 0
    objective = ScoreMatching(levels=5, antithetic=False)
    objective(model, Batch(x))
    assert len(model.seen[0]) == 8


def test_pairs_keep_targets_and_weights() -> None:
    twice = paired(Batch(torch.zeros(2, 1), torch.tensor([3, 4]), torch.tensor([1.0, 2.0])))
    assert twice.targets.tolist() == [3, 4, 3, 4]
    assert twice.weights is not None
    assert twice.weights.tolist() == [1, 2, 1, 2]
    assert paired(Batch(torch.zeros(2, 1))).weights is None


def test_the_losses_count_each_level_alike() -> None:
    # a silent network is wrong by the whole noise: half its variance a number, at whatever level
    for objective in (ScoreMatching(smallest=0.01, largest=100.0), ScoreMatching(antithetic=False)):
        _, loss = objective(Watching().eval(), Batch(torch.zeros(20_000, 2)))
        assert loss.item() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (NoisePrediction, {"levels": 1}),
        (NoisePrediction, {"forget": 1.1}),
        (NoisePrediction, {"schedule": "cosin"}),
        (ScoreMatching, {"levels": 1}),
        (ScoreMatching, {"smallest": 0.0}),
        (ScoreMatching, {"smallest": 1.0, "largest": 0.5}),
        (ScoreMatching, {"forget": -0.1}),
    ],
)
def test_settings_out_of_range_are_refused(make: type, wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        make(**wrong)


@pytest.mark.parametrize(
    "objective", [NoisePrediction(levels=20), ScoreMatching(levels=5), NegativeLogLikelihood(levels=17)], ids=str
)
def test_training_with_noise_is_resumed_to_the_bit(objective: Any) -> None:
    def engine() -> Engine:
        torch.manual_seed(0)
        part: Any = FlowModel(steps=1, widths=(8,), bounded=True)
        if not isinstance(objective, NegativeLogLikelihood):
            part = DenoiserModel(widths=(8, 8), conditional=True)
        turn = Turn(objective, partial(torch.optim.Adam, lr=0.01))
        return Engine(part.build((1, 4, 4), 3), turn, seed=3, accumulate=2)

    x = torch.arange(16 * 16).remainder(17).view(16, 1, 4, 4) / 16
    data = TensorBatches(
        x, None if isinstance(objective, NegativeLogLikelihood) else torch.arange(16) % 3, batch_size=8
    )
    straight = engine().fit(data, steps=6).model.state_dict()
    first = engine().fit(data, steps=3)
    again = engine()
    again.load_state_dict(first.state_dict())
    resumed = again.fit(data, steps=6).model.state_dict()
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    assert any(not torch.equal(straight[key], first.model.state_dict()[key]) for key in straight)


class Velocity(nn.Module):
    """Says the velocity that is expected in points of a mixture, from the noise that is."""

    def __init__(self, levels: NoiseLevels, factor: float = 1.0) -> None:
        super().__init__()
        self.exact, self.levels, self.factor = Exact(TRUTH, levels), levels, factor

    def forward(self, scaled: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        alpha, sigma = self.levels.at((time * len(self.levels)).round().long(), scaled)
        wide = (alpha.square() + sigma.square()).sqrt()  # 1, where the diffusion preserves the variance
        alpha, sigma = alpha / wide, sigma / wide
        noise = self.exact(scaled, time)
        data = (scaled - sigma * noise) / alpha
        return self.factor * (alpha * noise - sigma * data)


def test_the_expected_velocity_has_the_least_loss_and_says_the_expected_noise() -> None:
    objective = NoisePrediction(levels=20)
    losses = {}
    for factor in (0.9, 1.0, 1.1):
        model = VelocityDenoiser(Velocity(objective.noise, factor)).eval()
        losses[factor] = objective(model, Batch(POINTS))[1].item()
    assert min(losses, key=losses.__getitem__) == 1.0
    model = VelocityDenoiser(Velocity(objective.noise)).eval()
    said = objective(model, Batch(POINTS))[0]
    torch.testing.assert_close(
        said, objective(Exact(TRUTH, objective.noise).eval(), Batch(POINTS))[0], atol=1e-4, rtol=0
    )


def test_a_velocity_says_the_noise_also_where_the_variance_explodes() -> None:
    objective = ScoreMatching(levels=8)
    found = []
    for model in (VelocityDenoiser(Velocity(objective.noise)), Exact(TRUTH, objective.noise)):
        found.append(objective(model.eval(), Batch(POINTS)))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-4, rtol=0)


def test_the_loss_of_a_velocity_is_that_of_its_noise_over_alpha_squared() -> None:
    class Silent(nn.Module):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            return 0.3 * x

    levels = NoisePrediction(levels=4).noise
    some, model = Batch(POINTS), VelocityDenoiser(Silent()).eval()
    noise, was, level = asked(model, some, levels, 0.0)
    alpha = levels.alphas[level]
    by_hand = ((noise - was).square().mean(1) / alpha.square()).mean()
    torch.testing.assert_close(NoisePrediction(levels=4)(model, some)[1], by_hand, rtol=1e-3, atol=0)


@pytest.mark.parametrize("kind", [NoisePrediction(levels=20), ScoreMatching(levels=20)])
def test_a_network_of_either_kind_learns(kind: NoisePrediction | ScoreMatching) -> None:
    torch.manual_seed(0)
    model = DenoiserModel(widths=(16, 16), predicts="velocity").build((2,), 1)
    before = kind(model.eval(), Batch(POINTS))[1].item()
    turn = Turn(kind, partial(torch.optim.Adam, lr=0.01))
    Engine(model, turn, device="cpu").fit(TensorBatches(POINTS, batch_size=200), steps=60)
    assert kind(model.eval(), Batch(POINTS))[1].item() < 0.8 * before
