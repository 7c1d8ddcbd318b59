"""What generated pictures are judged by: each cheat wins something and loses something."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from locution.data.digits import DigitsData
from locution.errors import UserError
from locution.evaluation.generated import PictureJudge, gaussian_fit, some_of
from locution.evaluation.modes import data_copying, lifelike, neighbourhood_coverage, recall_of_samples


@cache
def digits() -> tuple[Tensor, Tensor, Tensor]:
    data = DigitsData().load(0)
    train, test = data.train, data.test
    return train.inputs, train.targets, test.inputs  # type: ignore[attr-defined, union-attr]


@cache
def judge() -> PictureJudge:
    return PictureJudge(*digits())


def figures(some: Tensor) -> dict[str, float]:
    return {name: figure["value"] for name, figure in judge()(some).figures.items()}


def test_held_out_pictures_are_lifelike_and_new() -> None:
    found = judge()(digits()[2])
    assert found.figures["data_copying"]["value"] == pytest.approx(0.5)
    assert found.figures["precision"]["value"] > 0.9
    assert found.figures["recognised"]["value"] > 0.8
    assert found.figures["frechet"]["value"] < 0.3
    assert found.figures["recognised"]["low"] < found.figures["recognised"]["value"]
    assert set(found.classes.tolist()) == {-1, *range(10)}


def test_who_hands_out_what_was_learnt_from_is_said_to_copy() -> None:
    found = figures(some_of(digits()[0], 400))
    assert found["data_copying"] == 1.0
    assert found["precision"] == 1.0
    assert found["recall"] > 0.85
    assert found["coverage"] > 0.85


def test_recall_and_coverage_are_by_as_many_as_are_held_out() -> None:
    known, _, held = digits()
    many = some_of(known, 900)
    assert len(held) < len(many)
    found, few = figures(many), many[: len(held)]
    assert found["recall"] == recall_of_samples(held, few)
    assert found["coverage"] == neighbourhood_coverage(held, few) < neighbourhood_coverage(held, many)


def test_who_makes_one_good_picture_over_and_over_has_no_recall() -> None:
    one = digits()[0][:1].repeat(400, 1, 1, 1)
    found = figures(one + 0.001 * torch.rand(one.shape, generator=torch.Generator().manual_seed(0)))
    assert found["precision"] == 1.0
    assert found["recall"] == 0.0
    assert found["coverage"] < 0.1


def test_noise_is_nothing_and_a_gaussian_fit_is_hardly_recognised() -> None:
    noise = figures(torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert noise["precision"] == noise["recognised"] == noise["data_copying"] == 0.0
    fit, held = figures(gaussian_fit(digits()[0], 400)), figures(digits()[2])
    assert fit["recognised"] < 0.3
    assert held["frechet"] < fit["frechet"] < noise["frechet"]
    assert held["energy_distance"] < fit["energy_distance"] < noise["energy_distance"]


def test_recall_looks_from_the_samples_and_precision_from_what_is_real() -> None:
    draw = torch.Generator().manual_seed(0)
    real, made = torch.randn(60, 3, generator=draw), 0.3 * torch.randn(50, 3, generator=draw)
    ways = torch.cdist(real.double(), made.double())
    around = torch.cdist(made.double(), made.double()).sort(1).values[:, 5]  # the first is itself
    assert recall_of_samples(real, made) == pytest.approx(float((ways <= around).any(1).double().mean()))
    assert recall_of_samples(real, made) < 0.6 < float(lifelike(real, made).double().mean())
    with pytest.raises(UserError, match="k is 5"):
        recall_of_samples(real, made[:5])


def test_copying_counts_held_out_examples_that_lie_further() -> None:
    draw = torch.Generator().manual_seed(0)
    known, held, made = (torch.randn(count, 2, generator=draw) for count in (30, 20, 10))
    far = [min(float((x - y).norm()) for y in known) for x in held]
    for sample, found in zip(made, data_copying(known, held, made).tolist(), strict=True):
        near = min(float((sample - y).norm()) for y in known)
        assert found == pytest.approx(sum(one > near for one in far) / 20)
    assert data_copying(known, held, held).mean() == pytest.approx(0.5)  # with itself it ties
    with pytest.raises(UserError, match="one or more of each kind"):
        data_copying(known, held[:0], made)


def test_pictures_of_another_size_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"allowed: \(K, C, H, W\)"):
        PictureJudge(torch.zeros(9, 1, 8, 8), torch.arange(9) % 2, torch.zeros(4, 1, 4, 4))
