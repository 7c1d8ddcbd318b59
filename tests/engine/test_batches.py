"""Sources of batches: every epoch starts afresh from its number and the seed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from locution.engine import Batch, LoaderBatches, TensorBatches
from locution.engine.batches import as_batches, placed
from locution.errors import UserError


def flat(batches: Iterator[Batch]) -> list[int]:
    return [int(value) for batch in batches for value in batch.inputs]


def test_an_epoch_shows_everything_once_with_its_own_target() -> None:
    data = TensorBatches(torch.arange(11), torch.arange(11) * 2, batch_size=4)
    batches = list(data.epoch(3, seed=5))
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert sorted(flat(iter(batches))) == list(range(11))
    assert all(torch.equal(batch.inputs * 2, batch.targets) for batch in batches)
    assert data.steps() == 3


def test_order_depends_on_seed_and_epoch_alone() -> None:
    data = TensorBatches(torch.arange(50), batch_size=7)
    once = flat(data.epoch(2, seed=0))
    torch.rand(3)
    assert flat(data.epoch(2, seed=0)) == once
    assert flat(data.epoch(3, seed=0)) != once
    assert flat(data.epoch(2, seed=1)) != once


@pytest.mark.parametrize("nested", [False, True])
def test_skipping_leaves_the_rest_as_it_was(nested: bool) -> None:
    rows = torch.arange(23)
    data = TensorBatches({"x": rows} if nested else rows, batch_size=5)

    def seen(batches: Iterator[Batch]) -> list[int]:
        return [int(v) for b in batches for v in (b.inputs["x"] if nested else b.inputs)]

    assert seen(data.epoch(1, 0, skip=2)) == seen(data.epoch(1, 0))[10:]
    assert seen(data.epoch(1, 0, skip=5)) == []


def test_a_shuffling_loader_repeats_its_epochs() -> None:
    loader = DataLoader(TensorDataset(torch.arange(20), torch.arange(20)), batch_size=3, shuffle=True)
    source = as_batches(loader)
    assert isinstance(source, LoaderBatches)
    assert source.steps() == 7
    whole = flat(source.epoch(1, seed=4))
    torch.rand(5)
    assert flat(source.epoch(1, seed=4)) == whole
    assert flat(source.epoch(1, seed=4, skip=4)) == whole[12:]
    assert flat(source.epoch(2, seed=4)) != whole


def test_a_list_of_pairs_is_a_source_and_a_generator_function_too() -> None:
    source = as_batches([(torch.zeros(2, 1), torch.ones(2))])
    assert [len(batch) for batch in source.epoch(0, 0)] == [2]
    assert source.steps() == 1
    assert LoaderBatches(iter([])).steps() is None


def test_data_stay_where_they_are_on_the_processor() -> None:
    data = TensorBatches(torch.arange(4), batch_size=2)
    assert placed(data, torch.device("cpu")) is data
    moved = data.to(torch.device("meta"))
    assert moved.inputs.device.type == "meta"
    assert moved.batch_size == 2


def test_no_room_on_the_device_leaves_the_data_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = TensorBatches(torch.arange(4), batch_size=2)

    def full(self: TensorBatches, device: torch.device) -> TensorBatches:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(TensorBatches, "to", full)
    assert placed(data, torch.device("cuda")) is data


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.batch_size is 0"):
        TensorBatches(torch.arange(4), batch_size=0)


def test_all_that_a_source_is_moves_with_it() -> None:
    rows = torch.arange(6)
    settings = {"batch_size": 4, "shuffle": False, "beside": {"a": rows}, "beside_size": 3}
    data = TensorBatches(rows, rows, weights=torch.ones(6), difficulty=torch.ones(6), **settings)  # type: ignore[arg-type]
    moved = data.to(torch.device("meta"))
    tensors = (moved.inputs, moved.targets, moved.weights, moved.beside["a"])
    assert all(isinstance(one, torch.Tensor) and one.device.type == "meta" for one in tensors)
    assert (moved.batch_size, moved.shuffle, moved.beside_size) == (4, False, 3)
    assert moved.difficulty is data.difficulty


def test_three_of_a_kind_are_no_pair() -> None:
    three = (torch.zeros(2), torch.ones(2), torch.ones(2))
    (batch,) = as_batches([three]).epoch(0, 0)
    assert batch.targets is None
    assert len(batch.inputs) == 3
