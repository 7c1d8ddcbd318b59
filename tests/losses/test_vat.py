"""Virtual adversarial training: the direction against an eigenvector, a step by hand, and that its passes leave no
trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.basic import MSE, CrossEntropy
from locution.losses.divergence import distance
from locution.losses.vat import VATMethod, adversarial_direction, resting
from locution.optimizers.sam import SAMMethod

LR = 0.05


def network(noisy: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if noisy else []
    return nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, 3))


def data(size: int = 16, beside: int | None = 13, beside_size: int | None = None) -> TensorBatches:
    stream = torch.Generator().manual_seed(7)
    x = 3 * torch.randn(40, 6, generator=stream)
    y = x[:, :3].argmax(1)
    more = {"unlabelled": torch.randn(beside, 6, generator=stream)} if beside else None
    return TensorBatches(x, y, batch_size=size, beside=more, beside_size=beside_size)


def engine(
    *methods: Any, noisy: bool = False, objective: Any = None, model: nn.Module | None = None, **more: Any
) -> Any:
    turn = Turn(objective or CrossEntropy(), partial(torch.optim.SGD, lr=LR, momentum=0.9))
    return Engine(model or network(noisy), turn, methods, device="cpu", log_every=1, **more)


def weights(done: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in done.model.named_parameters()}


def close(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol)


# The direction ---------------------------------------------------------------------------------------------


def linear_softmax(rows: int = 5) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor], list[Tensor]]:
    """Scores W x: the divergence's curvature is W' (diag p - p p') W, known in closed form."""
    stream = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 6, generator=stream, dtype=torch.float64)
    x = torch.randn(rows, 6, generator=stream, dtype=torch.float64)
    p = (x @ weight.T).softmax(1)
    curvatures = [weight.T @ (one.diag() - one.outer(one)) @ weight for one in p]

    def change(step: Tensor) -> Tensor:
        before, after = (x @ weight.T).log_softmax(1), ((x + step) @ weight.T).log_softmax(1)
        return (before.exp() * (before - after)).sum(1)

    return x, weight, change, curvatures


def test_the_direction_is_the_top_eigenvector_of_the_curvature() -> None:
    x, _, change, curvatures = linear_softmax()
    start = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = adversarial_direction(change, start, xi=1e-4, iterations=200)
    for row, curvature in zip(found, curvatures, strict=True):
        top = torch.linalg.eigh(curvature).eigenvectors[:, -1]
        assert abs(abs(float(row @ top)) - 1) < 1e-6
        assert abs(float(row.norm()) - 1) < 1e-12


def test_one_iteration_is_one_product_with_the_curvature() -> None:
    x, _, change, curvatures = linear_softmax()
    start = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = adversarial_direction(change, start, xi=1e-6)
    for row, curvature, one in zip(found, curvatures, start, strict=True):
        product = curvature @ one
        torch.testing.assert_close(row, product / product.norm(), rtol=0, atol=1e-5)


def test_a_change_without_curvature_gives_no_direction_and_no_nan() -> None:
    found = adversarial_direction(lambda step: (0 * step).sum(1), torch.ones(2, 3))
    assert torch.equal(found, torch.zeros(2, 3))


def test_tiny_gradients_still_point() -> None:
    found = adversarial_direction(lambda step: 1e-30 * (step**2).sum(1), torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8]]))


# A step by hand --------------------------------------------------------------------------------------------


