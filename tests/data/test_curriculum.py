"""A curriculum: who is let in when, in which order, and that everything else stays as it was."""

from __future__ import annotations

import copy
from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from locution.data.curriculum import CurriculumMethod, PacedBatches, ranks, share_at, teachers_loss
from locution.data.mixup import MixupMethod
from locution.engine import Engine, Observer, Plan, Record, Stop, TensorBatches, Turn
from locution.engine.batch import Batch
from locution.engine.sequence import TaskSequence
from locution.errors import UserError
from locution.optimizers.sam import SAMMethod

COUNT, STEPS = 40, 12


def data(size: int = 16, difficulty: bool = True, **more: Any) -> TensorBatches:
    """40 examples of 3 classes; example i is the (7 i mod 40)-th hardest."""
    stream = torch.Generator().manual_seed(7)
    x = torch.randn(COUNT, 6, generator=stream)
    y = (x[:, :3] + torch.randn(COUNT, 3, generator=stream)).argmax(1)
    hard = (7 * torch.arange(COUNT) % COUNT).float() if difficulty else None
    return TensorBatches(x, y, batch_size=size, difficulty=hard, **more)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def engine(*methods: Any, noisy: bool = False, spy: list[Batch] | None = None, **settings: Any) -> Engine:
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if noisy else []
    model = nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, 3))

    def watched(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        if spy is not None:
            spy.append(batch)
        return objective(model, batch)

    turn = Turn(watched, partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    return Engine(model, turn, methods, device="cpu", log_every=1, **settings)


def weights(trained: Engine) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# How many are let in ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("progress", [0.0, 0.1, 0.25, 0.5, 0.99, 1.0, 7.0])
def test_pacing_is_that_of_the_papers(progress: float, start: float) -> None:
    assert share_at(progress, "linear", start) == pytest.approx(min(1, progress * (1 - start) + start))
    root = min(1, (progress * (1 - start**2) + start**2) ** 0.5)
    assert share_at(progress, "root", start) == pytest.approx(root)
    # Hacohen and Weinshall: starting_percent x inc ** floor(step / step_length), inc such that it ends at 1
    buckets, length, step = 4, 25, round(progress * 100)
    inc = (1 / start) ** (1 / buckets)
    assert share_at(progress, "step", start, buckets) == pytest.approx(min(1, start * inc ** (step // length)))


@pytest.mark.parametrize("pacing", ["linear", "root", "step"])
def test_pacing_begins_at_its_start_never_falls_and_ends_with_all(pacing: Any) -> None:
    shares = [share_at(i / 100, pacing, 0.05, 5) for i in range(101)]
    assert shares[0] == pytest.approx(0.05)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(set(shares)) == (6 if pacing == "step" else 101)


# Which examples stand where --------------------------------------------------------------------------------


def test_ties_are_ranked_by_the_seed_and_the_rest_by_difficulty() -> None:
    hard = torch.tensor([1.0, 0.0] * 50)
    one, again, other = ranks(hard, 0), ranks(hard, 0), ranks(hard, 1)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert sorted(one.tolist()) == list(range(100))
    assert sorted(one[hard == 0].tolist()) == list(range(50)), "the easy half comes first"
    assert one[hard == 0].tolist() != sorted(one[hard == 0].tolist()), "its order is drawn, not that of the data"


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.77])
def test_only_the_easiest_are_let_in_and_each_comes_equally_often(share: float) -> None:
    source = data(size=16)
    paced = PacedBatches(source, ranks(source.difficulty, 0), lambda step: share)  # type: ignore[arg-type]
    seen = torch.cat([batch.inputs for batch in paced.epoch(3, seed=1)])
    assert len(seen) == COUNT
    let_in = round(share * COUNT)
    number = {tuple(row): i for i, row in enumerate(source.inputs.tolist())}
    counts = Counter(number[tuple(row)] for row in seen.tolist())
    easiest = source.difficulty.argsort()[:let_in].tolist()  # type: ignore[union-attr]
    assert set(counts) == set(easiest)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_when_all_are_let_in_the_batches_are_those_of_the_plain_order() -> None:
    source = data(weights=torch.arange(COUNT).float(), beside={"unlabelled": torch.randn(11, 2)})
    paced = PacedBatches(source, ranks(source.difficulty, 0), lambda step: 1.0)  # type: ignore[arg-type]
    for number in range(3):
        for one, other in zip(paced.epoch(number, 5), source.epoch(number, 5), strict=True):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.targets, other.targets)
            assert torch.equal(one.weights, other.weights)  # type: ignore[arg-type]
            assert torch.equal(one.beside["unlabelled"], other.beside["unlabelled"])


def test_targets_weights_and_trees_stay_with_their_inputs_and_what_is_beside_is_as_it_was() -> None:
    numbers = torch.arange(10)
    beside = {"unlabelled": torch.arange(7)}
    source = TensorBatches(
        {"a": numbers, "b": (numbers + 100,)}, numbers + 200, weights=numbers + 300.0, batch_size=4, beside=beside
    )
    paced = PacedBatches(source, 9 - numbers, lambda step: 0.3)
    found = list(paced.epoch(0, 0))
    assert [len(batch) for batch in found] == [4, 4, 2]
    assert [batch.start for batch in found] == [0, 0, 0], "each is a whole batch"
    for batch, plain in zip(found, source.epoch(0, 0), strict=True):
        chosen = batch.inputs["a"]
        assert set(chosen.tolist()) <= {7, 8, 9}, "the last ones were the easiest"
        assert torch.equal(batch.inputs["b"][0], chosen + 100)
        assert torch.equal(batch.targets, chosen + 200)
        assert torch.equal(batch.weights, chosen + 300.0)  # type: ignore[arg-type]
        assert torch.equal(batch.beside["unlabelled"], plain.beside["unlabelled"])


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_any_step_of_any_epoch_is_found_without_those_before_it(skip: int) -> None:
    source = data()
    rank = ranks(source.difficulty, 0)  # type: ignore[arg-type]
    paced = PacedBatches(source, rank, lambda step: share_at(step / 9, "linear", 0.1))
    whole = [batch.inputs for batch in paced.epoch(1, 0)]
    rest = [batch.inputs for batch in paced.epoch(1, 0, skip)]
    assert len(rest) == len(whole) - skip
    assert all(torch.equal(one, other) for one, other in zip(whole[skip:], rest, strict=True))


def test_the_place_of_a_hard_example_goes_to_the_one_of_its_rank_times_the_share() -> None:
    source = TensorBatches(torch.arange(10), batch_size=4)
    paced = PacedBatches(source, torch.arange(10), lambda step: 0.3 + 0.3 * step)
    for step, (batch, plain) in enumerate(zip(paced.epoch(0, 0), source.epoch(0, 0), strict=True)):
        expected = [rank * (3 + 3 * step) // 10 for rank in plain.inputs.tolist()]
        assert batch.inputs.tolist() == expected


def test_a_source_that_is_not_shuffled_stays_so_and_what_is_beside_is_dealt_from_the_step_on() -> None:
    beside = {"unlabelled": torch.arange(7)}
    source = TensorBatches(torch.arange(10), batch_size=4, shuffle=False, beside=beside, beside_size=3)
    paced = PacedBatches(source, torch.arange(10), lambda step: 0.5)
    assert torch.cat([batch.inputs for batch in paced.epoch(0, 0)]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for one, other in zip(paced.epoch(0, 0, skip=1), source.epoch(0, 0, skip=1), strict=True):
        assert torch.equal(one.beside["unlabelled"], other.beside["unlabelled"])


# The method in training ------------------------------------------------------------------------------------


def hardest(batch: Batch, source: TensorBatches) -> float:
    """The highest difficulty in a batch."""
    number = {tuple(row): i for i, row in enumerate(source.inputs.tolist())}
    return max(float(source.difficulty[number[tuple(row)]]) for row in batch.inputs.tolist())  # type: ignore[index]


def test_training_begins_with_the_easiest_and_ends_as_without_a_curriculum() -> None:
    source, seen, plain = data(size=8), [], []  # type: ignore[var-annotated]
    method = CurriculumMethod(pacing="step", start=0.25, buckets=1, until=0.5)
    engine(method, spy=seen).fit(source, steps=20)
    engine(spy=plain).fit(source, steps=20)
    assert [len(batch) for batch in seen] == [len(batch) for batch in plain]
    assert all(hardest(batch, source) < 10 for batch in seen[:10]), "a quarter of 40 for half of the steps"
    assert max(hardest(batch, source) for batch in seen[:10]) == 9
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(seen[10:], plain[10:], strict=True))


def test_progress_is_counted_over_all_epochs() -> None:
    source, seen = data(size=8), []  # type: ignore[var-annotated]
    engine(CurriculumMethod(pacing="linear", start=0.1, until=1.0), spy=seen).fit(source, epochs=4)
    bounds = [round((0.1 + 0.9 * step / 20) * COUNT) for step in range(20)]
    found = [hardest(batch, source) for batch in seen]
    assert all(hard < bound for hard, bound in zip(found, bounds, strict=True))
    assert max(found[-5:]) > 30 > 15 > max(found[:5])


class StopAt(Observer):
    """Stops after a step, and keeps what a checkpoint would hold."""

    name = "stop_at"

    def __init__(self, step: int) -> None:
        self.at, self.kept = step, {}

    def start(self, engine: Engine) -> None:
        self.engine = engine

    def watch(self, record: Record) -> Stop | None:
        if record.kind == "step" and record.step == self.at:
            self.kept = copy.deepcopy(self.engine.state_dict())
            return Stop("killed")
        return None


@pytest.mark.parametrize("at", [1, 5, 6, 9])
def test_a_run_that_was_stopped_goes_on_to_the_bit(at: int) -> None:
    def build(**settings: Any) -> Engine:
        return engine(CurriculumMethod(), MixupMethod(), noisy=True, accumulate=2, seed=3, **settings)

    whole = build().fit(data(), steps=STEPS)
    stop = StopAt(at)
    build(observers=[stop]).fit(data(), steps=STEPS)
    again = build()
    again.load_state_dict({**stop.kept, "observers": {}})
    again.fit(data(), steps=STEPS)
    assert same(weights(whole), weights(again))


@pytest.mark.parametrize("size", [16, 11])
def test_four_micro_batches_equal_one_batch(size: int) -> None:
    one = engine(CurriculumMethod()).fit(data(size), steps=STEPS)
    four = engine(CurriculumMethod(), accumulate=4).fit(data(size), steps=STEPS)
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(four)[name], tensor, rtol=0, atol=1e-6)


def test_it_goes_with_other_methods_in_whatever_order_they_are_listed() -> None:
    methods = [CurriculumMethod(), MixupMethod(), SAMMethod()]
    one = engine(*methods, noisy=True).fit(data(), steps=6)
    other = engine(*reversed(methods), noisy=True).fit(data(), steps=6)
    assert same(weights(one), weights(other))
    assert not same(weights(one), weights(engine(*methods[1:], noisy=True).fit(data(), steps=6)))


def test_each_task_of_a_sequence_has_a_curriculum_of_its_own() -> None:
    first, second = data(size=8), data(size=8)
    second.difficulty = -second.difficulty  # type: ignore[operator]
    source = CurriculumMethod(pacing="step", start=0.25, buckets=1, until=0.5).data(
        TaskSequence([first, second], epochs_each=2), Plan(seed=0)
    )
    assert isinstance(source, TaskSequence)
    bound = [
        max(hardest(batch, task) for batch in source.epoch(number, 0))
        for number, task in ((0, first), (1, first), (2, second), (3, second), (4, second))
    ]
    assert bound == [9, 39, -30, 0, 0]


# Difficulty ------------------------------------------------------------------------------------------------


def test_a_teachers_loss_is_that_of_each_example_alone_with_the_teacher_asleep() -> None:
    torch.manual_seed(1)
    teacher = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.5)).train()
    source = data()
    found = teachers_loss(teacher, source)
    expected = cross_entropy(teacher[0](source.inputs), source.targets, reduction="none")
    torch.testing.assert_close(found, expected)
    assert teacher.training
    assert teacher[1].training
    values = TensorBatches(source.inputs, torch.randn(COUNT, 3))
    squares = mse_loss(teacher[0](source.inputs), values.targets, reduction="none").mean(1)
    torch.testing.assert_close(teachers_loss(teacher, values), squares)


