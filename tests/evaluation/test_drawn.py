"""How drawn examples are judged: the energy distance, and whether they are recognised."""

from __future__ import annotations

import itertools

import pytest
import torch

from locution.data.digits import read_digits
from locution.errors import UserError
from locution.evaluation.energy_distance import energy_distance
from locution.evaluation.recognised import Recogniser


def test_the_energy_distance_is_that_of_all_pairs() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(7, 3, generator=draw), torch.randn(5, 3, generator=draw) + 2

    def mean(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
        return sum(float((a - b).norm()) for a, b in pairs) / len(pairs)

    between = mean(list(itertools.product(x, y)))
    within = mean(list(itertools.combinations(x, 2))), mean(list(itertools.combinations(y, 2)))
    assert energy_distance(x, y) == pytest.approx((2 * between - sum(within)) ** 0.5, rel=1e-5)
    assert energy_distance(x, y) == pytest.approx(energy_distance(y, x))


def test_of_two_gaussians_it_grows_as_they_part_and_of_one_it_is_next_to_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 2, generator=draw)
    far = [energy_distance(x, torch.randn(2000, 2, generator=draw) + shift) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert far == sorted(far)
    assert far[0] < 0.06
    assert far[3] > 1


def test_one_point_has_no_distance() -> None:
    with pytest.raises(UserError, match="two points or more"):
        energy_distance(torch.zeros(1, 2), torch.zeros(5, 2))


def test_digits_are_recognised_and_noise_is_not() -> None:
    inputs, targets = read_digits()
    judge = Recogniser(inputs[:1200], targets[:1200])
    assert judge.right(inputs[1200:], targets[1200:]) / 597 > 0.94
    noise = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert judge.right(noise, torch.arange(500) % 10) / 500 < 0.2


def test_a_recogniser_needs_two_classes() -> None:
    with pytest.raises(UserError, match="one class"):
        Recogniser(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
