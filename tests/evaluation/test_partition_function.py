"""Partition functions: what is too large to count, and the weights that an estimate is made of."""

from __future__ import annotations

import math

import pytest
import torch

from locution.errors import UserError
from locution.evaluation import partition_function
from locution.evaluation.partition_function import annealed_importance_sampling, exact_log_partition
from locution.models.boltzmann import BoltzmannMachine


def machine(seen: int, hidden: int) -> BoltzmannMachine:
    torch.manual_seed(0)
    return BoltzmannMachine((seen,), hidden)


def test_as_many_units_as_are_allowed_are_counted_and_one_more_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_function, "MOST", 4)
    assert math.isfinite(exact_log_partition(machine(4, 9)))
    assert math.isfinite(exact_log_partition(machine(9, 4)))
    for seen, hidden in ((5, 9), (9, 5), (5, 5)):
        with pytest.raises(UserError, match="the smaller side has 5 units; allowed: up to 4, or annealed"):
            exact_log_partition(machine(seen, hidden))


def test_an_estimate_is_the_mean_of_the_weights_it_keeps() -> None:
    found = annealed_importance_sampling(machine(6, 4), temperatures=20, chains=50)
    assert found.log_weights.shape == (50,)
    assert found.value == pytest.approx(float(found.log_weights.logsumexp(0)) - math.log(50), abs=1e-9)
    assert found.low < found.value < found.high
    shares = (found.log_weights - found.value).exp()  # of mean 1
    apart = 3 * float(shares.std()) / 50**0.5
    assert found.high == pytest.approx(found.value + math.log(1 + apart), abs=1e-9)
    assert found.low == pytest.approx(found.value + math.log(1 - apart), abs=1e-9)
