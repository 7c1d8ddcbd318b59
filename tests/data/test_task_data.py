"""Sequences of tasks: what each task holds, and all of them together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.data.digits import DigitsData
from locution.data.permuted_digits import PermutedDigitsData, permuted
from locution.data.split_digits import SplitDigitsData
from locution.data.together import together
from locution.engine import TensorBatches
from locution.errors import UserError

PARTS = ("train", "development", "test")


def pixels(part: Any) -> Tensor:
    """The pictures of a part, flat (N, 64)."""
    found: Tensor = part.inputs.flatten(1)
    return found


def test_each_permuted_task_holds_all_digits_with_one_order_of_the_pixels() -> None:
    clean, data = DigitsData().load(0), PermutedDigitsData(tasks=4).load(0)
    assert list(data.tasks) == ["1", "2", "3", "4"]
    orders = []
    for task in data.tasks.values():
        train = pixels(task.train)
        for part in PARTS:
            one, plain = getattr(task, part), getattr(clean, part)
            assert torch.equal(one.targets, plain.targets)
            assert torch.equal(pixels(one).sort(1).values, pixels(plain).sort(1).values)
        orders.append(train)
    assert torch.equal(orders[0], pixels(clean.train)), "the first task has the pixels as they are"
    assert all(not torch.equal(one, other) for i, one in enumerate(orders) for other in orders[:i])


def test_the_same_order_is_put_on_all_parts_of_a_task() -> None:
    marked = torch.arange(64.0).repeat(2, 1).view(2, 1, 8, 8)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(permuted(marked, order)[0].flatten(), order.float())
    assert torch.equal(permuted(marked, order)[0], permuted(marked, order)[1])
    task, clean = PermutedDigitsData(tasks=2).load(0).tasks["2"], DigitsData().load(0)
    plain, moved = (torch.cat([pixels(getattr(data, part)) for part in PARTS]) for data in (clean, task))
    # over all parts, each column of pixels is one of the digits' own: no part has an order of its own
    assert sorted(map(tuple, plain.T.tolist())) == sorted(map(tuple, moved.T.tolist()))


@pytest.mark.parametrize("each", [1, 2, 5])
def test_each_split_task_holds_its_digits_and_all_tasks_hold_all(each: int) -> None:
    clean, data = DigitsData().load(0), SplitDigitsData(each=each).load(0)
    assert len(data.tasks) == 10 // each
    assert (data.outputs, data.labels) == (10, tuple("0123456789"))
    for part in PARTS:
        rows: list[Any] = []
        for place, task in enumerate(data.tasks.values()):
            one = getattr(task, part)
            assert one.targets.unique().tolist() == list(range(place * each, (place + 1) * each))
            rows += map(tuple, torch.cat([pixels(one), one.targets[:, None].float()], 1).tolist())
        whole = getattr(clean, part)
        everything = torch.cat([pixels(whole), whole.targets[:, None].float()], 1).tolist()
        assert sorted(rows) == sorted(map(tuple, everything))


def test_in_the_scenario_domain_only_the_place_within_the_task_is_asked_for() -> None:
    classes, domain = SplitDigitsData().load(0), SplitDigitsData(scenario="domain").load(0)
    assert (domain.outputs, domain.labels) == (2, ("0 2 4 6 8", "1 3 5 7 9"))
    for one, other in zip(classes.tasks.values(), domain.tasks.values(), strict=True):
        for part in PARTS:
            assert torch.equal(getattr(one, part).targets % 2, getattr(other, part).targets)
            assert torch.equal(getattr(one, part).inputs, getattr(other, part).inputs)


@pytest.mark.parametrize("kind", [PermutedDigitsData, SplitDigitsData])
def test_together_they_are_one_dataset_to_learn_all_at_once(kind: Any) -> None:
    data = kind(batch_size=16).load(0)
    for part in PARTS:
        whole = getattr(data, part)
        assert torch.equal(whole.inputs, torch.cat([getattr(task, part).inputs for task in data.tasks.values()]))
        assert torch.equal(whole.targets, torch.cat([getattr(task, part).targets for task in data.tasks.values()]))
    assert data.train.batch_size == 16
    assert all(task.train.batch_size == 16 and task.train.shuffle for task in data.tasks.values())
    assert not data.test.shuffle


@pytest.mark.parametrize("kind", [PermutedDigitsData, SplitDigitsData])
def test_the_split_decides_and_the_runs_seed_does_not(kind: Any) -> None:
    first, again, other = kind().load(0), kind().load(1), kind(split=1).load(0)
    for name, task in first.tasks.items():
        assert torch.equal(task.test.inputs, again.tasks[name].test.inputs)
        assert not torch.equal(task.test.inputs.sum(0), other.tasks[name].test.inputs.sum(0))
    nothing = kind(development=0.0, test=0.0, limit=100).load(0)
    assert nothing.test is None
    assert all(task.development is None for task in nothing.tasks.values())
    assert len(nothing.tasks["2" if kind is PermutedDigitsData else "2 3"].train) <= 100


def test_parts_that_one_task_lacks_are_lacking_together() -> None:
    one = Dataset(TensorBatches(torch.zeros(2, 1)), test=TensorBatches(torch.zeros(1, 1)))
    other = Dataset(TensorBatches(torch.ones(3, 1)))
    both = together({"a": one, "b": other}, "two")
    assert both.test is None
    assert both.train.targets is None  # type: ignore[attr-defined]
    assert len(both.train) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PermutedDigitsData(tasks=0), r"data\.tasks is 0; allowed: a whole number from 1"),
        (lambda: PermutedDigitsData(batch_size=0), r"data\.batch_size is 0"),
        (lambda: SplitDigitsData(each=3), r"data\.each is 3; allowed: 1, 2 or 5"),
        (
            lambda: SplitDigitsData(each=1, scenario="domain"),
            r"data\.each is 1; allowed: 2 or 5 in the scenario domain",
        ),
        (lambda: SplitDigitsData(scenario="task"), r"data\.scenario is 'task'; allowed: class or domain"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()
