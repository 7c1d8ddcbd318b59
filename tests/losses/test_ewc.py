"""Elastic weight consolidation: the information against closed forms, the penalty against the papers, and training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution.data.mixup import MixupMethod
from locution.engine import Engine, Observer, Plan, Record, Step, Stop, TensorBatches, Turn
from locution.engine.batch import Batch
from locution.engine.method import ordered
from locution.engine.sequence import TaskSequence
from locution.errors import UserError
from locution.losses import fisher
from locution.losses.distillation import DistillationMethod
from locution.losses.ewc import EWCMethod, elastic_penalty
from locution.losses.fisher import fisher_information
from locution.optimizers.sam import SAMMethod

N, D, C = 12, 5, 3


def examples(seed: int = 0, values: bool = False, weights: Tensor | None = None) -> Batch:
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(N, D, generator=stream)
    targets = torch.randn(N, C, generator=stream) if values else torch.randint(C, (N,), generator=stream)
    return Batch(x, targets, weights)


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(D, C)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, C))


def one_by_one(model: nn.Module, batch: Batch, empirical: bool = False) -> dict[str, Tensor]:
    """The definition: a backward pass for each example and each answer."""
    model.eval()
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    each = torch.ones(len(batch)) if batch.weights is None else batch.weights
    for i in range(len(batch)):
        output = model(batch.inputs[i : i + 1])[0]
        if batch.targets.is_floating_point():
            away = (batch.targets[i] - output).detach()
            terms = [(1.0, (away * output).sum())] if empirical else [(1.0, value) for value in output]
        else:
            logs = output.log_softmax(0)
            wanted = [int(batch.targets[i])] if empirical else range(C)
            terms = [(1.0 if empirical else float(logs[c].detach().exp()), logs[c]) for c in wanted]
        for chance, term in terms:
            found = torch.autograd.grad(term, list(parameters.values()), retain_graph=True)
            for name, gradient in zip(parameters, found, strict=True):
                total[name] += each[i] * chance * gradient**2
    return {name: tensor / each.sum() for name, tensor in total.items()}


def close(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


# The information -------------------------------------------------------------------------------------------


def test_of_logistic_regression_it_is_the_closed_form() -> None:
    model, batch = linear(), examples()
    p = model(batch.inputs).softmax(1).detach()  # (N, C)
    spread = p * (1 - p)
    expected = {"weight": spread.T @ batch.inputs**2 / N, "bias": spread.mean(0)}
    close(fisher_information(model, [batch]), expected)
    away = (p - torch.eye(C)[batch.targets]) ** 2
    expected = {"weight": away.T @ batch.inputs**2 / N, "bias": away.mean(0)}
    close(fisher_information(model, [batch], empirical=True), expected)


def test_of_logistic_regression_it_is_the_curvature_of_the_loss() -> None:
    model, batch = linear(), examples()

    def loss(weight: Tensor) -> Tensor:
        return cross_entropy(batch.inputs @ weight.T + model.bias.detach(), batch.targets)

    curved = torch.autograd.functional.hessian(loss, model.weight.detach()).reshape(C * D, C * D).diagonal()
    torch.testing.assert_close(fisher_information(model, [batch])["weight"].flatten(), curved)


def test_of_linear_regression_it_is_the_mean_square_of_the_inputs() -> None:
    model, batch = linear(), examples(values=True)
    expected = {"weight": (batch.inputs**2).mean(0).expand(C, D), "bias": torch.ones(C)}
    close(fisher_information(model, [batch]), expected)
    away = (batch.targets - model(batch.inputs).detach()) ** 2
    expected = {"weight": away.T @ batch.inputs**2 / N, "bias": away.mean(0)}
    close(fisher_information(model, [batch], empirical=True), expected)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("empirical", [False, True])
@pytest.mark.parametrize("values", [False, True])
def test_of_any_network_it_is_the_mean_over_one_gradient_after_another(
    monkeypatch: pytest.MonkeyPatch, values: bool, empirical: bool, weighed: bool
) -> None:
    batch = examples(values=values, weights=torch.arange(1.0, N + 1) if weighed else None)
    expected = one_by_one(network(), batch, empirical)
    found = fisher_information(network().train(), [batch], empirical=empirical)
    close(found, expected)
    held = 16 * (1 if empirical else C)  # the weights of batch norm, which is no linear layer
    monkeypatch.setattr(fisher, "ROOM", 5 * held)  # five examples at once, the last time two
    close(fisher_information(network(), [batch], empirical=empirical), expected)
    cut = [batch.rows(0, 7), batch.rows(7, N)]
    close(fisher_information(network(), cut, empirical=empirical), expected)


class Odd(nn.Module):
    """Linear layers that are used twice, share their weights, see a sequence, or are not asked at all."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.plain, self.idle = nn.Linear(D, D), nn.Linear(D, 4, bias=False), nn.Linear(2, 2)
        self.one, self.other, self.along = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(2, 3)
        self.other.weight = self.one.weight
        self.head = nn.Linear(6, C)
        self.head.bias.requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        inner = self.plain(self.twice(self.twice(inputs).tanh()).tanh()).tanh()
        inner = self.other(self.one(inner).tanh()).tanh()
        return self.head(self.along(inner.view(-1, 2, 2)).tanh().flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("empirical", [False, True])
def test_linear_layers_that_are_used_in_another_way_are_right_too(empirical: bool) -> None:
    torch.manual_seed(3)
    model, batch = Odd(), examples()
    model.head.bias.requires_grad_(True)
    model.idle.requires_grad_(False)
    expected = one_by_one(model, batch, empirical)
    model.idle.requires_grad_(True)
    model.head.bias.requires_grad_(False)
    found = fisher_information(model, [batch], empirical=empirical)
    assert "head.bias" not in found
    assert float(found.pop("idle.weight").sum() + found.pop("idle.bias").sum()) == 0
    close(found, {name: expected[name] for name in found})
    assert {"twice.weight", "one.weight", "other.bias", "along.weight", "plain.weight", "head.weight"} <= set(found)


def test_it_leaves_the_model_and_torchs_generator_as_they_were() -> None:
    model = network().train()
    model[3].eval()
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    fisher_information(model, [examples()])
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True, True, True, False, True]
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_it_is_of_what_trains_and_of_the_first_examples_alone() -> None:
    model = network()
    model[0].requires_grad_(False)
    assert set(fisher_information(model, [examples()])) == {"1.weight", "1.bias", "4.weight", "4.bias"}
    batches = [examples(0), examples(1), examples(2)]
    expected = one_by_one(network(), examples(0).rows(0, 9))
    close(fisher_information(network(), batches, examples=9), expected)
    both = Batch(
        *(torch.cat([getattr(b, f) for b in (batches[0], batches[1].rows(0, 3))]) for f in ("inputs", "targets"))
    )
    close(fisher_information(network(), batches, examples=15), one_by_one(network(), both))


