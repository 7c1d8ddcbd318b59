"""Disentanglement scores on codes whose score is known: perfect, turned, doubled, constant, and none at all."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from locution.data.sprites import grid
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.disentanglement import (
    factor_vae_score,
    in_bins,
    mutual_information,
    mutual_information_gap,
    votes,
)

FACTORS = grid((3, 4, 5, 6))
TURN = 2 * math.pi / 8


def turned(codes: Tensor, angle: float) -> Tensor:
    """Turn the first two numbers of a code into each other."""
    turn = torch.eye(codes.shape[1], dtype=codes.dtype)
    turn[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return codes @ turn.T


def scaled() -> Tensor:
    codes = FACTORS.double()
    return (codes - codes.mean(0)) / codes.std(0)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_perfect_code_scores_one_whatever_its_order_scale_and_sign(seed: int) -> None:
    codes = scaled()[:, [2, 0, 3, 1]] * torch.tensor([5.0, -1.0, 0.3, 2.0]) + 7
    assert factor_vae_score(codes, FACTORS, seed=seed).mean() == 1.0
    torch.testing.assert_close(mutual_information_gap(codes, FACTORS), torch.ones(4, dtype=torch.float64))


def test_numbers_that_do_not_move_have_no_vote() -> None:
    still = torch.full((len(FACTORS), 2), 3.0, dtype=torch.float64)
    faint = 1e-3 * torch.randn(len(FACTORS), 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    codes = torch.cat([still, scaled(), faint], 1)
    assert factor_vae_score(codes, FACTORS).mean() == 1.0
    numbers, _ = votes(codes, FACTORS, 200, 16, generator(0, "any"))
    assert set(numbers.tolist()) == {2, 3, 4, 5}


def test_a_code_that_is_turned_scores_less_and_the_more_it_is_turned() -> None:
    wide = torch.cat([torch.randn(4000, 1, generator=torch.Generator().manual_seed(k)) for k in range(4)], 1).double()
    factors = torch.stack([in_bins(column, 8) for column in wide.unbind(1)], 1)
    gaps = [float(mutual_information_gap(turned(wide, angle), factors).mean()) for angle in (0, TURN / 3, TURN)]
    assert gaps[0] > gaps[1] + 0.05 > gaps[2] + 0.1
    assert float(mutual_information_gap(turned(wide, TURN), factors)[:2].max()) < 0.05, "two numbers tell the same"
    straight, half = (float(factor_vae_score(turned(scaled(), a), FACTORS).mean()) for a in (0, TURN))
    assert half < straight - 0.1


def test_a_code_that_knows_nothing_scores_by_chance() -> None:
    codes = torch.randn(len(FACTORS), 5, generator=torch.Generator().manual_seed(1))
    score = float(factor_vae_score(codes, FACTORS, learnt=4000, judged=4000).mean())
    assert abs(score - 0.25) < 0.08
    assert float(mutual_information_gap(codes, FACTORS).max()) < 0.1


def test_votes_are_judged_that_nothing_was_learnt_from() -> None:
    """A code of 300 numbers that know nothing: most votes are for a number that hardly any other vote was for."""
    codes = torch.randn(len(FACTORS), 300, generator=torch.Generator().manual_seed(1))
    assert float(factor_vae_score(codes, FACTORS, learnt=100, judged=100, batch=8).mean()) < 0.5


def test_a_vote_goes_to_the_number_that_varies_least_against_its_own_spread() -> None:
    """The first number moves a tenth as far as the others: in plain variance it would win every vote."""
    noise = 0.2 * torch.randn(len(FACTORS), 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    codes = (scaled() + noise) * torch.tensor([0.1, 1.0, 1.0, 1.0])
    numbers, causes = votes(codes, FACTORS, 300, 32, generator(0, "any"))
    assert torch.equal(numbers, causes)


def test_causes_of_one_value_and_unsorted_numbers_are_taken_as_they_are() -> None:
    factors = torch.cat([FACTORS * 7 - 3, torch.zeros(len(FACTORS), 1, dtype=torch.int64)], 1)
    gaps = mutual_information_gap(scaled(), factors)
    torch.testing.assert_close(gaps, torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64))
    assert mutual_information_gap(scaled()[:, :1], FACTORS).tolist()[0] == pytest.approx(1.0), "a single number"


def test_mutual_information_is_scikit_learns() -> None:
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randint(5, (300,), generator=draw), torch.randint(3, (300,), generator=draw)
    mixed = (first + second) % 4
    for pair in ((first, second), (first, mixed), (first, first)):
        assert mutual_information(*pair) == pytest.approx(mutual_info_score(*pair))


def test_the_same_seed_gives_the_same_votes() -> None:
    codes = torch.randn(len(FACTORS), 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(factor_vae_score(codes, FACTORS, seed=3), factor_vae_score(codes, FACTORS, seed=3))
    assert not torch.equal(factor_vae_score(codes, FACTORS, seed=3), factor_vae_score(codes, FACTORS, seed=4))


def test_what_does_not_belong_together_is_refused() -> None:
    for refuse, line in (
        (
            lambda: factor_vae_score(torch.zeros(3, 2), torch.zeros(4, 2)),
            r"\(3, 2\) and factors \(4, 2\) do not belong",
        ),
        (lambda: mutual_information_gap(torch.zeros(3), torch.zeros(3, 2)), r"codes \(3,\)"),
        (lambda: mutual_information_gap(torch.zeros(3, 2), torch.zeros(3, 2), bins=1), "bins is 1; allowed: "),
        (lambda: factor_vae_score(torch.zeros(3, 2), torch.zeros(3, 2), batch=1), "batch is 1; allowed: "),
        (lambda: factor_vae_score(torch.zeros(3, 2), torch.zeros(3, 2), learnt=0), "votes is 0; allowed: "),
    ):
        with pytest.raises(UserError, match=line):
            refuse()
