"""Likelihood and dequantisation against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.errors import UserError
from locution.losses.likelihood import NegativeLogLikelihood, bits_per_dimension, dequantised, quantised


class Gaussian(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"log_likelihood": -0.5 * (x.square() + math.log(2 * math.pi)).flatten(1).sum(1)}


def test_values_are_spread_over_their_own_share_and_found_again() -> None:
    x = torch.arange(17).repeat(1000) / 16
    spread = dequantised(x, 17, torch.Generator().manual_seed(0))
    assert torch.equal(quantised(spread, 17), x)
    assert 0 <= spread.min() <= spread.max() < 1
    inside = spread * 17 - (x * 16).round()
    assert inside.mean().item() == pytest.approx(0.5, abs=0.01)  # evenly
    assert inside.var().item() == pytest.approx(1 / 12, abs=0.005)


def test_the_surprise_is_weighted() -> None:
    x = torch.tensor([[0.0], [2.0]])
    objective = NegativeLogLikelihood()
    even = objective(Gaussian(), Batch(x))[1].item()
    heavy = objective(Gaussian(), Batch(x, weights=torch.tensor([1.0, 3.0])))[1].item()
    assert even == pytest.approx(1 + 0.5 * math.log(2 * math.pi), rel=1e-6)
    assert heavy == pytest.approx(1.5 + 0.5 * math.log(2 * math.pi), rel=1e-6)


def test_no_model_is_less_surprised_than_the_shares_of_the_values_allow() -> None:
    # of pixels that are 0 or 1 as often, no density of the spread values is worth more than ln 2 a pixel
    x = (torch.arange(2000) % 2).float()[:, None]

    class Even(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"log_likelihood": torch.zeros(len(x))}

    objective = NegativeLogLikelihood(levels=2)
    assert objective(Even().eval(), Batch(x))[1].item() == pytest.approx(math.log(2), rel=1e-6)
    assert objective(Gaussian().eval(), Batch(x))[1].item() > math.log(2)


def test_asleep_the_loss_is_always_the_same_and_awake_it_follows_torchs_generator() -> None:
    objective, model, batch = NegativeLogLikelihood(levels=5), Gaussian(), Batch(torch.zeros(10, 3))
    model.eval()
    assert objective(model, batch)[1] == objective(model, batch)[1]
    model.train()
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(objective(model, batch)[1].item())
    assert losses[0] == losses[1] != losses[2]


def test_bits_are_nats_over_numbers_and_ln_2() -> None:
    assert bits_per_dimension(torch.tensor([6 * math.log(2)]), 3).item() == pytest.approx(2.0)


def test_a_model_without_likelihood_is_refused() -> None:
    with pytest.raises(UserError, match="answered with Tensor"):
        NegativeLogLikelihood()(nn.Identity(), Batch(torch.zeros(1, 2)))


@pytest.mark.parametrize("levels", [-1, 1])
def test_levels_are_two_or_more_or_none(levels: int) -> None:
    with pytest.raises(UserError, match="levels"):
        NegativeLogLikelihood(levels=levels)