def test_layers_that_are_taken_one_by_one_go_without_a_warning() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, C)

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.head(self.lstm(inputs["sound"])[0][:, -1])  # type: ignore[no-any-return]

    batch = Batch({"sound": torch.randn(3, 6, 2)}, torch.tensor([0, 1, 2]))
    found = fisher_information(Last(), [batch])
    assert all(bool((tensor >= 0).all()) and float(tensor.sum()) > 0 for tensor in found.values())


# The penalty -----------------------------------------------------------------------------------------------


def visits(
    method: EWCMethod, model: nn.Module, count: int = 3
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """Let a method end some tasks, each with other weights; return the information and the weights at each."""
    information, weights = [], []
    for task in range(count):
        torch.manual_seed(task)
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn_like(p))
        batch = examples(task)
        information.append(one_by_one(model, batch))
        weights.append({name: p.detach().clone() for name, p in model.named_parameters()})
        method.finish(model, None, [batch])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p))
    return information, weights


def added(method: EWCMethod, model: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
    """What a method adds to the loss, and its gradient."""
    total = method.loss(torch.zeros(()), Step(0, 0, Plan(), model))
    found = torch.autograd.grad(total, list(model.parameters()))
    return total.detach(), dict(zip(dict(model.named_parameters()), found, strict=True))


def test_the_sum_over_tasks_is_that_of_a_penalty_for_each() -> None:
    model, method = linear(), EWCMethod(strength=7.0)
    information, weights = visits(method, model)
    own = dict(model.named_parameters())
    springs = [f[n] * (own[n] - w[n]) ** 2 for f, w in zip(information, weights, strict=True) for n in f]
    expected = 7.0 / 2 * torch.stack([spring.sum() for spring in springs]).sum()
    gradient = torch.autograd.grad(expected, list(own.values()))
    total, found = added(method, model)
    torch.testing.assert_close(total, expected.detach(), rtol=1e-5, atol=1e-6)
    close(found, dict(zip(own, gradient, strict=True)), atol=1e-5)


@pytest.mark.parametrize("decay", [1.0, 0.5, 0.0])
def test_online_there_is_one_penalty_around_the_last_weights(decay: float) -> None:
    model, method = linear(), EWCMethod(strength=7.0, tasks="online", decay=decay)
    information, weights = visits(method, model)
    own = dict(model.named_parameters())
    faded = {n: sum(decay ** (2 - i) * f[n] for i, f in enumerate(information)) for n in own}
    expected = 7.0 * elastic_penalty(own, faded, weights[-1])  # type: ignore[arg-type]
    gradient = torch.autograd.grad(expected, list(own.values()))
    total, found = added(method, model)
    torch.testing.assert_close(total, expected.detach(), rtol=1e-5, atol=1e-6)
    close(found, dict(zip(own, gradient, strict=True)), atol=1e-5)


def test_a_weight_that_no_task_depends_on_is_free() -> None:
    model, method = nn.Linear(2, 2), EWCMethod()
    for _ in range(2):
        batch = Batch(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))  # the second input is never there
        method.finish(model, None, [batch])
        with torch.no_grad():
            model.weight += 1.0
    total, gradient = added(method, model)
    assert bool(torch.isfinite(total))
    assert bool((gradient["weight"][:, 1] == 0).all())
    assert bool((gradient["weight"][:, 0] != 0).all())
    assert all(bool(torch.isfinite(tensor).all()) for tensor in method.centre.values())


