"""The ring of Gaussians, and the noise beside batches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from locution.data.known_density import KnownDensity
from locution.data.noise import WithNoise
from locution.data.ring import RingData
from locution.engine import TensorBatches
from locution.errors import UserError


def test_points_lie_at_their_modes_as_their_deviation_says() -> None:
    ring = RingData(train=8000, deviation=0.05)
    train: Any = ring.load(seed=0).train
    angles = 2 * math.pi * train.targets / 8
    away = train.inputs - 2 * torch.stack([angles.cos(), angles.sin()], 1)
    # standard error of a deviation over 2 n draws: sigma / sqrt(4 n); five of them
    assert away.std().item() == pytest.approx(0.05, abs=5 * 0.05 / (4 * 8000) ** 0.5)
    shares = torch.bincount(train.targets, minlength=8) / 8000
    assert shares.tolist() == pytest.approx([1 / 8] * 8, abs=5 * (7 / 64 / 8000) ** 0.5)


def test_the_truth_is_the_density_that_points_are_drawn_from() -> None:
    ring = RingData(modes=4, radius=1.0, deviation=0.5)
    assert isinstance(ring, KnownDensity)
    steps = torch.linspace(-4, 4, 200)
    density = ring.truth().log_density(torch.cartesian_prod(steps, steps)).exp()
    assert density.sum().item() * (8 / 199) ** 2 == pytest.approx(1.0, abs=1e-3)


def test_the_seed_draws_what_is_learnt_from_and_the_split_what_is_held_out() -> None:
    one, other, split = RingData().load(0), RingData().load(1), RingData(split=1).load(0)
    parts: Any = [(data.train, data.test) for data in (one, other, split)]
    assert not torch.equal(parts[0][0].inputs, parts[1][0].inputs)
    assert torch.equal(parts[0][1].inputs, parts[1][1].inputs)
    assert torch.equal(parts[0][0].inputs, parts[2][0].inputs)
    assert not torch.equal(parts[0][1].inputs, parts[2][1].inputs)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modes": 0}, "data.modes is 0; allowed: a whole number from 1, usually 8"),
        ({"radius": 0}, "data.radius is 0; allowed: a number above 0, usually 2"),
        ({"deviation": -1}, "data.deviation is -1; allowed: a number above 0, usually 0.02"),
        ({"train": 0}, "data.train is 0"),
        ({"test": 0}, "data.test is 0"),
        ({"batch_size": 0}, "data.batch_size is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        RingData(**settings)
    assert said in str(caught.value)


def source(count: int = 23) -> WithNoise:
    return WithNoise(TensorBatches(torch.arange(float(count))[:, None], batch_size=8), latents=3)


def test_noise_comes_anew_with_each_batch_and_again_in_a_run_that_is_resumed() -> None:
    whole = list(source().epoch(1, seed=4))
    rest = list(source().epoch(1, seed=4, skip=1))
    assert [len(batch) for batch in whole] == [8, 8, 7]
    for batch, again in zip(whole[1:], rest, strict=True):
        assert torch.equal(batch.inputs, again.inputs)
        assert all(torch.equal(batch.beside[name], again.beside[name]) for name in batch.beside)
    others = [list(source().epoch(2, seed=4)), list(source().epoch(1, seed=5)), whole[1:]]
    for other in others:
        assert not torch.equal(whole[0].beside["noise"], other[0].beside["noise"])
    assert not torch.equal(whole[0].beside["noise"], whole[0].beside["noise of the generator"])


def test_each_example_keeps_its_noise_when_a_batch_is_cut() -> None:
    for batch in source().epoch(0, seed=0):
        for parts in (2, 3, 5, 8):
            pieces = [piece for piece, _ in batch.split(parts)]
            for name in ("noise", "noise of the generator", "blend"):
                assert all(len(piece.beside[name]) == len(piece) for piece in pieces)
                assert torch.equal(torch.cat([piece.beside[name] for piece in pieces]), batch.beside[name])


def test_the_noise_is_normal_and_the_blend_even() -> None:
    big = next(WithNoise(TensorBatches(torch.zeros(20_000, 1), batch_size=20_000), latents=2).epoch(0, seed=0))
    assert big.beside["noise"].mean().item() == pytest.approx(0.0, abs=5 / 40_000**0.5)
    assert big.beside["noise"].std().item() == pytest.approx(1.0, abs=5 / 80_000**0.5)
    assert big.beside["blend"].mean().item() == pytest.approx(0.5, abs=5 * (1 / 12 / 20_000) ** 0.5)
    assert 0 <= big.beside["blend"].min() < 0.01 < 0.99 < big.beside["blend"].max() <= 1


def test_it_counts_steps_and_moves_as_the_batches_do() -> None:
    assert source().steps() == 3
    moved = source().to(torch.device("cpu"))
    assert torch.equal(next(moved.epoch(0, 0)).beside["noise"], next(source().epoch(0, 0)).beside["noise"])
