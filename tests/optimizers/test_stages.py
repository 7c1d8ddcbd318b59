"""Stages: by hand, the same as separate trainings one after another, and exact across a kill at every step."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Plan, TensorBatches, Turn
from locution.engine.method import Method
from locution.errors import UserError
from locution.gradients.clipping import ClippingMethod
from locution.optimizers.muon import Muon
from locution.optimizers.sam import SAMMethod
from locution.optimizers.stages import Stage, Staged, StagesMethod, ends, stage_rate

STEPS = 12
PLAN = (Stage("enter.*", lr=0.05), Stage("leave.*", lr=0.02), Stage("*", share=2, lr=0.01))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.enter = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3))
        self.leave = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(torch.tanh(self.enter(self.frozen(x))))


def data() -> TensorBatches:
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
    return TensorBatches(x, x[:, :2] * 2, batch_size=8)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, ((output - batch.targets) ** 2).mean()


def engine(*methods: Method, optimizer: Any = None, **settings: Any) -> Engine:
    made = optimizer or partial(torch.optim.AdamW, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    return Engine(Network(), Turn(objective, made), methods, device="cpu", log_every=1, **settings)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


class Snapshots(Method):
    """Keeps the weights after every step."""

    name = "zz_snapshots"

    def __init__(self) -> None:
        self.taken: list[dict[str, Tensor]] = []

    def update(self, model: nn.Module, step: Any) -> None:
        self.taken.append(weights(model))


def test_in_each_stage_only_its_parameters_move() -> None:
    seen = Snapshots()
    first = weights(Network())
    engine(StagesMethod(plan=PLAN), ClippingMethod(norm=1.0), seen).fit(data(), steps=STEPS)
    parts = [first, seen.taken[2], seen.taken[5], seen.taken[11]]
    for number, moving in enumerate((["enter"], ["leave"], ["enter", "leave"])):
        before, after = parts[number], parts[number + 1]
        moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert moved == set(moving)


def test_stages_equal_trainings_one_after_another_with_fresh_optimizers() -> None:
    """The oracle: AdamW made anew for each stage's parameters, its rate set by hand."""
    staged = engine(StagesMethod(plan=PLAN, warmup=0.4, final=0.2)).fit(data(), steps=STEPS)
    from locution.engine.random import reseed, stream_key

    model, number, epoch = Network(), 0, 0
    batches = [batch for e in range(4) for batch in data().epoch(e, 0)]
    for stage, length in zip(PLAN, (3, 3, 6), strict=True):
        named = [(n, p) for n, p in model.named_parameters() if not n.startswith("frozen")]
        chosen = [p for n, p in named if stage.train == "*" or n.startswith(str(stage.train)[:-1])]
        optimizer = torch.optim.AdamW(chosen, lr=1.0, betas=(0.9, 0.95), weight_decay=0.1)
        for step in range(length):
            model.train()
            model.frozen.eval()
            if stage.train == "leave.*":
                model.enter.eval()  # its dropout sleeps while it is frozen
            optimizer.param_groups[0]["lr"] = stage.lr * stage_rate(step, length, 0.4, 0.2)  # type: ignore[operator]
            reseed(stream_key(0, "model", number, 0, 0), torch.device("cpu"))
            _, loss = objective(model, batches[number])
            model.zero_grad()
            loss.backward()
            optimizer.step()
            number += 1
    assert epoch == 0
    for name, value in weights(model).items():
        torch.testing.assert_close(value, weights(staged.model)[name], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("at", range(1, STEPS))
def test_a_kill_at_any_step_ends_with_the_same_weights(at: int) -> None:
    def made() -> Engine:
        return engine(StagesMethod(plan=PLAN), ClippingMethod(norm=1.0), accumulate=2)

    whole = made().fit(data(), steps=STEPS)
    begun = made()

    class Kill(Method):
        name = "zz_kill"

        def update(self, model: nn.Module, step: Any) -> None:
            if step.number == at - 1:
                begun.stop("killed")

    begun.methods.append(Kill())
    begun.fit(data(), steps=STEPS)
    begun.methods.pop()
    kept = copy.deepcopy(begun.state_dict())
    assert any(name.startswith("enter") for name in kept["model"])  # whatever stage it is: all that was trained
    assert any(name.startswith("leave") for name in kept["model"])
    again = made()
    again.load_state_dict(kept)
    again.fit(data(), steps=STEPS)
    for name, value in weights(whole.model).items():
        assert torch.equal(value, weights(again.model)[name]), name


def test_between_steps_all_that_ever_trains_counts_as_training() -> None:
    done = engine(StagesMethod(plan=PLAN)).fit(data(), steps=STEPS)
    assert {n for n, p in done.model.named_parameters() if not p.requires_grad} == {"frozen.weight", "frozen.bias"}


def test_what_is_frozen_stands_still_even_with_gradients_of_zero() -> None:
    """As under data parallel, where everyone's gradient is filled in."""
    net = Network()
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    staged = Staged(optimizer, net, [Stage("enter.*"), Stage("leave.*")], 4)
    before = net.leave.weight.detach().clone()

    def closure() -> Tensor:
        for parameter in staged.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return torch.tensor(0.0)

    staged.step(closure)
    assert torch.equal(net.leave.weight, before)
    assert not torch.equal(net.enter[0].weight, Network().enter[0].weight)


@pytest.mark.parametrize("optimizer", [Muon(small=2).build, partial(torch.optim.SGD, lr=0.1, momentum=0.9)])
def test_other_optimizers_and_sam_are_staged_too(optimizer: Any) -> None:
    seen = Snapshots()
    engine(StagesMethod(plan=PLAN[:2]), SAMMethod(), seen, optimizer=optimizer).fit(data(), steps=4)
    for name, value in seen.taken[1].items():
        if name.startswith("leave"):
            assert torch.equal(value, weights(Network())[name])
        assert torch.equal(seen.taken[3][name], value) or name.startswith("leave")


def test_rates_by_hand() -> None:
    assert [stage_rate(step, 4, 0.5, 0.0) for step in range(4)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert stage_rate(0, 1, 0.0, 0.1) == 1.0
    assert stage_rate(99, 10, 0.0, 0.1) == pytest.approx(0.1)  # trained on beyond its plan
    assert ends([1, 1, 2], 12) == [3, 6, 12]


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UserError, match="2 steps leave no step to one of 3 stages"):
        engine(StagesMethod(plan=PLAN)).fit(data(), steps=2)
    with pytest.raises(UserError, match=r"'frozen\.\*' matches frozen parameters only"):
        engine(StagesMethod(plan=(Stage("frozen.*"),))).fit(data(), steps=2)
    with pytest.raises(UserError, match="matches no parameter"):
        engine(StagesMethod(plan=(Stage("entre.*"),))).fit(data(), steps=2)
    with pytest.raises(UserError, match="nobody can count"):
        StagesMethod().optimizer(torch.optim.SGD([nn.Parameter(torch.ones(1))]), Plan())
    with pytest.raises(UserError, match="compile=false"):
        engine(StagesMethod(), compile=True).fit(data(), steps=2)
    for bad in ({"train": ""}, {"share": 0.0}, {"lr": -1.0}):
        with pytest.raises(UserError, match="llowed"):
            Stage(**bad)  # type: ignore[arg-type]