def test_the_information_is_of_the_kind_and_of_as_many_examples_as_are_asked_for() -> None:
    for information in ("exact", "empirical"):
        method = EWCMethod(information=information, examples=5)  # type: ignore[arg-type]
        model = network()
        method.finish(model, None, [examples()])
        close(method.importance, one_by_one(network(), examples().rows(0, 5), information == "empirical"))


# In training -----------------------------------------------------------------------------------------------


def task(seed: int, size: int = 16) -> TensorBatches:
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 6, generator=stream)
    y = (x @ torch.randn(6, C, generator=stream)).argmax(1)
    return TensorBatches(x, y, batch_size=size)


def tasks(size: int = 16, count: int = 3) -> TaskSequence:
    """Three tasks of one epoch each: with batches of 16, three steps a task."""
    return TaskSequence([task(seed, size) for seed in range(count)], epochs_each=1)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def engine(methods: Iterable[Any], *, noisy: bool = False, **settings: Any) -> Engine:
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if noisy else []
    model = nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, C))
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    return Engine(model, turn, methods, device="cpu", log_every=1, **settings)


def weights(trained: Engine, buffers: bool = True) -> dict[str, Tensor]:
    own = trained.model.state_dict() if buffers else dict(trained.model.named_parameters())
    return {name: tensor.detach().clone() for name, tensor in own.items()}


