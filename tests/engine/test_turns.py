"""Several turns: each moves its own parameters at its own steps, and everything that holds for one holds for each."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from locution.engine import Batch, Engine, Method, Observer, Record, Stop, TensorBatches, Turn
from locution.errors import LocutionError, UserError
from locution.gradients.norms import GradientNorms
from locution.vocabulary.lookup import part

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.5)
ADAM = partial(torch.optim.Adam, lr=0.05)


def pair() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"generator": nn.Linear(2, 3), "critic": nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))}
    )


def judge(model: Any, batch: Batch) -> tuple[Any, Tensor]:
    fake = model["critic"](model["generator"](batch.targets))
    losses = F.softplus(fake) + F.softplus(-model["critic"](batch.inputs))
    return None, losses.mean() + 0.01 * model["critic"][0].weight.square().sum()


def fool(model: Any, batch: Batch) -> tuple[Any, Tensor]:
    return None, F.softplus(-model["critic"](model["generator"](batch.targets))).mean()


def turns(every: int = 3, optimizer: Any = SGD, first: Any = judge, second: Any = fool) -> list[Turn]:
    return [
        Turn(first, optimizer, lambda model: model["critic"].parameters(), name="critic"),
        Turn(second, optimizer, lambda model: model["generator"].parameters(), name="generator", every=every),
    ]


def data(count: int = 38) -> TensorBatches:
    stream = torch.Generator().manual_seed(1)
    noise = torch.randn(count, 2, generator=stream)
    return TensorBatches(torch.randn(count, 3, generator=stream) + 1, noise, batch_size=8)


def engine(*methods: Method, every: int = 3, **settings: Any) -> Engine:
    chosen = settings.pop("turns", None) or turns(every, settings.pop("optimizer", SGD))
    return Engine(pair(), chosen, methods, device="cpu", **settings)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def close(one: nn.Module, other: nn.Module, within: float = 0.0) -> bool:
    mine, theirs = weights(one), weights(other)
    return all(torch.allclose(mine[name], theirs[name], rtol=0, atol=within) for name in mine)


def by_hand(steps: int, every: int, optimizer: Any = SGD, change: Callable[[list[Any]], None] | None = None) -> Any:
    """The loop that people write: the critic at each step, the generator at each so many."""
    model = pair()
    sides = [
        (optimizer(model[name].parameters()), model[name], part)
        for name, part in (("critic", judge), ("generator", fool))
    ]
    source, number = data(), 0
    for epoch in range(99):
        for batch in source.epoch(epoch, 0):
            for at, (stepper, side, objective) in enumerate(sides):
                if at == 1 and (number + 1) % every:
                    continue
                model.zero_grad()
                objective(model, batch)[1].backward()
                if change is not None:
                    change(list(side.parameters()))
                stepper.step()
            number += 1
            if number == steps:
                return model
    raise AssertionError


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_turns_equal_the_loop_people_write(every: int) -> None:
    trained = engine(every=every).fit(data(), steps=11)
    assert close(trained.model, by_hand(11, every))
    assert not close(trained.model, by_hand(11, every + 1), within=1e-4)


def test_a_turn_that_does_not_act_leaves_its_parameters_alone() -> None:
    trained = engine(every=6).fit(data(), steps=11)
    once = engine(every=6).fit(data(), steps=6)
    assert torch.equal(trained.model["generator"].weight, once.model["generator"].weight)  # type: ignore[index]
    assert not torch.equal(trained.model["critic"][0].weight, once.model["critic"][0].weight)  # type: ignore[index]
    assert trained.watch.gradients == 11 + 1


def test_who_rests_gets_no_gradients_and_wakes_up_again() -> None:
    seen: list[tuple[str, bool, bool]] = []

    def spied(name: str, objective: Any) -> Any:
        def look(model: Any, batch: Batch) -> Any:
            asked = [all(p.requires_grad for p in model[side].parameters()) for side in ("critic", "generator")]
            seen.append((name, *asked))
            assert all(
                p.grad is None for side in ("critic", "generator") if side != name for p in model[side].parameters()
            )
            return objective(model, batch)

        return look

    both = turns(1, first=spied("critic", judge), second=spied("generator", fool))
    trained = engine(turns=both).fit(data(), steps=2)
    assert seen == [("critic", True, False), ("generator", False, True)] * 2
    assert all(p.requires_grad for p in trained.model.parameters())


def test_frozen_parameters_stay_frozen_and_a_failure_wakes_everyone() -> None:
    def fails(model: Any, batch: Batch) -> Any:
        raise RuntimeError("on purpose")

    model = pair()
    model["critic"][0].requires_grad_(False)  # type: ignore[index]
    with pytest.raises(RuntimeError, match="on purpose"):
        Engine(model, turns(1, second=fails), device="cpu").fit(data(), steps=1)
    asked = {name: p.requires_grad for name, p in model.named_parameters()}
    assert not asked["critic.0.weight"]
    assert asked["critic.2.weight"]
    assert asked["generator.weight"]


def test_turns_draw_what_is_random_apart_from_each_other() -> None:
    drawn: list[Tensor] = []

    def draws(objective: Any) -> Any:
        def look(model: Any, batch: Batch) -> Any:
            drawn.append(torch.rand(3))
            return objective(model, batch)

        return look

    engine(turns=turns(1, first=draws(judge), second=draws(fool))).fit(data(), steps=1)
    assert not torch.equal(*drawn)
    alone, first = [], drawn[0]
    drawn.clear()
    Engine(pair(), turns(1, first=draws(judge))[0], device="cpu").fit(data(), steps=1)
    alone += drawn
    assert torch.equal(alone[0], first)  # the first turn's are those that it would draw alone


class Seen(Observer):
    name = "seen"

    def __init__(self, stop: int | None = None) -> None:
        self.records: list[Record] = []
        self.stop = stop

    def watch(self, record: Record) -> Stop | None:
        self.records.append(record)
        return Stop("for the test") if record.kind == "step" and record.step == self.stop else None

    def values(self) -> list[tuple[Any, ...]]:
        return [(r.kind, r.step, r.loss, dict(r.values)) for r in self.records]


def test_the_loss_of_each_turn_is_recorded_by_name_as_its_mean_since_the_record_before() -> None:
    losses: dict[str, list[float]] = {"critic": [], "generator": []}

    def noted(name: str, objective: Any) -> Any:
        def look(model: Any, batch: Batch) -> Any:
            output, loss = objective(model, batch)
            losses[name].append(loss.item())
            return output, loss

        return look

    seen = Seen()
    both = turns(2, first=noted("critic", judge), second=noted("generator", fool))
    engine(turns=both, observers=[seen], log_every=4, measure_every=6).fit(data(), steps=6)
    step1, step5, step6, end6 = seen.records
    assert [r.step for r in seen.records] == [1, 5, 6, 6]
    assert step1.values == {"loss/critic": pytest.approx(losses["critic"][0])}  # the generator has not acted
    assert step5.loss == pytest.approx(losses["critic"][4])
    assert step5.values["loss/critic"] == pytest.approx(sum(losses["critic"][1:5]) / 4)
    assert step5.values["loss/generator"] == pytest.approx(sum(losses["generator"][:2]) / 2)
    assert step6.values == {
        "loss/critic": pytest.approx(losses["critic"][5]),
        "loss/generator": pytest.approx(losses["generator"][2]),
    }
    assert (end6.kind, end6.loss) == ("epoch", pytest.approx(sum(losses["critic"]) / 6))


def test_the_loss_of_a_record_is_that_of_the_last_turn_that_acts_at_every_step() -> None:
    both, none = Seen(), Seen()
    engine(observers=[both], every=1, log_every=1).fit(data(), steps=3)
    assert [r.loss for r in both.records[:3]] == [r.values["loss/generator"] for r in both.records[:3]]
    engine(observers=[none], every=2, log_every=1).fit(data(), steps=3)
    assert [r.loss for r in none.records[:3]] == [r.values["loss/critic"] for r in none.records[:3]]


def test_one_turn_is_recorded_as_ever() -> None:
    seen = Seen()
    only = Turn(judge, SGD, lambda model: model["critic"].parameters(), name="critic")
    engine(turns=[only], observers=[seen, GradientNorms(per_layer=False)], log_every=1).fit(data(), steps=2)
    assert set(seen.records[0].values) == {"gradient_norm"}


def test_gradient_norms_are_those_of_each_turn_before_any_method_and_also_of_a_turn_that_acts_seldom() -> None:
    seen = Seen()
    clip = part("method", "clipping")(norm=1e-3)
    engine(clip, observers=[seen, GradientNorms()], log_every=4, every=3).fit(data(), steps=10)
    last = {record.step: record.values for record in seen.records if record.kind == "step"}
    assert set(last) == {1, 5, 9, 10}
    for step in (5, 9):
        whole = {name: last[step][f"{name}_gradient_norm"] for name in ("critic", "generator")}
        assert min(whole.values()) > 0.01  # not what is left after clipping
        parts = [last[step][f"gradient_norm/{layer}"] ** 2 for layer in ("critic.0", "critic.2")]
        assert sum(parts) ** 0.5 == pytest.approx(whole["critic"])
        assert last[step]["gradient_norm/generator"] == pytest.approx(whole["generator"])
    assert "generator_gradient_norm" not in last[1]
    assert "generator_gradient_norm" not in last[10]  # it acted last at step 9, which was logged


def test_the_last_record_has_the_gradient_norms_of_every_turns_last_step() -> None:
    seen = Seen()
    engine(observers=[seen, GradientNorms(per_layer=False)], log_every=50, every=5, measure_every=99).fit(
        data(), steps=12
    )
    last = next(record.values for record in seen.records if record.step == 12)
    assert {"critic_gradient_norm", "generator_gradient_norm"} <= set(last)


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6, 7, 12])
def test_resuming_with_turns_equals_never_stopping(stop: int) -> None:
    methods = [part("method", name)() for name in ("averaging", "lookahead")]
    whole, cut, rest = Seen(), Seen(stop), Seen()
    settings: dict[str, Any] = {"optimizer": ADAM, "log_every": 1}
    straight = engine(*copy.deepcopy(methods), observers=[whole], **settings).fit(data(), steps=14)
    stopped = engine(*copy.deepcopy(methods), observers=[cut], **settings).fit(data(), steps=14)
    resumed = engine(*copy.deepcopy(methods), observers=[rest], **settings)
    resumed.load_state_dict(stopped.state_dict())
    resumed.fit(data(), steps=14)
    assert close(straight.model, resumed.model)
    assert close(straight.trained(), resumed.trained())
    assert whole.values() == cut.values() + rest.values()


def test_a_checkpoint_between_two_records_keeps_the_means_of_the_turns() -> None:
    class Stops(Method):
        name = "stops"

        def __init__(self, running: list[Engine]) -> None:
            self.running = running

        def update(self, model: nn.Module, step: Any) -> None:
            if self.running and step.number == 4:
                self.running[0].stop("between two records")

    whole, rest, box = Seen(), Seen(), list[Engine]()
    engine(Stops([]), observers=[whole], log_every=7).fit(data(), steps=10)
    stopped = engine(Stops(box), log_every=7)
    box.append(stopped)
    kept = stopped.fit(data(), steps=10).state_dict()
    assert {name: pair[1] for name, pair in kept["watch"]["window"].items()} == {"critic": 4, "generator": 1}
    resumed = engine(Stops([]), observers=[rest], log_every=7)
    resumed.load_state_dict(kept)
    resumed.fit(data(), steps=10)
    assert [value[:3] for value in whole.values()[1:]] == [value[:3] for value in rest.values()]
    for mine, theirs in zip(whole.records[1:], rest.records, strict=True):
        assert mine.values == pytest.approx(theirs.values)


@pytest.mark.parametrize("accumulate", [2, 3, 8])
def test_micro_batches_give_the_update_of_the_whole_batch_in_every_turn(accumulate: int) -> None:
    whole = engine(every=2).fit(data(), steps=10)  # the fifth batch is ragged
    parts = engine(every=2, accumulate=accumulate).fit(data(), steps=10)
    assert close(whole.model, parts.model, within=1e-6)


def test_clipping_measures_each_turn_by_itself() -> None:
    def clip(parameters: list[Any]) -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 0.05)

    trained = engine(part("method", "clipping")(norm=0.05)).fit(data(), steps=7)
    assert close(trained.model, by_hand(7, 3, change=clip), within=1e-6)
    assert not close(trained.model, by_hand(7, 3), within=1e-3)


def test_sharpness_aware_minimisation_climbs_in_each_turn_over_its_own_parameters() -> None:
    model, rho = pair(), 0.05
    trained = engine(part("method", "sam")(rho=rho), every=2).fit(data(), steps=4)
    steppers = {name: SGD(model[name].parameters()) for name in ("critic", "generator")}
    for number, batch in zip(range(4), data().epoch(0, 0), strict=False):
        for name, objective in (("critic", judge), ("generator", fool)):
            if name == "generator" and number % 2 == 0:
                continue
            own = list(model[name].parameters())
            before = [p.detach().clone() for p in own]
            grads = torch.autograd.grad(objective(model, batch)[1], own)
            norm = torch.stack([g.norm() for g in grads]).norm()
            with torch.no_grad():
                for p, g in zip(own, grads, strict=True):
                    p += rho * g / norm
            grads = torch.autograd.grad(objective(model, batch)[1], own)
            with torch.no_grad():
                for p, kept, g in zip(own, before, grads, strict=True):
                    p.copy_(kept)
                    p.grad = g
            steppers[name].step()
    assert close(trained.model, model, within=1e-6)
    assert trained.watch.gradients == 2 * (4 + 2)


def test_averaging_follows_both_sides() -> None:
    average = part("method", "averaging")(kind="mean")
    places: list[dict[str, Tensor]] = []

    class Follow(Method):
        name = "follow"

        def update(self, model: nn.Module, step: Any) -> None:
            places.append(weights(model))

    trained = engine(average, Follow()).fit(data(), steps=6).trained()
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(tensor, torch.stack([place[name] for place in places]).mean(0))


def test_schedules_last_as_often_as_a_turn_acts() -> None:
    rates: dict[str, list[float]] = {"critic": [], "generator": []}

    class Rates(Method):
        name = "rates"
        after = ("one_cycle",)

        def __init__(self) -> None:
            self.optimizers: list[Any] = []

        def optimizer(self, optimizer: Any, plan: Any) -> Any:
            self.optimizers.append(optimizer)
            return optimizer

        def update(self, model: nn.Module, step: Any) -> None:
            for name, optimizer in zip(rates, self.optimizers, strict=True):
                rates[name].append(optimizer.param_groups[0]["lr"])

    engine(part("method", "one_cycle")(), Rates(), every=3).fit(data(), steps=30)
    assert rates["generator"][2::3] == pytest.approx(ten_steps_alone())
    assert rates["critic"][-1] == pytest.approx(rates["generator"][-1], rel=0.2)


def ten_steps_alone() -> list[float]:
    found: list[float] = []
    weight = nn.Parameter(torch.ones(1))
    from locution.engine import Plan

    optimizer = part("method", "one_cycle")().optimizer(SGD([weight]), Plan(steps=10))
    for _ in range(10):
        optimizer.step(lambda: weight.sum())
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_a_loss_that_is_no_number_names_the_turn_and_the_step() -> None:
    def breaks(model: Any, batch: Batch) -> Any:
        output, loss = fool(model, batch)
        breaks.acted = getattr(breaks, "acted", 0) + 1  # type: ignore[attr-defined]
        return output, loss * (float("nan") if breaks.acted == 2 else 1.0)  # type: ignore[attr-defined]

    with pytest.raises(LocutionError, match="the loss of the generator became nan at step 5;"):
        engine(turns=turns(3, second=breaks), log_every=50).fit(data(), steps=14)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: turns(0), "turn.every is 0; allowed: a whole number from 1"),
        (lambda: [*turns(1)[:1], *turns(1)[:1]], "turn.name is 'critic'; allowed: a name that no other turn has"),
        (lambda: turns(9), "steps is 8; allowed: a whole number from 9, turn.every"),
    ],
)
def test_turns_that_cannot_be_are_refused_in_one_line(change: Callable[[], list[Turn]], said: str) -> None:
    with pytest.raises(UserError) as caught:
        engine(turns=change()).fit(data(), steps=8)
    assert said in str(caught.value)


def test_turns_without_names_are_counted() -> None:
    seen = Seen()
    both = turns(1)
    for turn in both:
        turn.name = ""
    engine(turns=both, observers=[seen]).fit(data(), steps=1)
    assert set(seen.records[0].values) == {"loss/turn_1", "loss/turn_2"}


def test_pruning_counts_the_steps_of_training_and_not_those_of_a_turn() -> None:
    method = part("method", "pruning")(rounds=3)
    engine(method, every=3).fit(data(), steps=24)
    alone = part("method", "pruning")(rounds=3)
    engine(alone, every=1).fit(data(), steps=24)
    assert method.ends == alone.ends


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler on this machine")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_compiled_turns_equal_uncompiled_ones() -> None:
    plain = engine(every=2).fit(data(), steps=7)
    compiled = engine(every=2, compile=True).fit(data(), steps=7)
    assert close(plain.model, compiled.model, within=1e-6)
