"""Modes counted, a collapse said, and coverage where nobody knows the modes."""

from __future__ import annotations

import pytest
import torch

from locution.data.ring import RingData
from locution.errors import UserError
from locution.evaluation.feature_judge import FeatureJudge, frechet_distance
from locution.evaluation.modes import Coverage, lifelike, mode_collapse, mode_coverage, neighbourhood_coverage


def test_true_samples_cover_every_mode_and_are_of_high_quality_as_often_as_theory_says() -> None:
    ring = RingData().truth()
    samples, _ = ring.draw(20_000, torch.Generator().manual_seed(0))
    found = mode_coverage(samples, ring.means, ring.deviations)
    expected = 1 - torch.tensor(-4.5).exp().item()  # of a Gaussian on a plane, within 3 deviations
    assert found.quality == pytest.approx(expected, abs=5 * (expected * (1 - expected) / 20_000) ** 0.5)
    assert found.missing() == []
    assert mode_collapse(found, [str(n) for n in range(8)]) == ""


@pytest.mark.parametrize("gone", [(3,), (0, 7), (1, 2, 3, 4, 5, 6, 7)])
def test_a_planted_collapse_is_found_and_named(gone: tuple[int, ...]) -> None:
    ring = RingData().truth()
    samples, which = ring.draw(2500, torch.Generator().manual_seed(0))
    kept = samples[~torch.isin(which, torch.tensor(gone))]
    found = mode_coverage(kept, ring.means, ring.deviations)
    assert found.missing() == list(gone)
    line = mode_collapse(found, [f"mode {n + 1}" for n in range(8)])
    assert line.startswith(f"mode collapse: {len(gone)} of 8 modes have less than 0.1 of their share of ")
    assert f": mode {gone[0] + 1}" in line
    assert "\n" not in line


def test_each_mode_has_a_reach_of_its_own() -> None:
    samples = torch.tensor([[0.5], [10.5], [20.5]])
    centres = torch.tensor([[0.0], [10.0], [20.0]])
    assert mode_coverage(samples, centres, torch.tensor([0.1, 0.2, 1.0])).counts == (0, 1, 1)
    assert mode_coverage(samples, centres, 0.1, reach=5.01).counts == (1, 1, 1)


def test_what_is_due_may_be_uneven() -> None:
    found = Coverage((2, 98), 100)
    assert found.missing() == [0]
    assert found.missing(due=[0.02, 0.98]) == []
    assert found.missing(least=0.01) == []
    with pytest.raises(UserError, match="least is 0"):
        found.missing(least=0)


def test_a_mode_has_its_share_of_all_that_was_drawn_also_of_what_is_of_no_mode() -> None:
    assert Coverage((4, 46), drawn=100).missing() == [0]  # 50 would be its share, and a tenth of that 5
    assert Coverage((5, 45), drawn=100).missing() == []  # a tenth is enough
    found = Coverage((30, 70), drawn=100)
    assert mode_collapse(found, ["one", "two"], least=0.7).startswith("mode collapse: 1 of 2 modes have less than 0.7")
    assert mode_collapse(found, ["one", "two"], least=0.7, due=[0.3, 0.7]) == ""


def test_samples_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"shapes \(3, 2\) and \(8, 3\); allowed: \(N, D\) and \(K, D\)"):
        mode_coverage(torch.zeros(3, 2), torch.zeros(8, 3), 0.1)


def test_neighbourhood_coverage_is_high_for_the_same_source_and_falls_with_what_is_left_out() -> None:
    stream = torch.Generator().manual_seed(0)
    real, made = torch.randn(400, 2, generator=stream), torch.randn(400, 2, generator=stream)
    assert neighbourhood_coverage(real, made) == pytest.approx(1 - 1 / 2**5, abs=0.03)
    half = made[made[:, 0] > 0]
    assert neighbourhood_coverage(real, half) == pytest.approx(0.5, abs=0.08)
    assert neighbourhood_coverage(real, torch.full((400, 2), 9.0)) == 0.0


def test_neighbourhood_coverage_is_that_of_the_definition() -> None:
    stream = torch.Generator().manual_seed(1)
    real, made, k = torch.randn(30, 3, generator=stream), 2 * torch.randn(20, 3, generator=stream), 3
    covered = 0
    for place, x in enumerate(real):
        others = sorted((x - other).norm().item() for at, other in enumerate(real) if at != place)
        covered += any((x - y).norm().item() < others[k - 1] for y in made)
    assert neighbourhood_coverage(real, made, k) == pytest.approx(covered / 30)
    with pytest.raises(UserError, match="k is 30; allowed: a whole number from 1 to 29"):
        neighbourhood_coverage(real, made, 30)


def test_lifelike_samples_are_those_of_the_definition() -> None:
    stream = torch.Generator().manual_seed(1)
    real, made, k = torch.randn(30, 3, generator=stream), 2 * torch.randn(40, 3, generator=stream), 3
    expected = []
    for y in made:
        found = False
        for place, x in enumerate(real):
            others = sorted((x - other).norm().item() for at, other in enumerate(real) if at != place)
            found |= (x - y).norm().item() <= others[k - 1]
        expected.append(found)
    assert lifelike(real, made, k).tolist() == expected
    assert 0 < sum(expected) < 40


def test_the_frechet_distance_is_the_closed_form_and_nothing_for_itself() -> None:
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(500, 3, generator=stream)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-6)
    shift = torch.tensor([1.0, -2.0, 0.5])
    assert frechet_distance(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-5)
    wide = frechet_distance(x, 3 * x)  # the mean moves by twice itself, each direction spreads by twice as much
    assert wide == pytest.approx(float((2 * x.mean(0)).square().sum() + 4 * torch.cov(x.T).trace()), rel=1e-4)
    with pytest.raises(UserError, match=r"shapes \(500, 3\) and \(2, 4\)"):
        frechet_distance(x, torch.zeros(2, 4))


def test_a_judge_knows_real_examples_and_is_not_sure_of_others() -> None:
    stream = torch.Generator().manual_seed(0)
    classes = torch.arange(120) % 3
    x = torch.randn(120, 4, generator=stream) + 6 * torch.nn.functional.one_hot(classes, 4)
    state = torch.get_rng_state()
    judge = FeatureJudge(x, classes, steps=100)
    assert torch.equal(state, torch.get_rng_state())  # nobody else's draws are moved
    assert (judge.classes(x) == classes).float().mean() > 0.97
    assert judge.classes(x[:5], sure=1.1).tolist() == [-1] * 5
    assert judge.features(x).shape == (120, 32)
    again = FeatureJudge(x, classes, steps=100)
    torch.testing.assert_close(judge.probabilities(x), again.probabilities(x))
    with pytest.raises(UserError, match="one class"):
        FeatureJudge(x, torch.zeros(120, dtype=torch.int64))


def test_a_collapse_names_its_mend_or_none() -> None:
    gone = Coverage((10, 0), drawn=10)
    assert mode_collapse(gone, "ab").endswith(": b. Try objective.name=wasserstein_gan.")
    assert mode_collapse(gone, "ab", mend="Try more steps.").endswith(": b. Try more steps.")
    assert mode_collapse(gone, "ab", mend="").endswith(": b.")