def test_a_teacher_orders_the_examples_whether_it_is_handed_over_or_opened_by_name() -> None:
    torch.manual_seed(1)
    teacher, source, asked = nn.Linear(6, 3), data(difficulty=False), []

    def find(where: str) -> nn.Module:
        asked.append(where)
        return teacher

    plan = Plan(seed=0, steps=100, open=find)
    settings: dict[str, Any] = {"difficulty": "teacher", "start": 0.2}
    handed = CurriculumMethod(teacher=teacher, **settings).data(source, plan)
    opened = CurriculumMethod(teacher="digits epochs=3", **settings).data(source, plan)
    assert asked == ["digits epochs=3"]
    easiest = teachers_loss(teacher, source).argsort()[:8]
    for paced in (handed, opened):
        assert set(paced.order[:8].tolist()) == set(easiest.tolist())  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="cannot be opened outside of a run"):
        engine(CurriculumMethod(teacher="digits", **settings)).fit(source, steps=2)


# What it refuses -------------------------------------------------------------------------------------------


def refused(**settings: Any) -> str:
    with pytest.raises(UserError) as error:
        CurriculumMethod(**settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_settings_out_of_range_are_refused() -> None:
    assert "start is 0.0; allowed: a share above 0" in refused(start=0.0)
    assert "start is 1.1" in refused(start=1.1)
    assert "until is 0.0" in refused(until=0.0)
    assert "until is 2.0" in refused(until=2.0)
    assert "buckets is 0" in refused(buckets=0)
    assert "pacing is 'slow'; allowed: linear, root or step" in refused(pacing="slow")
    assert "difficulty is 'hard'; allowed: given or teacher" in refused(difficulty="hard")
    assert "teacher is ''; allowed: a run folder" in refused(difficulty="teacher")
    assert "difficulty is 'given'; allowed: teacher, where" in refused(teacher="digits")


def test_data_that_cannot_be_ordered_are_refused_in_one_line() -> None:
    pairs = [(torch.zeros(2, 6), torch.zeros(2, dtype=torch.int64))]
    unfit = {
        "do not say how hard": data(difficulty=False),
        "are no TensorBatches": pairs,
        "has shape": TensorBatches(torch.zeros(4, 6), torch.zeros(4).long(), difficulty=torch.zeros(3)),
        "not finite": TensorBatches(
            torch.zeros(2, 6), torch.zeros(2).long(), difficulty=torch.tensor([0.0, torch.nan])
        ),
    }
    for words, source in unfit.items():
        with pytest.raises(UserError, match=words) as error:
            engine(CurriculumMethod()).fit(source, steps=2)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="how long training lasts"):
        CurriculumMethod().data(data(), Plan(seed=0, steps=None))
    with pytest.raises(UserError, match="answers with no tensor"):
        teachers_loss(nn.LSTM(6, 3), data())
