"""Noisy digits: how many are spoilt, which, by how much, and that the rest is clean."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from locution.data.digits import DigitsData
from locution.data.noisy_digits import NoisyDigitsData, pixel_noise, wrong_labels
from locution.engine import Engine, TensorBatches, Turn
from locution.engine.random import reseed, stream_key
from locution.errors import UserError
from locution.recipe import resolve


def parts(seed: int = 0, **settings: Any) -> tuple[TensorBatches, TensorBatches, TensorBatches]:
    found = NoisyDigitsData(**settings).load(seed)
    return found.train, found.development, found.test  # type: ignore[return-value]


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_wrong_labels_is_met_and_difficulty_says_which_they_are(share: float) -> None:
    clean = DigitsData().load(0).train
    train, _, _ = parts(labels=share)
    wrong = train.targets != clean.targets  # type: ignore[attr-defined]
    assert int(wrong.sum()) == round(share * 1257)
    assert torch.equal(train.difficulty, wrong.float())
    assert torch.equal(train.inputs, clean.inputs)  # type: ignore[attr-defined]
    assert 0 <= int(train.targets.min()) <= int(train.targets.max()) <= 9


def test_each_other_class_is_equally_likely() -> None:
    labels, wrong = wrong_labels(torch.full((9000,), 3), 1.0, 10, torch.Generator().manual_seed(0))
    counts = torch.bincount(labels, minlength=10)
    assert counts[3] == 0
    assert bool(wrong.all())
    others = counts[torch.arange(10) != 3].double()
    assert float(((others - 1000) ** 2 / 1000).sum()) < 26.1, "chi squared of 8 degrees at one in a thousand"


def test_pixel_noise_is_as_strong_as_it_says() -> None:
    noisy, spread = pixel_noise(torch.zeros(400, 1, 50, 50), 0.5, 0.6, torch.Generator().manual_seed(0))
    measured = noisy.flatten(1).std(1)
    assert int((spread == 0).sum()) == 200
    assert bool((measured[spread == 0] == 0).all())
    torch.testing.assert_close(measured, spread, rtol=0.07, atol=0)  # five standard errors of a standard deviation
    assert 0.5 < float(spread.max()) <= 0.6
    train, _, test = parts(labels=0.2, pictures=0.5, noise=0.3)
    clean = DigitsData().load(0)
    moved = (train.inputs - clean.train.inputs).flatten(1)  # type: ignore[attr-defined]
    assert int((moved.abs().sum(1) > 0).sum()) == round(0.5 * 1257)
    wrong = (train.targets != clean.train.targets).float()  # type: ignore[attr-defined]
    torch.testing.assert_close(moved.std(1), train.difficulty - wrong, rtol=0.6, atol=1e-6)
    assert torch.equal(test.inputs, clean.test.inputs)  # type: ignore[union-attr]


def test_what_is_held_out_is_clean_unless_that_is_asked_for() -> None:
    clean = DigitsData().load(0)
    pairs: list[tuple[Any, Any]] = [(clean.development, 1), (clean.test, 2)]
    for part, place in pairs:
        spoilt, noisy = parts(labels=0.4)[place], parts(held_out_labels=0.2)[place]
        assert torch.equal(spoilt.inputs, part.inputs)
        assert torch.equal(spoilt.targets, part.targets)
        assert int((noisy.targets != part.targets).sum()) == round(0.2 * 270)
        assert noisy.shuffle is False
    assert parts(test=0.0, held_out_labels=0.2)[2] is None


def test_noise_has_the_seed_of_the_split_and_not_of_the_run() -> None:
    def labels(**settings: Any) -> Tensor:
        targets: Tensor = parts(**settings)[0].targets
        return targets

    assert torch.equal(labels(seed=0), labels(seed=1))
    assert not torch.equal(labels(split=0), labels(split=1))
    assert len(labels(limit=100)) == 100


@pytest.mark.parametrize("setting", ["labels", "pictures", "held_out_labels"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(UserError, match=f"data.{setting} is 1.5; allowed: a share from 0 to 1"):
        NoisyDigitsData(**{setting: 1.5})
    with pytest.raises(UserError, match=r"data\.noise is -1\.0; allowed"):
        NoisyDigitsData(noise=-1.0)
    with pytest.raises(UserError, match=r"data\.batch_size is 0"):
        NoisyDigitsData(batch_size=0)


def accuracy(words: list[str], seed: int) -> float:
    recipe = resolve("digits/noisy", [*words, f"seed={seed}"])
    reseed(stream_key(seed, "weights"), torch.device("cpu"))
    data = recipe.part("data").load(seed)
    turn = Turn(recipe.part("objective"), recipe.part("optimizer").build)
    engine = Engine(recipe.part("model").build((1, 8, 8), 10), turn, recipe.built_methods(), seed=seed, device="cpu")
    model = engine.fit(data.train, epochs=recipe.epochs).trained()
    with torch.no_grad():
        return float((model(data.test.inputs).argmax(1) == data.test.targets).float().mean())


def test_clean_first_then_noisy_is_better_than_shuffled() -> None:
    gains = [accuracy(["+curriculum"], seed) - accuracy([], seed) for seed in (100, 101, 102)]
    assert sum(gains) / len(gains) > 0.005
