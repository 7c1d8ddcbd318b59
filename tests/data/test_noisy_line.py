"""The noisy line: points off the gap, noise of the spread that was asked for, and held-out ones alike in every run."""

from __future__ import annotations

import pytest
import torch

from locution.data.noisy_line import NoisyLineData
from locution.errors import UserError


def test_points_lie_beside_the_gap_and_around_the_line() -> None:
    data = NoisyLineData(points=20_000, slope=-2.0, intercept=3.0, noise=0.7, gap=0.6).load(0)
    x, y = data.train.inputs, data.train.targets
    assert 0.0 <= float(x.min()) < 0.01
    assert 1.99 < float(x.max()) <= 2.0
    assert 0.3 <= float((x - 1).abs().min()) < 0.31
    assert abs(float((x > 1).double().mean()) - 0.5) < 5 * 0.5 / 20_000**0.5
    away = y - (3 - 2 * x)
    assert abs(float(away.mean())) < 5 * 0.7 / 20_000**0.5
    assert abs(float(away.std()) - 0.7) < 5 * 0.7 / 40_000**0.5
    assert data.sizes == {"examples": 20_000}


def test_the_seed_draws_what_is_learnt_from_and_split_what_is_held_out() -> None:
    one, same, other = (NoisyLineData().load(seed) for seed in (0, 0, 1))
    assert torch.equal(one.train.inputs, same.train.inputs)
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert torch.equal(one.test.inputs, other.test.inputs)
    assert not torch.equal(one.test.inputs, NoisyLineData(split=1).load(0).test.inputs)
    assert float(one.test.inputs.min()) < 0 < 2 < float(one.test.inputs.max()), "also where nothing was seen"


def test_settings_that_are_none_are_refused() -> None:
    for settings, line in (
        ({"points": 0}, r"data\.points is 0; allowed: "),
        ({"noise": 0.0}, r"data\.noise is 0\.0; allowed: "),
        ({"gap": 2.0}, r"data\.gap is 2\.0; allowed: "),
    ):
        with pytest.raises(UserError, match=line):
            NoisyLineData(**settings)
