"""Data of tasks: drawn by counters, of the ranges they promise, with nothing of the test in what is trained on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from locution.data.digits import read_digits
from locution.data.few_shot_digits import FewShotDigitsData, sort_kinds, view
from locution.data.sinusoids import SinusoidsData, draw_sinusoids
from locution.engine import Batch, TensorBatches
from locution.errors import UserError


def same(one: Batch, other: Batch) -> bool:
    names = one.inputs.keys() == other.inputs.keys()
    return names and all(torch.equal(one.inputs[n], other.inputs[n]) for n in one.inputs)


@pytest.mark.parametrize("data", [SinusoidsData(length=4, development=3, test=3), FewShotDigitsData(length=4, held=3)])
def test_a_step_of_an_epoch_and_a_seed_decides_its_tasks(data: SinusoidsData | FewShotDigitsData) -> None:
    loaded = data.load(0)
    train = loaded.train
    whole, later = list(train.epoch(1, 5)), list(train.epoch(1, 5, skip=3))
    assert (train.steps(), len(whole), len(later)) == (4, 4, 1)
    assert same(whole[3], later[0])
    for other in (whole[2], next(train.epoch(1, 6)), next(train.epoch(2, 5))):
        assert not same(whole[0], other)
    again = data.load(99)  # the run's seed has no part in what it is judged by
    for part in ("development", "test"):
        one, other = getattr(loaded, part), getattr(again, part)
        assert isinstance(one, TensorBatches)
        assert same(Batch(one.inputs), Batch(other.inputs))
    assert loaded.development is not None
    assert loaded.test is not None
    assert not same(Batch(loaded.development.inputs), Batch(loaded.test.inputs))


def test_waves_have_the_heights_and_shifts_of_the_paper() -> None:
    """Each task's points lie on one wave: two numbers explain them all, and those are spread as they should be."""
    batch = draw_sinusoids(2000, 10, 5, torch.Generator().manual_seed(0))
    x = torch.cat([batch.inputs["support"], batch.inputs["query"]], 1).double()[..., 0]  # (T, 15)
    y = torch.cat([batch.inputs["answers"], batch.targets], 1).double()[..., 0]
    basis = torch.stack([x.sin(), -x.cos()], -1)  # a sin(x - s) = a cos(s) sin(x) - a sin(s) cos(x)
    found = torch.linalg.lstsq(basis, y[..., None]).solution[..., 0]  # (T, 2)
    assert float((basis @ found[..., None] - y[..., None]).abs().max()) < 1e-4
    height, shift = found.norm(dim=1), torch.atan2(found[:, 1], found[:, 0])
    for values, low, high in ((height, 0.1, 5.0), (shift, 0.0, math.pi), (x.flatten(), -5.0, 5.0)):
        assert low - 1e-4 <= float(values.min())
        assert float(values.max()) <= high + 1e-4
        spread = (high - low) / 12**0.5
        assert abs(float(values.mean()) - (low + high) / 2) < 5 * spread / len(values) ** 0.5
        assert abs(float(values.std()) - spread) < 0.05 * spread


def rows(pictures: Tensor) -> set[bytes]:
    return {picture.numpy().tobytes() for picture in pictures.reshape(-1, 64).contiguous()}


def test_digits_held_out_are_in_no_task_that_is_trained_on() -> None:
    data = FewShotDigitsData(length=40, held=40).load(0)
    pictures, targets = read_digits()
    held = {name: rows(getattr(data, name).inputs["support"]) for name in ("development", "test")}
    assert held["development"] <= rows(torch.cat([view(pictures[(targets == 5) | (targets == 6)], v) for v in (0, 1)]))
    assert held["test"] <= rows(torch.cat([view(pictures[targets >= 7], v) for v in (0, 1)]))
    known = rows(torch.cat([view(pictures[targets <= 4], v) for v in range(8)]))
    for batch in data.train.epoch(0, 0):
        assert rows(batch.inputs["support"]) | rows(batch.inputs["query"]) <= known


def test_a_task_asks_about_other_pictures_of_the_kinds_it_shows() -> None:
    inputs, targets = read_digits()
    kinds = sort_kinds(inputs, targets, (0, 1, 2), 2, first=10)
    batch = kinds.draw(30, 3, 2, 4, torch.Generator().manual_seed(1))
    home = {key: n for n, some in zip(kinds.numbers.tolist(), kinds.pictures, strict=True) for key in rows(some)}
    assert [len(some) for some in kinds.pictures[::2]] == [int((targets == digit).sum()) for digit in (0, 1, 2)]
    orders = set()
    for row in range(30):
        shown, asked = batch.inputs["support"][row], batch.inputs["query"][row]
        classes = batch.inputs["classes"][row].tolist()
        orders.add(tuple(classes))
        assert len(set(classes)) == 3
        assert batch.inputs["answers"][row].tolist() == [0, 0, 1, 1, 2, 2]
        for pictures, answers in ((shown, batch.inputs["answers"][row]), (asked, batch.targets[row])):
            kind = [home[next(iter(rows(picture)))] for picture in pictures]
            assert kind == [classes[answer] for answer in answers.tolist()]
        assert len(rows(shown) | rows(asked)) == 3 * 6, "no picture twice"
    assert len(orders) > 20


def test_views_are_quarters_to_the_left_and_their_mirrors() -> None:
    picture = torch.tensor([[[1, 2], [3, 4]]])
    seen = [view(picture, number).flatten().tolist() for number in range(8)]
    assert seen[:4] == [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    assert len({tuple(one) for one in seen}) == 8


def test_settings_out_of_range_are_refused() -> None:
    for kind, settings, line in (
        (SinusoidsData, {"support": 0}, r"data\.support is 0; allowed: "),
        (FewShotDigitsData, {"ways": 5}, r"data\.ways is 5; allowed: 2 to 4"),
        (FewShotDigitsData, {"views": 9}, r"data\.views is 9; allowed: 1 to 8"),
        (FewShotDigitsData, {"shots": 160}, r"data\.shots is 160; allowed: 1 to 159"),
        (FewShotDigitsData, {"test": (5,)}, r"none in both"),
        (FewShotDigitsData, {"test": ()}, r"some in each"),
    ):
        with pytest.raises(UserError, match=line):
            kind(**settings)  # type: ignore[arg-type]