def unequal(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_training_is_that_of_a_loop_written_by_hand() -> None:
    source = tasks()
    done = engine([EWCMethod(strength=20.0)], seed=5).fit(source, epochs=3)
    model = engine([]).model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    springs: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for number in range(3):
        for batch in source.tasks[number].epoch(number, 5):
            loss = cross_entropy(model(batch.inputs), batch.targets)
            for information, there in springs:
                for name, p in model.named_parameters():
                    loss = loss + 20.0 / 2 * (information[name] * (p - there[name]) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        whole = source.tasks[number]
        assert isinstance(whole, TensorBatches)
        information = one_by_one(model, Batch(whole.inputs, whole.targets))
        springs.append((information, {name: p.detach().clone() for name, p in model.named_parameters()}))
    close(weights(done), {name: tensor.detach() for name, tensor in model.state_dict().items()})
    assert unequal(weights(done), weights(engine([], seed=5).fit(source, epochs=3)))


def test_nothing_changes_before_the_first_task_has_ended() -> None:
    one, other = engine([EWCMethod()]).fit(task(0), epochs=2), engine([]).fit(task(0), epochs=2)
    assert not unequal(weights(one), weights(other))


class StopAt(Observer):
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


@pytest.mark.parametrize("settings", [{}, {"tasks": "online", "decay": 0.7, "information": "empirical"}], ids=str)
@pytest.mark.parametrize("at", [2, 3, 4, 6, 8])
def test_a_run_that_was_stopped_goes_on_to_the_bit(at: int, settings: dict[str, Any]) -> None:
    def build(**more: Any) -> Engine:
        return engine([EWCMethod(**settings), MixupMethod()], noisy=True, accumulate=2, seed=3, **more)

    whole = build().fit(tasks(), epochs=3)
    stop = StopAt(at)
    build(observers=[stop]).fit(tasks(), epochs=3)
    again = build()
    again.load_state_dict({**stop.kept, "observers": {}})
    again.fit(tasks(), epochs=3)
    assert not unequal(weights(whole), weights(again))
    kept, other = whole.state_dict()["methods"]["ewc"], again.state_dict()["methods"]["ewc"]
    assert not unequal(kept["importance"], other["importance"])
    assert not unequal(kept["centre"], other["centre"])
    assert torch.equal(kept["rest"], other["rest"])


@pytest.mark.parametrize("size", [16, 11])
def test_four_micro_batches_equal_one_batch(size: int) -> None:
    one = engine([EWCMethod()]).fit(tasks(size), epochs=3)
    four = engine([EWCMethod()], accumulate=4).fit(tasks(size), epochs=3)
    close(weights(one), weights(four))


def test_it_runs_in_bf16() -> None:
    one = weights(engine([EWCMethod()]).fit(tasks(), epochs=3))
    half = weights(engine([EWCMethod()], precision="bf16").fit(tasks(), epochs=3))
    for name in one:
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], one[name], rtol=0.1, atol=0.1)


def test_it_goes_with_other_methods_in_whatever_order_they_are_listed() -> None:
    def run(methods: Sequence[Any]) -> dict[str, Tensor]:
        return weights(engine(methods, noisy=True).fit(tasks(), epochs=3))

    one = run([EWCMethod(), MixupMethod(), SAMMethod()])
    assert not unequal(one, run([SAMMethod(), MixupMethod(), EWCMethod()]))
    assert unequal(one, run([SAMMethod(), MixupMethod()]))


