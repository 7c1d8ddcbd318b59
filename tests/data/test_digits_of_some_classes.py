"""Digits of some classes, few of each: fine-tuning learns from these."""

from __future__ import annotations

import pytest
import torch

from locution.data.digits import DigitsData
from locution.engine import TensorBatches
from locution.errors import UserError


def parts(data: DigitsData) -> list[TensorBatches]:
    found = data.load(0)
    return [found.train, found.development, found.test]  # type: ignore[list-item]


def rows(pictures: torch.Tensor) -> set[bytes]:
    return {picture.numpy().tobytes() for picture in pictures}


def test_two_halves_of_the_digits_make_up_the_whole() -> None:
    whole, first, last = (parts(DigitsData(classes=classes)) for classes in ((), (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)))
    for all_, one, other in zip(whole, first, last, strict=True):
        assert rows(all_.inputs) == rows(one.inputs) | rows(other.inputs)
        assert len(all_) == len(one) + len(other)
        assert torch.equal(one.targets, all_.targets[all_.targets < 5])
        assert torch.equal(other.targets + 5, all_.targets[all_.targets >= 5])


def test_ten_of_each_are_ten_of_each_and_what_judges_stays_whole() -> None:
    few, all_ = DigitsData(classes=(5, 6, 7, 8, 9), per_class=10), DigitsData(classes=(5, 6, 7, 8, 9))
    (train, development, test), whole = parts(few), parts(all_)
    assert train.targets.bincount().tolist() == [10] * 5
    assert rows(train.inputs) < rows(whole[0].inputs)
    assert torch.equal(development.inputs, whole[1].inputs)
    assert torch.equal(test.inputs, whole[2].inputs)
    assert not torch.equal(train.inputs, parts(DigitsData(classes=(5, 6, 7, 8, 9), per_class=10, split=1))[0].inputs)


def test_classes_are_numbered_in_the_order_they_are_named() -> None:
    found = DigitsData(classes=(7, 2)).load(0)
    plain = DigitsData().load(0)
    assert found.labels == ("7", "2")
    assert found.outputs == 2
    assert found.test is not None
    assert plain.test is not None
    names = torch.tensor([7, 2])[found.test.targets]
    assert torch.equal(names, plain.test.targets[torch.isin(plain.test.targets, torch.tensor([2, 7]))])


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"classes": (3,)}, r"data\.classes"),
        ({"classes": (3, 3)}, r"data\.classes"),
        ({"classes": (3, 10)}, r"data\.classes"),
        ({"per_class": -1}, r"data\.per_class"),
        ({"per_class": 3, "limit": 30}, r"data\.limit is '30 and data\.per_class 3'"),
    ],
)
def test_refuses_what_cannot_be(wrong: dict[str, object], match: str) -> None:
    with pytest.raises(UserError, match=match):
        DigitsData(**wrong)  # type: ignore[arg-type]


def test_more_of_a_class_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.per_class is 500; allowed: up to 1\d\d, the examples of class"):
        DigitsData(per_class=500).load(0)