def by_hand(method: VATMethod, batch: Batch, steps: int = 1) -> dict[str, Tensor]:
    """The paper's equations written out, without the library's parts: plain SGD with momentum."""
    model = network()
    velocity: dict[str, Tensor] = {}
    for number in range(steps):
        draw = generator(0, "vat", 0, number)
        starts = [torch.randn(batch.inputs.shape, generator=draw)]
        rows = [batch.inputs]
        if batch.beside:
            starts.append(torch.randn(batch.beside["unlabelled"].shape, generator=draw))
            rows.append(batch.beside["unlabelled"])
        x, d = torch.cat(rows), torch.cat(starts)
        p = model(x).softmax(1).detach()
        for _ in range(method.iterations):
            r = (method.xi * d / d.norm(dim=1, keepdim=True)).requires_grad_()
            divergence = (p * (p.log() - model(x + r).log_softmax(1))).sum()
            (d,) = torch.autograd.grad(divergence, r)
        r = method.epsilon * d / d.norm(dim=1, keepdim=True)
        term = (p * (p.log() - model(x + r).log_softmax(1))).sum(1).mean()
        q = model(x).softmax(1)
        unsure = -(q * q.log()).sum(1).mean()
        loss = functional.cross_entropy(model(batch.inputs), batch.targets)
        loss = loss + method.weight * term + method.entropy * unsure
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None
                velocity[name] = 0.9 * velocity.get(name, torch.zeros(())) + parameter.grad
                parameter.sub_(LR * velocity[name])
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("unlabelled", [True, False])
@pytest.mark.parametrize(
    "settings",
    [{}, {"epsilon": 0.3, "xi": 0.02, "weight": 2.0}, {"iterations": 3}, {"entropy": 0.7, "weight": 0.5}],
    ids=str,
)
def test_a_step_equals_one_written_by_hand(settings: dict[str, Any], unlabelled: bool) -> None:
    method = VATMethod(**settings)
    source = data(40, 13 if unlabelled else None, 13)
    source.shuffle = False
    done = engine(method).fit(source, steps=1)
    batch = next(source.epoch(0, 0))
    close(weights(done), by_hand(method, batch))


def test_it_comes_behind_what_weighs_the_loss_of_the_targets() -> None:
    assert VATMethod.after == ("distillation",)


# What it promises ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside_size", [16, 13, 2])
@pytest.mark.parametrize("size", [16, 11])
def test_micro_batches_equal_one_batch(size: int, beside_size: int) -> None:
    """Ragged ones, and some to which no unlabelled example falls."""
    whole = engine(VATMethod()).fit(data(size, 13, beside_size), steps=8)
    parts = engine(VATMethod(), accumulate=4).fit(data(size, 13, beside_size), steps=8)
    close(weights(whole), weights(parts))


def test_with_sharpness_aware_minimisation_both_passes_see_the_same_random_directions() -> None:
    method, seen = VATMethod(), []
    made = engine(method, SAMMethod())
    inner = method.terms

    def spy(model: nn.Module, inputs: Tensor, start: Tensor) -> Tensor:
        seen.append(start)
        return inner(model, inputs, start)

    method.terms = spy  # type: ignore[method-assign]
    made.fit(data(), steps=3)
    assert len(seen) == 6
    assert all(torch.equal(one, other) for one, other in zip(seen[::2], seen[1::2], strict=True))
    assert not torch.equal(seen[0], seen[2])


def test_its_passes_move_no_statistics_and_draw_nothing() -> None:
    """With a weight of nothing a run with dropout and batch norm is that without the method, to the bit."""
    plain = engine(noisy=True).fit(data(), steps=6)
    idle = engine(VATMethod(weight=0.0), noisy=True).fit(data(), steps=6)
    one, other = plain.model.state_dict(), idle.model.state_dict()
    assert "1.running_mean" in one
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_draws_at_random_sleeps_and_wakes_again() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.1)))
    model[0].eval()  # asleep before: stays so
    x = torch.randn(7, 6)
    with resting(model):
        assert torch.equal(model(x), model(x))
        torch.testing.assert_close(model(x).mean(0), torch.zeros(8), rtol=0, atol=1e-5)  # the batch's own statistics
    assert [module.training for module in model] == [False, True, True, True]
    assert torch.equal(model.state_dict()["1.running_mean"], torch.zeros(8))
    assert model[1].num_batches_tracked == 0


def test_an_error_in_a_pass_leaves_the_model_awake() -> None:
    model = nn.Sequential(nn.Dropout(0.5))
    with pytest.raises(ZeroDivisionError), resting(model):
        _ = 1 / 0
    assert model[0].training


