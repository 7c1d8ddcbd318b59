"""MAML against closed forms, loops written by hand, finite differences, and the promises of every method."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from locution.data.sinusoids import draw_sinusoids
from locution.data.tasks import TaskBatches
from locution.engine import Batch, Engine, Plan, TensorBatches, Turn
from locution.errors import UserError
from locution.losses.basic import MSE, CrossEntropy
from locution.models.adaptation import Adaptation, adapt, beginning, per_task
from locution.models.few_shot import FewShot
from locution.models.maml import MAMLMethod
from locution.vocabulary.lookup import part

T, K, Q, D, N = 5, 6, 4, 3, 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(outputs: int = 1, kind: type[nn.Module] = nn.Tanh, double: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(D, 7), kind(), nn.Linear(7, outputs))
    return net.double() if double else net


def tasks(count: int = T, classes: bool = False, double: bool = False, seed: int = 1) -> Batch:
    stream, kind = seeded(seed), torch.float64 if double else torch.float32

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=stream, dtype=kind)

    def answers(shots: int) -> Tensor:
        return torch.randint(N, (count, shots), generator=stream) if classes else normal(count, shots, 1)

    return Batch({"support": normal(count, K, D), "answers": answers(K), "query": normal(count, Q, D)}, answers(Q))


def by_hand(net: nn.Sequential, batch: Batch, steps: int, lr: float, first_order: bool, *, classes: bool) -> Tensor:
    """The meta-loss as algorithm 1 reads: task by task, layer by layer, with nothing vectorised."""

    def forward(weights: list[Tensor], x: Tensor) -> Tensor:
        return torch.tanh(x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]

    loss = F.cross_entropy if classes else F.mse_loss
    total = torch.zeros((), dtype=torch.float64 if net[0].weight.dtype == torch.float64 else torch.float32)
    for row in range(len(batch)):
        weights: list[Tensor] = list(net.parameters())
        for _ in range(steps):
            wrong = loss(forward(weights, batch.inputs["support"][row]), batch.inputs["answers"][row])
            slopes = torch.autograd.grad(wrong, weights, create_graph=not first_order)
            weights = [weight - lr * slope for weight, slope in zip(weights, slopes, strict=True)]
        total = total + loss(forward(weights, batch.inputs["query"][row]), batch.targets[row]) / len(batch)
    return total


# Oracles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_a_linear_model_has_a_closed_form(steps: int, first_order: bool) -> None:
    """Squared loss is a bowl of curvature H = 2/K X'X: a step is affine, its derivative I - lr H."""
    lr, batch = 0.1, tasks(double=True)
    net = nn.Linear(D, 1, bias=False).double()
    model = MAMLMethod(inner_steps=steps, inner_lr=lr, first_order=first_order).model(FewShot(net), Plan())
    _, loss = MSE()(model, batch)
    loss.backward()
    expected, start = torch.zeros(D, dtype=torch.float64), net.weight.detach()[0]
    for row in range(T):
        x, y = batch.inputs["support"][row], batch.inputs["answers"][row][:, 0]
        q, z = batch.inputs["query"][row], batch.targets[row][:, 0]
        bowl, w = 2 / K * x.T @ x, start
        for _ in range(steps):
            w = w - lr * 2 / K * x.T @ (x @ w - y)
        slope = 2 / Q * q.T @ (q @ w - z)
        if not first_order:
            slope = torch.linalg.matrix_power(torch.eye(D, dtype=torch.float64) - lr * bowl, steps) @ slope
        expected += slope / T
    assert net.weight.grad is not None
    torch.testing.assert_close(net.weight.grad[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
def test_equals_a_loop_written_by_hand(steps: int, first_order: bool, classes: bool) -> None:
    batch, net = tasks(classes=classes), network(N if classes else 1)
    expected = torch.autograd.grad(
        by_hand(net, batch, steps, 0.2, first_order, classes=classes), list(net.parameters())
    )
    model = MAMLMethod(inner_steps=steps, inner_lr=0.2, first_order=first_order).model(FewShot(net), Plan())
    _, loss = (CrossEntropy() if classes else MSE())(model, batch)
    found = torch.autograd.grad(loss, list(net.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_the_second_order_gradient_is_that_of_finite_differences() -> None:
    batch, net = tasks(double=True), network(double=True)
    model = MAMLMethod(inner_steps=2, inner_lr=0.3).model(FewShot(net), Plan())
    MSE()(model, batch)[1].backward()
    weight, small = net[0].weight, 1e-6
    for place in ((0, 0), (3, 1), (6, 2)):
        losses = []
        for shift in (small, -small):
            with torch.no_grad():
                weight[place] += shift
                losses.append(MSE()(model, batch)[1].item())
                weight[place] -= shift
        assert weight.grad is not None
        assert abs((losses[0] - losses[1]) / (2 * small) - weight.grad[place].item()) < 1e-7


def test_the_first_order_differs_from_the_second() -> None:
    found = []
    for first_order in (False, True):
        net = network()
        model = MAMLMethod(inner_lr=0.2, first_order=first_order).model(FewShot(net), Plan())
        MSE()(model, tasks())[1].backward()
        found.append(net[0].weight.grad)
    assert float((found[0] - found[1]).abs().max()) > 1e-3


# Adaptation -------------------------------------------------------------------------------------------------


def test_only_the_weights_that_are_named_adapt_and_all_others_are_learnt() -> None:
    net = network()
    inputs = tasks().inputs
    weights = beginning(net, "2.*", T, True)
    assert list(weights) == ["2.weight", "2.bias"]
    adapted = adapt(per_task(net), weights, inputs["support"], inputs["answers"], 0.1, 1)
    assert float((adapted["2.weight"] - net[2].weight).detach().abs().max()) > 1e-3
    model = MAMLMethod(inner_lr=0.1, adapt="2.*").model(FewShot(net), Plan())
    torch.testing.assert_close(model(inputs), per_task(net)(adapted, inputs["query"]), rtol=0, atol=1e-6)
    MSE()(model, tasks())[1].backward()
    assert net[0].weight.grad is not None
    assert float(net[0].weight.grad.abs().max()) > 1e-4


def test_frozen_weights_do_not_adapt() -> None:
    net = network()
    net[0].requires_grad_(False)
    assert list(beginning(net, "*", T, True)) == ["2.weight", "2.bias"]
    with pytest.raises(UserError, match=r"none trains; allowed: "):
        beginning(net, "0.*", T, True)


def test_tasks_do_not_see_each_other() -> None:
    model, batch = FewShot(network(), Adaptation(lr=0.2)), tasks()
    whole = model(batch.inputs)
    for row in range(T):
        alone = model(batch.rows(row, row + 1).inputs)
        torch.testing.assert_close(whole[row], alone[0], rtol=0, atol=1e-6)


def test_without_gradients_the_answers_are_the_same_and_carry_none() -> None:
    model, batch = FewShot(network(), Adaptation(steps=2, lr=0.2)), tasks()
    with torch.no_grad():
        found = model(batch.inputs)
    assert not found.requires_grad
    torch.testing.assert_close(found, model(batch.inputs).detach(), rtol=0, atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_answers_after_several_numbers_of_steps_are_those_of_one_at_a_time() -> None:
    batch = tasks()
    model = FewShot(network())
    with torch.no_grad():
        several = model.after(batch.inputs, [0, 1, 3], 0.2)
    for steps, found in zip((0, 1, 3), several, strict=True):
        alone = FewShot(model.network, Adaptation(steps=steps, lr=0.2))(batch.inputs)
        torch.testing.assert_close(found, alone.detach(), rtol=0, atol=1e-6)


def test_classes_have_columns_of_their_own_or_places_in_the_task() -> None:
    inputs = {**tasks(classes=True).inputs, "classes": torch.tensor([[4, 0, 2]] * T)}
    net = network(5)
    scores = net(inputs["query"].flatten(0, 1)).view(T, Q, 5)
    torch.testing.assert_close(FewShot(net)(inputs), scores[..., [4, 0, 2]])
    torch.testing.assert_close(FewShot(net, Adaptation(steps=0))(inputs), scores[..., :3])
    with torch.no_grad():  # what was trained without adapting keeps its columns when it adapts
        torch.testing.assert_close(FewShot(net).after(inputs, [0], 0.1)[0], scores[..., [4, 0, 2]])


# Refusals ---------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    norm = nn.Sequential(nn.Linear(D, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    cases: list[tuple[Any, str]] = [
        (lambda: MAMLMethod(inner_steps=0), r"maml\.inner_steps is 0; allowed: "),
        (lambda: MAMLMethod(inner_lr=0.0), r"maml\.inner_lr is 0\.0; allowed: "),
        (lambda: MAMLMethod(adapt=""), r"maml\.adapt is ''; allowed: "),
        (lambda: MAMLMethod().model(network(), Plan()), "'maml' came upon Sequential; allowed: "),
        (lambda: MAMLMethod().model(FewShot(norm), Plan()), "BatchNorm1d at '1', .*allowed: .*LayerNorm"),
        (lambda: MAMLMethod(adapt="head.*").model(FewShot(network()), Plan()), r"'head\.\*' matches no parameter"),
        (lambda: FewShot(network())({"query": torch.zeros(1)}), "inputs are query; allowed: tasks"),
        (lambda: Adaptation(steps=-1), r"adaptation\.steps is -1; allowed: "),
        (lambda: Adaptation(lr=-1.0), r"adaptation\.lr is -1\.0; allowed: "),
    ]
    for other in MAMLMethod.excludes:
        cases.append((lambda name=other: engine([name]), f"'maml' and '{other}' cannot be combined; "))
    for refuse, line in cases:
        with pytest.raises(UserError, match=line) as refused:
            refuse()
        assert "\n" not in str(refused.value)


# The promises of every method, on a problem of tasks --------------------------------------------------------


def engine(
    methods: list[str],
    *,
    dropout: bool = False,
    backwards: bool = False,
    maml: dict[str, Any] | None = None,
    **settings: Any,
) -> Engine:
    torch.manual_seed(0)
    rest: list[nn.Module] = [nn.Dropout(0.2)] if dropout else []
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), *rest, nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    made = [MAMLMethod(inner_lr=0.1, **(maml or {})), *(part("method", name)() for name in methods)]
    turn = Turn(MSE(), partial(torch.optim.SGD, lr=0.02, momentum=0.9))
    made = made[::-1] if backwards else made
    return Engine(FewShot(net), turn, made, device="cpu", log_every=1, **settings)


def waves(size: int = 8) -> TensorBatches:
    batch = draw_sinusoids(20, 5, 5, seeded(3))
    return TensorBatches(batch.inputs, batch.targets, batch_size=size)


def weights(trained: Engine) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in trained.model.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("size", [8, 7])
def test_four_micro_batches_equal_one_batch(size: int, first_order: bool) -> None:
    maml = {"first_order": first_order}
    whole = engine([], maml=maml).fit(waves(size), steps=6)
    same(weights(whole), weights(engine([], maml=maml, accumulate=4).fit(waves(size), steps=6)), 1e-6)


@pytest.mark.parametrize("other", ["sam", "lookahead", "clipping", "one_cycle", "dropconnect", "lora"])
def test_composes_in_whatever_order_it_is_listed(other: str) -> None:
    one = engine([other]).fit(waves(), steps=5)
    back = engine([other], backwards=True).fit(waves(), steps=5)
    same(weights(one), weights(back))
    alone = weights(engine([]).fit(waves(), steps=5))
    assert any(name not in alone or not torch.equal(found, alone[name]) for name, found in weights(one).items())


def test_sams_second_pass_sees_the_same_tasks() -> None:
    whole = engine(["sam"]).fit(waves(7), steps=5)
    same(weights(whole), weights(engine(["sam"], accumulate=3).fit(waves(7), steps=5)), 1e-6)


def test_runs_in_bf16() -> None:
    full, half = engine([]).fit(waves(), steps=6), engine([], precision="bf16").fit(waves(), steps=6)
    assert all(one.dtype == torch.float32 for one in weights(half).values())
    same(weights(full), weights(half), 0.05)


def test_goes_on_to_the_bit_where_it_was_stopped() -> None:
    source = TaskBatches(lambda count, stream: draw_sinusoids(count, 5, 5, stream), tasks=4, length=5)
    whole = engine([], dropout=True, seed=2).fit(source, steps=8)
    begun = engine([], dropout=True, seed=2).fit(source, steps=3)
    kept = copy.deepcopy(begun.state_dict())
    again = engine([], dropout=True, seed=2)
    again.load_state_dict(kept)
    again.fit(source, steps=8)
    same(weights(whole), weights(again))


def test_dropout_drops_other_units_in_each_task() -> None:
    model = FewShot(nn.Sequential(nn.Linear(1, 50), nn.Dropout(0.5), nn.Linear(50, 1)), Adaptation(lr=1e-6)).train()
    inputs = {"support": torch.ones(2, 1, 1), "answers": torch.ones(2, 1, 1), "query": torch.ones(2, 1, 1)}
    found = model(inputs).detach()
    assert abs(float(found[0] - found[1])) > 1e-4


def test_what_leaves_is_the_model_it_was_and_still_adapts() -> None:
    done = engine([]).fit(waves(), steps=3)
    leaves = done.trained()
    assert list(leaves.state_dict()) == [f"network.{name}" for name in leaves.network.state_dict()]
    batch = next(waves().epoch(0, 0))
    expected = FewShot(leaves.network, Adaptation(lr=0.1))(batch.inputs)
    torch.testing.assert_close(leaves(batch.inputs), expected)
    assert leaves(torch.zeros(2, 1)).shape == (2, 1)