def test_its_penalty_comes_behind_a_teachers_loss_and_is_weighed_by_no_other() -> None:
    """With all the weight on a teacher who agrees nothing is left to learn but the springs."""
    model = network().eval()
    teacher, batch, ewc = copy.deepcopy(model), examples(), EWCMethod(strength=2.0)
    distillation = DistillationMethod(teacher=teacher, weight=1.0)
    ewc.finish(model, None, [batch])
    with torch.no_grad():
        model[4].bias += 1.0  # all scores alike: the answers stay the same
    step = Step(0, 0, Plan(), model, batch, model(batch.inputs), whole=batch)
    distillation.data(None, Plan())
    loss = cross_entropy(step.output, batch.targets)
    for method in ordered([ewc, distillation]):
        loss = method.loss(loss, step)
    springs = 2.0 / 2 * ewc.importance["4.bias"].sum()
    left = (loss - distillation.loss(torch.zeros(()), step)).detach()
    assert float(left) == pytest.approx(float(springs))


def test_one_method_serves_two_engines_one_after_another() -> None:
    method = EWCMethod()
    one, other = (weights(engine([method]).fit(tasks(), epochs=3)) for _ in range(2))
    assert not unequal(one, other)


def test_it_remembers_what_training_without_it_forgets() -> None:
    """Two tasks on inputs of their own, which a linear model has room for: the second undoes nothing of the first."""
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    apart = [torch.cat([x, torch.zeros(200, 3)], 1), torch.cat([0.5 * x, x.flip(0)], 1)]
    labels = [x.argmax(1), x.flip(0).argmin(1)]
    source = TaskSequence([TensorBatches(a, y, batch_size=20) for a, y in zip(apart, labels, strict=True)], 25)

    def kept(*methods: Any) -> float:
        torch.manual_seed(0)
        turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
        done = Engine(nn.Linear(6, C), turn, methods, device="cpu").fit(source, epochs=50)
        with torch.no_grad():
            return float((done.model(apart[0]).argmax(1) == labels[0]).float().mean())

    assert kept(EWCMethod(strength=50.0)) > 0.9 > 0.8 > kept()


# What it refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strength": -1.0}, r"ewc\.strength is -1\.0; allowed: a number from 0"),
        ({"tasks": "all"}, r"ewc\.tasks is 'all'; allowed: sum or online"),
        ({"tasks": "online", "decay": 1.5}, r"ewc\.decay is 1\.5; allowed"),
        ({"tasks": "online", "decay": -0.5}, r"ewc\.decay is -0\.5; allowed"),
        ({"decay": 0.5}, r"ewc\.decay is 0\.5; allowed: 1, unless ewc\.tasks is online"),
        ({"information": "none"}, r"ewc\.information is 'none'; allowed: exact or empirical"),
        ({"examples": -1}, r"ewc\.examples is -1; allowed"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        EWCMethod(**settings)


def test_what_has_no_fisher_information_is_refused_in_one_line() -> None:
    x = torch.zeros(2, D)
    unfit = [
        (linear(), Batch(x, {"words": torch.zeros(2)}), "no tensor"),
        (linear(), Batch(x, torch.zeros(2, 4)), r"targets \(2, 4\) for outputs \(2, 3\)"),
        (linear(), Batch(x, torch.zeros(2, 3).long()), r"targets \(2, 3\)"),
        (nn.Sequential(linear(), nn.Unflatten(1, (1, C))), Batch(x, torch.zeros(2).long()), r"outputs \(2, 1, 3\)"),
        (nn.LSTM(D, C), Batch(x, torch.zeros(2).long()), "answers with no tensor"),
    ]
    for model, batch, words in unfit:
        with pytest.raises(UserError, match=words) as error:
            fisher_information(model, [batch])
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="at least one example"):
        fisher_information(linear(), [])


def test_one_task_alone_is_said_to_hold_nothing(caplog: pytest.LogCaptureFixture) -> None:
    one = TensorBatches(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long))
    method = EWCMethod()
    assert method.data(TaskSequence([one, one], 1), Plan()).tasks == [one, one]
    assert not caplog.records
    assert method.data(one, Plan()) is one
    assert [record.getMessage()[:40] for record in caplog.records] == ["ewc holds nothing before a second task, "]
