"""What comes beside a batch: dealt out by a stream of its own, cut with it, and exact in the loss however it is cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Method, Plan, Step, TensorBatches, Turn
from locution.engine.method import check_whole, rebuilt
from locution.errors import UserError


def source(size: int = 4, beside_size: int | None = None) -> TensorBatches:
    stream = torch.Generator().manual_seed(1)
    x, other = torch.randn(10, 2, generator=stream), torch.randn(7, 2, generator=stream)
    y = x.sum(1, keepdim=True)
    weights = torch.arange(1.0, 11.0)
    beside = {"unlabelled": other, "number": torch.arange(7)}
    return TensorBatches(x, y, weights=weights, batch_size=size, beside=beside, beside_size=beside_size)


def test_every_other_example_comes_once_before_any_comes_twice() -> None:
    dealt = torch.cat([batch.beside["number"] for batch in source(2, beside_size=3).epoch(0, seed=0)]).tolist()
    assert len(dealt) == 15  # 5 batches of 3
    assert sorted(dealt[:7]) == sorted(dealt[7:14]) == list(range(7))
    assert dealt[:7] != dealt[7:14]


def test_epochs_differ_and_each_name_is_shuffled_by_itself() -> None:
    data = source()
    pairs = [(batch.beside["unlabelled"], batch.beside["number"]) for batch in data.epoch(1, seed=3)]
    assert not all(torch.equal(rows, data.beside["unlabelled"][numbers]) for rows, numbers in pairs)
    first = [batch.beside["number"].tolist() for batch in data.epoch(0, seed=0)]
    assert first == [batch.beside["number"].tolist() for batch in data.epoch(0, seed=0)]
    assert first != [batch.beside["number"].tolist() for batch in data.epoch(1, seed=0)]
    assert [len(rows) for rows in first] == [4, 4, 4]


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_what_is_skipped_is_skipped_beside_too(skip: int) -> None:
    whole = [batch.beside["number"].tolist() for batch in source().epoch(2, seed=0)]
    assert [batch.beside["number"].tolist() for batch in source().epoch(2, seed=0, skip=skip)] == whole[skip:]


def test_the_examples_themselves_come_as_they_would_alone() -> None:
    alone = TensorBatches(source().inputs, source().targets, batch_size=4)
    both = zip(alone.epoch(0, 0), source().epoch(0, 0), strict=True)
    assert all(torch.equal(one.inputs, other.inputs) for one, other in both)


def test_pieces_know_where_they_began() -> None:
    batch = Batch(torch.arange(7), beside={"a": torch.arange(5)})
    pieces = [piece for piece, _ in batch.split(3)]
    assert [piece.start for piece in pieces] == [0, 3, 6]
    assert [piece.beside["a"].tolist() for piece in pieces] == [[0, 1], [2, 3], [4]]
    assert [piece.starts["a"] for piece in pieces] == [0, 2, 4]
    again = [one for piece in pieces for one, _ in piece.split(2)]
    assert all(one.inputs.tolist() == list(range(one.start, one.start + len(one))) for one in again)
    assert all(
        one.beside["a"].tolist() == list(range(one.starts["a"], one.starts["a"] + len(one.beside["a"])))
        for one in again
    )
    few = [piece.beside["a"].tolist() for piece, _ in Batch(torch.arange(4), beside={"a": torch.arange(2)}).split(4)]
    assert few == [[0], [1], [], []]


@pytest.mark.parametrize("tree", [False, True])
def test_a_whole_batch_begins_at_its_own_first_row(tree: bool) -> None:
    rows = torch.arange(10)
    data = TensorBatches({"x": rows} if tree else rows, batch_size=4)
    assert [batch.start for batch in data.epoch(0, 0)] == [0, 0, 0]
    assert [piece.start for piece, _ in next(iter(data.epoch(0, 0))).split(2)] == [0, 2]


@dataclass
class Smallness(Method):
    """Adds the mean square of the outputs on what is beside: a term with a count of its own."""

    name: ClassVar[str] = "smallness"

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        other = step.model(step.batch.beside["unlabelled"])  # (M, 1), of this piece
        return loss + step.mean(other.square().sum(1), len(step.whole.beside["unlabelled"]))


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    assert batch.weights is not None
    return output, ((output - batch.targets).square().sum(1) * batch.weights).sum() / batch.weights.sum()


def trained(accumulate: int, size: int = 4) -> Tensor:
    torch.manual_seed(0)
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05))
    engine = Engine(nn.Linear(2, 1), turn, [Smallness()], accumulate=accumulate, device="cpu")
    return engine.fit(source(size, beside_size=5), epochs=2).model.weight.detach()  # type: ignore[union-attr]


@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_a_term_of_the_loss_with_a_count_of_its_own_adds_up(accumulate: int) -> None:
    torch.testing.assert_close(trained(accumulate), trained(1), rtol=0, atol=1e-6)


def test_the_whole_step_is_that_of_the_sum_written_by_hand() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(2):
        for batch in source(4, beside_size=5).epoch(epoch, seed=0):
            optimizer.zero_grad()
            loss = objective(model, batch)[1] + model(batch.beside["unlabelled"]).square().mean()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(trained(3), model.weight.detach(), rtol=0, atol=1e-6)


def test_data_beside_that_hold_nothing_are_refused() -> None:
    with pytest.raises(UserError, match=r"beside\['none'\] holds no example"):
        TensorBatches(torch.zeros(2, 1), beside={"none": torch.zeros(0, 1)})


@dataclass
class Backwards(Method):
    """Goes through the data from behind."""

    name: ClassVar[str] = "backwards"

    def data(self, batches: TensorBatches, plan: Plan) -> TensorBatches:
        return TensorBatches(batches.inputs.flip(0), batches.targets.flip(0), batch_size=1, shuffle=False)


def test_a_method_may_change_where_batches_come_from() -> None:
    seen: list[float] = []

    def look(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        seen.append(batch.inputs.item())
        output = model(batch.inputs)
        return output, output.square().mean()

    x = torch.arange(3.0)[:, None]
    turn = Turn(look, partial(torch.optim.SGD, lr=0.1))
    data = TensorBatches(x, x, batch_size=1, shuffle=False)
    Engine(nn.Linear(1, 1), turn, [Backwards()], device="cpu").fit(data, epochs=2)
    assert seen == [2.0, 1.0, 0.0] * 2


@dataclass
class Spread(Method):
    """A term that is no mean over examples."""

    name: ClassVar[str] = "spread"
    whole_batch: ClassVar[bool] = True

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        return loss + step.output.var()


def test_what_compares_whole_batches_refuses_micro_batches() -> None:
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05))
    Engine(nn.Linear(2, 1), turn, [Spread()], device="cpu").fit(source(), steps=1)
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05))
    with pytest.raises(UserError, match="'spread' compares whole batches, and accumulate=2") as refused:
        Engine(nn.Linear(2, 1), turn, [Spread()], device="cpu", accumulate=2).fit(source(), steps=1)
    assert "\n" not in str(refused.value)


def test_without_a_run_no_other_model_can_be_opened() -> None:
    with pytest.raises(UserError, match="'digits' cannot be opened outside of a run; allowed: "):
        Plan().open("digits")


def test_the_seed_decides_what_comes_beside() -> None:
    first, other = ([batch.beside["number"].tolist() for batch in source().epoch(0, seed=seed)] for seed in (0, 1))
    assert first != other


def test_no_example_beside_is_no_size() -> None:
    with pytest.raises(UserError, match=r"data\.beside_size is 0; allowed: a whole number from 1"):
        source(beside_size=0)


def test_nothing_of_a_batch_gets_lost_on_its_way() -> None:
    beside = {"a": torch.arange(5)}
    batch = Batch(torch.arange(6.0), torch.arange(6), torch.ones(6), beside, start=4, starts={"a": 3})
    other = batch.with_targets(torch.zeros(6))
    assert (other.beside, other.start, other.starts) == (beside, 4, {"a": 3})
    assert other.weights is batch.weights
    rows = batch.rows(2, 4)
    assert rows.beside["a"].tolist() == [0, 1, 2, 3, 4]
    assert (rows.start, rows.starts) == (6, {"a": 3})
    away = batch.to(torch.device("meta"))
    assert away.weights is not None
    tensors = (away.inputs, away.targets, away.weights, away.beside["a"])
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (away.start, away.starts) == (4, {"a": 3})


def test_a_piece_without_rows_beside_begins_at_their_end() -> None:
    pieces = [piece for piece, _ in Batch(torch.arange(4), beside={"a": torch.arange(2)}).split(4)]
    assert [piece.starts["a"] for piece in pieces] == [0, 1, 2, 2]


def test_whole_batches_are_needed_in_several_processes_too() -> None:
    alone, two = (SimpleNamespace(methods=[Spread()], accumulate=1, group=SimpleNamespace(world=n)) for n in (1, 2))
    check_whole(alone)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"and accumulate=1 in 2 process\(es\) came"):
        check_whole(two)  # type: ignore[arg-type]


@dataclass
class Tells(Method):
    """Keeps what a step says of itself on each pass."""

    name: ClassVar[str] = "tells"
    seen: list[tuple[int, float, float]] = field(default_factory=list)

    def batch(self, batch: Batch, step: Step) -> Batch:
        return replace(batch, inputs=batch.inputs + 100.0)

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        again = step.objective(step.model, step.batch)[1]
        self.seen.append((step.epoch, float(step.whole.inputs.min()), float((again - loss).detach())))
        return loss


def test_a_step_knows_its_epoch_its_whole_batch_as_it_was_changed_and_what_is_minimised() -> None:
    def squares(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.inputs, model(batch.inputs).square().mean()

    def fourths(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.inputs, model(batch.inputs).pow(4).mean()

    tells = Tells()
    turns = [Turn(one, partial(torch.optim.SGD, lr=0.0)) for one in (squares, fourths)]
    Engine(nn.Linear(1, 1), turns, [tells], device="cpu").fit([(torch.ones(2, 1), torch.ones(2, 1))], epochs=2)
    assert [epoch for epoch, _, _ in tells.seen] == [0, 0, 1, 1]
    assert {least for _, least, _ in tells.seen} == {101.0}
    assert {difference for _, _, difference in tells.seen} == {0.0}


@dataclass
class Surgeon(Method):
    """Wraps a model while it trains, and opens another to learn from."""

    name: ClassVar[str] = "surgeon"
    told: list[int] = field(default_factory=list)

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.told.append(plan.seed)
        plan.open("nowhere")
        return nn.Sequential(model, nn.Identity())

    def trained(self, model: nn.Module) -> nn.Module:
        return nn.Sequential(model, nn.Flatten())


def test_a_model_is_shaped_again_as_training_left_it() -> None:
    method = Surgeon()
    model = rebuilt(nn.Linear(1, 1), [method], seed=7)
    assert [type(part).__name__ for part in model.modules()] == ["Sequential"] * 2 + ["Linear", "Identity", "Flatten"]
    assert method.told == [7]
