"""The data parts: what is held out is held out, each class by its share, whatever the run's seed."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
import torch

from locution.data.dataset import apportion, first_batch, steps_per_epoch, stratified_split
from locution.data.digits import DigitsData
from locution.data.line import LineData
from locution.engine import TensorBatches
from locution.errors import UserError


def parts(data: DigitsData, seed: int = 0) -> list[TensorBatches]:
    found = data.load(seed)
    return [found.train, found.development, found.test]  # type: ignore[list-item]


def test_digits_are_split_without_overlap_and_each_class_by_its_share() -> None:
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    found = parts(DigitsData())
    rows = torch.cat([part.inputs.flatten(1) for part in found]).mul(16)
    whole = sorted(map(tuple, rows.tolist()))
    assert whole == sorted(map(tuple, pixels.tolist()))
    there = Counter(digits.tolist())
    for part in found[1:]:
        assert len(part) == round(0.15 * len(digits))
        for digit, count in Counter(part.targets.tolist()).items():
            assert abs(count - 0.15 * there[digit]) < 1


def test_pixels_are_scaled_and_pictures_keep_their_labels() -> None:
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    known = {tuple(row): int(digit) for row, digit in zip(pixels.tolist(), digits, strict=True)}
    for part in parts(DigitsData()):
        assert part.inputs.shape[1:] == (1, 8, 8)
        assert part.inputs.min() == 0
        assert part.inputs.max() == 1
        rows = part.inputs.flatten(1).mul(16).tolist()
        assert [known[tuple(row)] for row in rows] == part.targets.tolist()


def test_the_split_has_a_seed_of_its_own_and_the_order_of_learning_has_the_runs() -> None:
    first, again, other = parts(DigitsData(), 0), parts(DigitsData(), 1), parts(DigitsData(split=1))
    assert torch.equal(first[2].inputs, again[2].inputs)
    assert not torch.equal(first[2].inputs, other[2].inputs)
    a, b = (next(first[0].epoch(0, seed)).inputs for seed in (0, 1))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("limit", [10, 200, 5000])
def test_a_limit_keeps_so_many_to_learn_from_and_holds_out_the_same(limit: int) -> None:
    few, all_ = parts(DigitsData(limit=limit)), parts(DigitsData())
    assert len(few[0]) == min(limit, len(all_[0]))
    assert torch.equal(few[2].inputs, all_[2].inputs)
    assert len(set(few[0].targets.tolist())) == 10


def test_nothing_may_be_held_out() -> None:
    data = DigitsData(development=0.0, test=0.0).load(0)
    assert data.development is None
    assert data.test is None
    assert data.describe() == "digits: 1797 to learn from; each (1, 8, 8) -> 10 classes"
    assert data.classes == 10


def test_the_line_is_one_batch_in_order() -> None:
    data = LineData(slope=3.0, intercept=-1.0, points=4).load(seed=5)
    (batch,) = data.train.epoch(7, seed=5)
    assert batch.targets.flatten().tolist() == [-1.0, 2.0, 5.0, 8.0]
    assert data.classes is None
    assert len(first_batch(data)) == 4


def test_shares_add_up_and_no_class_is_off_by_one_or_more() -> None:
    for share in (0.1, 0.15, 1 / 3, 0.5, 0.77):
        sizes = [178, 182, 177, 183, 1, 2, 3]
        counts = apportion(sizes, share)
        assert sum(counts) == round(share * sum(sizes))
        assert all(abs(count - share * size) < 1 for count, size in zip(counts, sizes, strict=True))


def test_a_split_is_a_partition() -> None:
    classes = torch.randint(3, (50,), generator=torch.Generator().manual_seed(0))
    found = stratified_split(classes, (0.2, 0.3), seed=0)
    assert sorted(torch.cat(found).tolist()) == list(range(50))
    assert not torch.equal(found[1], stratified_split(classes, (0.2, 0.3), seed=1)[1])


@pytest.mark.parametrize("batch_size", [1, 7, 32, 2000])
def test_an_epoch_counts_its_steps(batch_size: int) -> None:
    train = DigitsData(batch_size=batch_size).load(0).train
    assert isinstance(train, TensorBatches)
    assert steps_per_epoch(len(train), batch_size) == train.steps() == len(list(train.epoch(0, 0)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (partial(DigitsData, batch_size=0), "data.batch_size is 0"),
        (partial(DigitsData, test=-0.1), "data.test is -0.1"),
        (partial(DigitsData, development=0.6, test=0.5), "something is left to learn from"),
        (partial(DigitsData, limit=-1), "data.limit is -1"),
        (partial(LineData, points=0), "data.points is 0"),
        (partial(stratified_split, torch.zeros(3), (0.5, 0.5), seed=0), "leave something over"),
    ],
)
def test_settings_out_of_range_are_refused(make: partial[object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()
