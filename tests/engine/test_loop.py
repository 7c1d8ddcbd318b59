"""The heartbeat: what the loop promises to every method, optimizer and observer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from locution.engine import Batch, Engine, Method, Observer, Record, Step, Stop, TensorBatches, Turn
from locution.engine import loop as loop_module
from locution.engine.device import pick_device
from locution.errors import LocutionError, UserError
from locution.vocabulary.lookup import names

SGD = partial(torch.optim.SGD, lr=0.1)
ADAMW = partial(torch.optim.AdamW, lr=0.01)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, F.cross_entropy(output, batch.targets)


def net(*extra: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), *extra, nn.ReLU(), nn.Linear(8, 3))


def tensors() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.randn(26, 4, generator=source), torch.randint(0, 3, (26,), generator=source)


def data() -> TensorBatches:
    return TensorBatches(*tensors(), batch_size=8)


def engine(model: nn.Module, optimizer: Any = SGD, *methods: Method, **settings: Any) -> Engine:
    return Engine(model, Turn(objective, optimizer), methods, device="cpu", **settings)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Twice(Method):
    """Calls the closure twice, as SAM does, and keeps both losses and gradients."""

    name = "twice"

    def __init__(self) -> None:
        self.losses: list[tuple[float, float]] = []
        self.statistics: list[Tensor] = []

    def model(self, model: nn.Module, plan: Any) -> nn.Module:
        self.net = model
        return model

    def optimizer(self, optimizer: Any, plan: Any) -> Any:
        outer = self

        class Wrapper:
            param_groups = optimizer.param_groups

            def step(self, closure: Callable[[], Tensor]) -> Any:
                def both() -> Tensor:
                    first = closure()
                    outer.statistics.append(weights(outer.net).get("1.running_mean", torch.zeros(1)))
                    second = closure()
                    outer.statistics.append(weights(outer.net).get("1.running_mean", torch.zeros(1)))
                    outer.losses.append((first.item(), second.item()))
                    return first

                return optimizer.step(both)

        return Wrapper()


class Draws(Observer):
    """Measures everything it can, with a great deal of randomness of its own."""

    name = "draws"

    def start(self, engine: Engine) -> None:
        torch.rand(7)

    def gradient(self, model: nn.Module, step: Step) -> Mapping[str, float]:
        return {"draw": torch.rand(3).sum().item()}

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        model(torch.randn(5, 4))
        return {"draw": torch.rand(3).sum().item()}

    def watch(self, record: Record) -> Stop | None:
        torch.rand(2)
        return None


class StopAt(Observer):
    name = "stop_at"

    def __init__(self, step: int) -> None:
        self.step = step

    def watch(self, record: Record) -> Stop | None:
        return Stop("enough") if record.step == self.step else None


class Keeps(Observer):
    """Keeps every record."""

    name = "keeps"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def watch(self, record: Record) -> None:
        self.records.append(record)


class Noise(Method):
    """Draws from its own stream each step."""

    name = "noise"

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def batch(self, batch: Batch, step: Step) -> Batch:
        self.drawn.append(torch.rand((), generator=step.generator(self.name)).item())
        return batch


def test_the_loop_equals_the_loop_people_write() -> None:
    model, by_hand = net(), net()
    engine(model, ADAMW).fit([tensors()], steps=5)
    optimizer = ADAMW(by_hand.parameters())
    inputs, targets = tensors()
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(by_hand(inputs), targets).backward()
        optimizer.step()
    assert same(weights(model), weights(by_hand))


def test_a_second_pass_replays_the_randomness_of_the_first() -> None:
    twice = Twice()
    engine(net(nn.Dropout(0.5)), SGD, twice).fit(data(), epochs=2)
    assert all(first == second for first, second in twice.losses)
    assert len({first for first, _ in twice.losses}) == 8  # while each step draws its own


def test_batch_norm_statistics_move_on_the_first_pass_only() -> None:
    twice, alone = Twice(), net(nn.BatchNorm1d(8))
    engine(net(nn.BatchNorm1d(8)), SGD, twice).fit(data(), steps=1)
    engine(alone).fit(data(), steps=1)
    first, second = twice.statistics
    assert torch.equal(first, second)
    assert torch.equal(first, weights(alone)["1.running_mean"])
    assert first.abs().sum() > 0


def test_streams_are_separate() -> None:
    one, other = Noise(), Noise()
    engine(net(), SGD, one).fit(data(), epochs=2)
    dropped = net(nn.Dropout(0.5))
    engine(dropped, SGD, other, Twice()).fit(data(), epochs=2)
    assert one.drawn == other.drawn
    assert len(set(one.drawn)) == 8
    alone = net(nn.Dropout(0.5))
    engine(alone).fit(data(), epochs=2)
    assert same(weights(alone), weights(dropped))


@pytest.mark.parametrize("log_every", [1, 3])
def test_observers_never_change_the_weights(log_every: int) -> None:
    plain, watched = net(nn.BatchNorm1d(8), nn.Dropout(0.3)), net(nn.BatchNorm1d(8), nn.Dropout(0.3))
    engine(plain).fit(data(), epochs=3)
    engine(watched, observers=[Draws()], log_every=log_every, measure_every=2).fit(data(), epochs=3)
    assert same(weights(plain), weights(watched))


def test_steps_and_epochs_are_the_same_training() -> None:
    one, other = net(), net()
    assert engine(one).fit(data(), epochs=3).number == 12
    assert engine(other).fit(data(), steps=12).epoch == 3
    assert same(weights(one), weights(other))


def test_every_epoch_is_measured_and_so_is_the_end_of_steps() -> None:
    keeps = Keeps()
    engine(net(), observers=[keeps]).fit(data(), epochs=3)
    assert [(r.step, r.epoch) for r in keeps.records if r.kind == "epoch"] == [(4, 1), (8, 2), (12, 3)]
    keeps = Keeps()
    engine(net(), observers=[keeps]).fit(data(), steps=6)
    assert [r.step for r in keeps.records if r.kind == "epoch"] == [4, 6]


@pytest.mark.parametrize("stop", [1, 5, 8, 11])
@pytest.mark.parametrize("loader", [False, True])
def test_resuming_equals_never_stopping(stop: int, loader: bool) -> None:
    def source() -> Any:
        return DataLoader(TensorDataset(*tensors()), batch_size=8, shuffle=True) if loader else data()

    whole, first, second = (net(nn.Dropout(0.5)) for _ in range(3))
    engine(whole, ADAMW, log_every=1).fit(source(), epochs=3)
    broken = engine(first, ADAMW, observers=[StopAt(stop)], log_every=1).fit(source(), epochs=3)
    assert broken.number == stop
    torch.rand(11)
    resumed = engine(second, ADAMW, log_every=1)
    resumed.load_state_dict(broken.state_dict())
    resumed.fit(source(), epochs=3)
    assert resumed.number == 12
    assert same(weights(whole), weights(second))


def test_a_finished_run_does_not_go_on_when_it_is_resumed() -> None:
    done, again = engine(net()).fit(data(), epochs=2), engine(net())
    again.load_state_dict(done.state_dict())
    assert again.fit(data(), epochs=2).number == 8
    assert same(weights(done.model), weights(again.model))


def test_a_second_fit_goes_on() -> None:
    trained = engine(net()).fit(data(), steps=6)
    trained.fit(data(), epochs=1)
    assert (trained.number, trained.epoch, trained.stopping) == (10, 3, "finished")
    trained.fit(data(), steps=2)
    assert trained.number == 12


def test_frozen_modules_stay_asleep_even_after_a_measurement() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)), nn.Linear(8, 3))
    model[0].requires_grad_(False)
    before = weights(model[0])
    engine(model, observers=[Draws()], measure_every=1).fit(data(), epochs=1)
    assert model.training
    assert not any(module.training for module in model[0].modules())
    assert same(before, weights(model[0]))


def test_two_turns_train_a_tiny_gan() -> None:
    torch.manual_seed(0)
    gan = nn.ModuleDict({"generator": nn.Linear(2, 1), "critic": nn.Linear(1, 1)})
    noise, real = torch.randn(16, 2), torch.randn(16, 1)

    def fool(model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        return None, F.softplus(-model["critic"](model["generator"](batch.inputs))).mean()  # type: ignore[index]

    def judge(model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        fake = model["critic"](model["generator"](batch.inputs).detach())  # type: ignore[index]
        return None, (F.softplus(fake) + F.softplus(-model["critic"](batch.targets))).mean()  # type: ignore[index]

    by_hand = nn.ModuleDict({"generator": nn.Linear(2, 1), "critic": nn.Linear(1, 1)})
    by_hand.load_state_dict(gan.state_dict())
    turns = [
        Turn(judge, SGD, lambda model: model["critic"].parameters()),
        Turn(fool, SGD, lambda model: model["generator"].parameters()),
    ]
    Engine(gan, turns, device="cpu").fit([(noise, real)], steps=4)
    critic, generator = SGD(by_hand["critic"].parameters()), SGD(by_hand["generator"].parameters())
    for _ in range(4):
        for optimizer, part in ((critic, judge), (generator, fool)):
            by_hand.zero_grad()
            part(by_hand, Batch(noise, real))[1].backward()
            optimizer.step()
    assert same(weights(gan), weights(by_hand))


def test_lbfgs_works_through_the_closure() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(20, 3).double()
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]]).double() + 0.25

    def squares(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output = model(batch.inputs)
        return output, F.mse_loss(output, batch.targets)

    line = partial(torch.optim.LBFGS, lr=1.0, line_search_fn="strong_wolfe")
    fitted = Engine(nn.Linear(3, 1).double(), Turn(squares, line), device="cpu").fit([(inputs, targets)], steps=3)
    torch.testing.assert_close(fitted.model.weight[0], torch.tensor([1.0, -2.0, 0.5]).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_training_with_one_clear_line(value: float) -> None:
    class Spoils(Method):
        name = "spoils"

        def loss(self, loss: Tensor, step: Step) -> Tensor:
            return loss * value if step.number == 3 else loss

    with pytest.raises(LocutionError, match=rf"^the loss became {value} at step 3; usual causes: .*$"):
        engine(net(), SGD, Spoils(), log_every=4).fit(data(), epochs=2)


def test_the_device_is_picked_or_refused() -> None:
    assert pick_device("cpu").type == "cpu"
    there = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device("auto").type == there
    with pytest.raises(UserError, match="Did you mean 'cuda'"):
        pick_device("cudaa")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="device 'cuda' is not on this machine"):
            pick_device("cuda")


def test_bad_settings_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="accumulate is 0"):
        engine(net(), accumulate=0)
    with pytest.raises(UserError, match="precision is 'fp16'"):
        engine(net(), precision="fp16")
    with pytest.raises(UserError, match="one of the two"):
        engine(net()).fit(data())
    with pytest.raises(UserError, match="training data are empty"):
        engine(net()).fit([], epochs=1)
    with pytest.raises(UserError, match="no parameters that train"):
        engine(net().requires_grad_(False)).fit(data(), epochs=1)


def test_bf16_keeps_the_weights_in_fp32() -> None:
    seen: list[torch.dtype] = []

    def spy(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output, loss = objective(model, batch)
        seen.append(output.dtype)
        return output, loss

    model = net()
    Engine(model, Turn(spy, SGD), precision="bf16", device="cpu").fit(data(), steps=1)
    assert seen == [torch.bfloat16]
    assert {tensor.dtype for tensor in weights(model).values()} == {torch.float32}


def test_finish_looks_back_at_the_data_once_training_has_ended() -> None:
    class LooksBack(Method):
        name = "looks_back"

        def finish(self, model: nn.Module, objective: Any, batches: Any) -> None:
            self.seen = sum(len(batch) for batch in batches)

    method = LooksBack()
    engine(net(), SGD, method).fit(data(), epochs=1)
    assert method.seen == 26
    stopped = LooksBack()
    engine(net(), SGD, stopped, observers=[StopAt(1)]).fit(data(), epochs=1)
    assert not hasattr(stopped, "seen")


def test_the_loop_names_no_method_and_fits_on_a_few_screens() -> None:
    text = inspect.getsource(loop_module)
    for name in [*names("method"), "sam", "lookahead", "mixup", "clipping"]:
        assert name not in text.lower().replace("learning", "").split(), f"the loop names {name}"
    assert text.count("\n") < 230
    for function in ("fit", "step", "gradient"):
        assert len(inspect.getsource(getattr(Engine, function)).splitlines()) < 40
