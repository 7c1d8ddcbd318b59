"""Sound as mu-law numbers, against the law's equations; its windows; linear prediction against closed forms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.basic import IGNORED
from locution.speech.audio import write_flac
from locution.speech.linear_prediction import (
    baselines,
    counted_bits,
    linear_guess,
    linear_prediction,
    pair_counts,
)
from locution.speech.mu_law import from_mu_law, mu_law
from locution.speech.own_sounds import sound_of
from locution.speech.sound_data import SoundData, one_window_each, spoken, windows

SMALL: dict[str, Any] = {"train": 3, "development": 2, "test": 2, "length": 256, "heard": 64}


def test_the_mu_law_is_its_equation() -> None:
    x = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    bent = x.sign() * torch.log(1 + 255 * x.abs()) / math.log(256)  # the paper's section 2.2
    nearest = ((bent + 1) / 2 * 255).round()
    assert int((mu_law(x) - nearest).abs().max()) <= 1  # a tie may go either way
    assert (mu_law(x) == nearest).double().mean() > 0.99
    assert mu_law(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_every_number_comes_back_and_quiet_is_finer_than_loud(levels: int) -> None:
    codes = torch.arange(levels)
    values = from_mu_law(codes, levels)
    assert torch.equal(mu_law(values, levels), codes)
    assert (values.diff() > 0).all()
    torch.testing.assert_close(values, -values.flip(0), rtol=1e-5, atol=1e-6)
    if levels == 256:
        steps = values.diff()
        assert steps[128:].diff().gt(0).all(), "steps grow with loudness"
        x = torch.rand(1000, generator=generator(0, "x")) * 2 - 1
        error = (from_mu_law(mu_law(x)) - x).abs()
        assert (error <= 0.5 * math.log(256) / 255 * (1 + 255 * x.abs()) / 127.5 * 2.2).all()


def test_speech_is_the_same_every_time_and_has_no_silence_at_its_ends() -> None:
    one, again = (spoken("test", 2, "everyday", seed=0) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert all(float(sound[0].abs()) > 1e-3 < float(sound[-1].abs()) for sound in one)
    assert not torch.equal(one[0][:500], spoken("train", 1, "everyday", seed=0)[0][:500])


def test_windows_cover_and_do_not_overlap() -> None:
    found = windows([torch.arange(10), torch.arange(100, 107)], 3)
    assert found.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [100, 101, 102], [103, 104, 105]]
    held = one_window_each([torch.arange(10), torch.arange(2), torch.arange(100, 103)], 3, generator(0, "x"))
    assert held.shape == (2, 3)
    assert (held.diff(dim=1) == 1).all()
    assert held[1].tolist() == [100, 101, 102]


def test_the_next_sample_is_the_answer_and_what_is_only_heard_does_not_count() -> None:
    data = SoundData(**SMALL).load(0)
    train: Any = data.train
    assert torch.equal(train.inputs[:, 1:], train.targets[:, :-1])
    for held in (data.development, data.test):
        assert held is not None
        assert held.inputs.shape[1] == 256 + 64
        assert (held.targets[:, :64] == IGNORED).all()
        assert torch.equal(held.inputs[:, 65:], held.targets[:, 64:-1])
    assert torch.equal(train.inputs, SoundData(**SMALL).load(1).train.inputs)  # type: ignore[attr-defined]
    assert data.outputs == 256
    with pytest.raises(UserError, match=r"data\.length is 99999; allowed: less"):
        SoundData(**SMALL | {"length": 99999}).load(0)


def test_a_sound_file_of_any_rate_is_read_as_numbers(tmp_path: Path) -> None:
    write_flac(tmp_path / "a.flac", np.full(1600, 0.25, np.float32), 16000)
    codes = sound_of(str(tmp_path / "a.flac"))
    assert abs(len(codes) - 800) <= 1
    assert int(codes[400]) == int(mu_law(torch.tensor(0.25)))


@pytest.mark.parametrize(
    "settings", [{"train": 0}, {"test": 0}, {"length": 1}, {"heard": -1}, {"kind": "songs"}, {"batch_size": 0}], ids=str
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"data\.\w+ is .*; allowed: "):
        SoundData(**settings)


# Linear prediction -----------------------------------------------------------------------------------------


def test_the_weights_of_an_autoregression_are_found_again() -> None:
    """x_t = 1.5 x_{t-1} - 0.8 x_{t-2} + noise; standard errors of about 1 / sqrt(T)."""
    noise = torch.randn(4, 20_000, generator=generator(0, "ar"), dtype=torch.float64)
    x = torch.zeros_like(noise)
    for t in range(2, noise.shape[1]):
        x[:, t] = 1.5 * x[:, t - 1] - 0.8 * x[:, t - 2] + noise[:, t]
    found = linear_prediction(x[:, 100:], 2)
    torch.testing.assert_close(found, torch.tensor([-0.8, 1.5]), rtol=0, atol=5 / (4 * 20_000) ** 0.5)
    error = x[:, 102:] - (found[0] * x[:, 100:-2] + found[1] * x[:, 101:-1])
    assert error.var().item() == pytest.approx(1.0, rel=0.03)


def test_the_guess_is_the_weighted_sum_of_the_last_samples() -> None:
    codes = torch.randint(256, (2, 30), generator=generator(0, "codes"))
    weights = torch.tensor([0.1, -0.3, 0.9])
    found, values = linear_guess(codes, weights), from_mu_law(codes)
    for t in (2, 17, 29):
        expected = mu_law((weights * values[:, t - 2 : t + 1]).sum(1))
        assert torch.equal(found[:, t], expected)


def test_counted_chances_add_up_to_one_and_follow_the_counts() -> None:
    guesses = torch.tensor([[0, 0, 0, 0, 1]])
    targets = torch.tensor([[2, 2, 2, 1, 0]])
    counts = pair_counts(guesses, targets, levels=4)
    assert counts.tolist() == [[0, 1, 3, 0], [1, 0, 0, 0], [0] * 4, [0] * 4]
    for guess in range(4):
        every = counted_bits(counts, torch.full((4, 1), guess), torch.arange(4)[:, None])
        assert float((2.0 ** -every.double()).sum()) == pytest.approx(1.0, rel=1e-5)
    row = counted_bits(counts, torch.zeros(4, 1, dtype=torch.int64), torch.arange(4)[:, None])
    assert int(row.argmin()) == 2


def test_a_source_of_known_entropy_costs_its_entropy() -> None:
    """A chain that stays with probability 0.9 and else goes to one of the other three: 0.627 bits."""
    draw = generator(0, "chain")
    stays = torch.rand(200_000, generator=draw) < 0.9
    jump = torch.randint(1, 4, (200_000,), generator=draw)
    chain = torch.where(stays, 0, jump).cumsum(0) % 4
    before, after = chain[None, :-1], chain[None, 1:]
    entropy = -(0.9 * math.log2(0.9) + 0.1 * math.log2(0.1 / 3))
    bits = counted_bits(pair_counts(before, after, levels=4), before, after)
    assert bits.item() == pytest.approx(entropy, abs=0.01)
    blind = torch.zeros_like(before)
    assert counted_bits(pair_counts(blind, after, levels=4), blind, after).item() == pytest.approx(2.0, abs=0.01)


def test_what_is_ignored_counts_nowhere() -> None:
    guesses, targets = torch.tensor([[0, 1, 2]]), torch.tensor([[IGNORED, 1, 2]])
    assert int(pair_counts(guesses, targets, levels=4).sum()) == 2
    counts = torch.ones(4, 4, dtype=torch.int64)
    other = torch.tensor([[3, 1, 2]])
    assert counted_bits(counts, guesses, targets) == counted_bits(counts, other, targets)


def test_a_tone_is_guessed_and_noise_is_not() -> None:
    times = torch.arange(4000.0)
    tone = mu_law(0.9 * torch.sin(0.2 * times + torch.arange(4.0)[:, None]))
    found = baselines(tone[:2, :-1], tone[:2, 1:], tone[2:, :-1], tone[2:, 1:])
    bits = {name: float(values.mean()) for name, values in found.items()}
    assert bits["linear prediction of 2"] < bits["previous"] - 0.3
    assert bits["previous"] < bits["frequency"] - 1


def test_who_knows_little_knows_it_from_the_training_sounds_alone() -> None:
    """Sounds of loud halves that were never heard cost more than all numbers alike would, 8 bits."""
    quiet = torch.randint(128, (3, 2001), generator=generator(0, "quiet"))
    loud = 128 + torch.randint(128, (3, 2001), generator=generator(1, "loud"))
    found = baselines(quiet[:, :-1], quiet[:, 1:], loud[:, :-1], loud[:, 1:])
    assert all(float(bits.min()) > 8 for bits in found.values())