def test_values_are_compared_by_their_squared_distance() -> None:
    """Of all steps of one length that along the top singular vector turns a linear answer most, whatever the input."""
    torch.manual_seed(1)
    model = nn.Linear(6, 2)
    x, y = torch.randn(9, 6), torch.randn(9, 2)
    weight, bias = (tensor.detach().clone() for tensor in (model.weight, model.bias))
    method = VATMethod(epsilon=0.5, iterations=30)
    engine(method, objective=MSE(), model=model).fit(TensorBatches(x, y, batch_size=9, shuffle=False), steps=1)
    top = torch.linalg.svd(weight).Vh[0]
    start = torch.randn(9, 6, generator=generator(0, "vat", 0, 0))
    r = 0.5 * (start @ top).sign()[:, None] * top
    # the answer where no step is taken is held fixed: 1/2 |W (x + r) + b - fixed|^2 over two numbers, and the loss
    through = (r @ weight.T).T @ (x + r) / 9
    gradient = (x @ weight.T + bias - y).T @ x / 9
    torch.testing.assert_close(model.weight.detach(), weight - LR * (gradient + through), rtol=0, atol=1e-6)


def test_distributions_are_classes_too() -> None:
    source = data(40, None)
    soft = TensorBatches(source.inputs, functional.one_hot(source.targets, 3).float(), batch_size=40)
    hard = TensorBatches(source.inputs, source.targets, batch_size=40)
    one, other = (weights(engine(VATMethod()).fit(batches, steps=2)) for batches in (soft, hard))
    close(one, other)


def test_the_direction_is_sought_in_full_precision() -> None:
    """bf16 would round a step of a thousandth away, and the direction with it."""
    full = engine(VATMethod(xi=1e-3)).fit(data(), steps=8)
    half = engine(VATMethod(xi=1e-3), precision="bf16").fit(data(), steps=8)
    close(weights(full), weights(half), atol=0.03)
    wanted: list[Tensor] = []
    for precision in ("fp32", "bf16"):
        model, inputs = network(), data().inputs[:8]
        method = VATMethod(xi=1e-3)
        method.classes = True
        start = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            wanted.append(method.terms(model, inputs, start))
    torch.testing.assert_close(wanted[0], wanted[1], rtol=0.1, atol=0.02)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(4, 6, dtype=torch.int64), "vat came upon inputs of int64; allowed: a tensor of floating-point"),
        ({"a": torch.zeros(4, 6)}, "vat came upon inputs of dict; allowed: a tensor of floating-point"),
    ],
)
def test_inputs_that_cannot_be_moved_are_refused(inputs: Any, message: str) -> None:
    class Any3(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 3))

        def forward(self, inputs: Any) -> Tensor:
            return self.weight

    batches = TensorBatches(inputs, torch.zeros(4, dtype=torch.int64), batch_size=4)
    with pytest.raises(UserError, match=message):
        engine(VATMethod(), model=Any3()).fit(batches, steps=1)


def test_values_have_no_entropy() -> None:
    with pytest.raises(UserError, match=r"vat.entropy is 1.0 and the targets are values; allowed: 0"):
        engine(VATMethod(entropy=1.0), objective=MSE(), model=nn.Linear(6, 1)).fit(
            TensorBatches(torch.randn(4, 6), torch.randn(4, 1)), steps=1
        )


@pytest.mark.parametrize(
    ("setting", "value"),
    [("epsilon", 0.0), ("weight", -1.0), ("xi", 0.0), ("iterations", 0), ("entropy", -0.1), ("kind", "words")],
)
def test_settings_out_of_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"vat.{setting} is {value!r}; allowed"):
        VATMethod(**{setting: value})


def test_distance_of_sequences_is_a_mean_over_places() -> None:
    one, other = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    found = distance(one, other, classes=True)
    expected = functional.kl_div(other.log_softmax(-1), one.log_softmax(-1), reduction="none", log_target=True)
    torch.testing.assert_close(found, expected.sum(-1).mean(1))


def test_answers_that_are_no_tensor_are_refused() -> None:
    class Two(nn.Linear):
        def forward(self, inputs: Tensor) -> Any:
            return {"outputs": super().forward(inputs)}

    def objective(model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        output = model(batch.inputs)
        return output, output["outputs"].square().mean()

    with pytest.raises(UserError, match="vat came upon answers of dict; allowed: a tensor"):
        engine(VATMethod(), model=Two(6, 2), objective=objective).fit(data(), steps=1)
