"""Where memory runs out a batch is cut finer, and the update stays that of the whole batch."""

from __future__ import annotations

import copy
import logging
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.engine.memory import fitting
from locution.errors import LocutionError
from locution.optimizers.sam import SAMMethod


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def data(size: int = 16) -> TensorBatches:
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    return TensorBatches(x, x[:, :2], batch_size=size)


class Room:
    """An objective for which only so many examples fit into memory."""

    def __init__(self, room: int, after: int = 0) -> None:
        self.room, self.after, self.sizes = room, after, []  # type: ignore[var-annotated]

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        self.sizes.append(len(batch))
        if len(batch) > self.room and len(self.sizes) > self.after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        output = model(batch.inputs)
        return output, ((output - batch.targets) ** 2).mean()


def engine(objective: Room, *methods: object, **settings: object) -> Engine:
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    return Engine(network(), turn, methods, device="cpu", **settings)  # type: ignore[arg-type]


def same(one: Engine, other: Engine, **tolerance: float) -> None:
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(value, other.model.state_dict()[name], **tolerance)


@pytest.mark.parametrize(("room", "finer"), [(8, 2), (5, 4), (1, 16)])
def test_the_update_stays_that_of_the_whole_batch(room: int, finer: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tight = engine(Room(room)).fit(data(), steps=6)
    assert tight.accumulate == finer
    assert len(caplog.records) == finer.bit_length() - 1  # said each time it is halved, and not again
    assert f"cut into {finer} micro-batches" in caplog.records[-1].getMessage()
    same(tight, engine(Room(99)).fit(data(), steps=6), atol=1e-6, rtol=1e-5)
    same(tight, engine(Room(99), accumulate=finer).fit(data(), steps=6), atol=0.0, rtol=0.0)


def test_memory_that_runs_out_amid_a_pass_leaves_no_gradient_behind() -> None:
    """The second of two micro-batches fails: the first one's gradient must not be counted twice."""
    tight = Room(4, after=1)
    done = engine(tight, accumulate=2).fit(data(), steps=1)
    assert tight.sizes == [8, 8, 4, 4, 4, 4]
    same(done, engine(Room(99)).fit(data(), steps=1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("after", [0, 1])
def test_sam_goes_on_from_where_it_stood(after: int) -> None:
    """Memory runs out in its first pass, or in the second, at the neighbour."""
    tight = engine(Room(8, after), SAMMethod(rho=0.5)).fit(data(), steps=4)
    same(tight, engine(Room(99), SAMMethod(rho=0.5)).fit(data(), steps=4), atol=1e-6, rtol=1e-5)


def test_one_example_that_does_not_fit_is_said_in_one_line() -> None:
    with pytest.raises(LocutionError, match="memory ran out on a single example; allowed: ") as caught:
        engine(Room(0)).fit(data(), steps=1)
    assert "\n" not in str(caught.value)


def test_the_finer_cut_survives_a_kill() -> None:
    begun = engine(Room(8)).fit(data(), steps=2)
    kept = copy.deepcopy(begun.state_dict())
    again = engine(Room(8))
    again.load_state_dict(kept)
    again.prepare(data(), None, 4)
    assert again.accumulate == 2


def test_other_errors_pass() -> None:
    def broken(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        raise RuntimeError("shapes do not fit")

    turn = Turn(broken, partial(torch.optim.SGD, lr=0.1))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        Engine(network(), turn, device="cpu").fit(data(), steps=1)


def test_a_gradient_is_counted_once_however_often_it_is_begun() -> None:
    assert engine(Room(5)).fit(data(), steps=6).watch.gradients == 6
    assert engine(Room(5), SAMMethod()).fit(data(), steps=6).watch.gradients == 12


def test_a_ragged_cut_goes_on_until_no_example_has_company() -> None:
    tight = engine(Room(1)).fit(data(size=3), steps=1)  # three examples: two and one, then one each
    same(tight, engine(Room(9)).fit(data(size=3), steps=1), atol=1e-6, rtol=1e-5)


def test_under_data_parallel_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(Room(8)).fit(TensorBatches(torch.zeros(4, 4), torch.zeros(4, 2)), steps=1)
    monkeypatch.setattr(made, "group", SimpleNamespace(world=2, rank=1))
    with pytest.raises(LocutionError, match=r"memory ran out in process 1; allowed: accumulate=2, or less data"):
        fitting(made, made.turns[0], [(Batch(torch.zeros(16, 4), torch.zeros(16, 2)), 1.0)])
