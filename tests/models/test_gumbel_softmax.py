"""Gumbel-softmax against softmax itself, quadrature and closed forms, and the promises of every method."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Plan, Step, TensorBatches, Turn
from locution.errors import UserError
from locution.losses.elbo import ELBO
from locution.models.categorical_vae import CategoricalVAE
from locution.models.gumbel_softmax import (
    GumbelSoftmax,
    GumbelSoftmaxMethod,
    gumbel_noise,
    gumbel_softmax,
    one_hot_largest,
    temperature,
)
from locution.vocabulary.lookup import part


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Oracles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heat", [0.1, 1.0, 5.0])
def test_the_largest_falls_on_each_class_as_often_as_softmax_says(heat: float) -> None:
    count, logits = 200_000, torch.tensor([1.0, 0.0, -1.0, 0.5])
    samples = gumbel_softmax(logits, gumbel_noise((count, 4), seeded()), heat)
    share = torch.bincount(samples.argmax(-1), minlength=4) / count
    wanted = logits.softmax(-1)
    assert bool(((share - wanted).abs() < 5 * (wanted * (1 - wanted) / count).sqrt()).all())
    torch.testing.assert_close(samples.sum(-1), torch.ones(count))


def test_the_noise_has_the_mean_and_spread_of_gumbels_distribution() -> None:
    noise = gumbel_noise((400_000,), seeded(1)).double()
    spread = np.pi / 6**0.5
    assert abs(noise.mean().item() - np.euler_gamma) < 5 * spread / 400_000**0.5
    assert abs(noise.std().item() - spread) < 0.01
    assert bool(torch.isfinite(noise).all())


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.0])
def test_the_expected_gradient_is_that_of_quadrature(heat: float) -> None:
    """Of two classes the noise is one logistic number L: a sample is sigmoid((l + L) / heat). f(y) = (y - 0.3)^2."""
    l0 = 0.7
    u = (np.arange(100_000) + 0.5) / 100_000  # the middles of as many slices
    y = 1 / (1 + np.exp(-(l0 + np.log(u / (1 - u))) / heat))
    exact = float((2 * (y - 0.3) * y * (1 - y) / heat).mean())
    count = 60_000
    logits = torch.tensor([l0, 0.0], dtype=torch.float64, requires_grad=True)
    noise = gumbel_noise((count, 2), seeded(2)).double()
    per_draw = torch.autograd.grad(
        (gumbel_softmax(wide := logits.expand(count, 2), noise, heat)[:, 0] - 0.3).square().sum(), wide
    )[0]
    found, error = per_draw.mean(0), per_draw.std(0) / count**0.5
    assert abs(found[0].item() - exact) < 5 * error[0].item()
    assert abs(found[1].item() + exact) < 5 * error[1].item()


def test_the_derivative_of_a_sample_is_that_of_a_softmax_over_its_temperature() -> None:
    logits, noise = torch.randn(4, generator=seeded(3)).double(), gumbel_noise((4,), seeded(4)).double()
    y = gumbel_softmax(logits, noise, 0.7)
    expected = (torch.diag(y) - torch.outer(y, y)) / 0.7
    found = torch.autograd.functional.jacobian(lambda x: gumbel_softmax(x, noise, 0.7), logits)
    torch.testing.assert_close(found, expected)
    straight = torch.autograd.functional.jacobian(lambda x: gumbel_softmax(x, noise, 0.7, hard=True), logits)
    torch.testing.assert_close(straight, expected)
    hard = gumbel_softmax(logits, noise, 0.7, hard=True)
    torch.testing.assert_close(hard, one_hot_largest(y))


def test_equals_torchs_own_on_the_same_noise() -> None:
    torch.manual_seed(5)
    theirs = nn.functional.gumbel_softmax(torch.zeros(3, 4), tau=0.6)
    torch.manual_seed(5)
    noise = -torch.empty(3, 4).exponential_().log()
    torch.testing.assert_close(gumbel_softmax(torch.zeros(3, 4), noise, 0.6), theirs)


def test_the_temperature_is_that_of_the_paper() -> None:
    """max(0.5, exp(-r t)): by shares of training, the lowest is reached where exp(-r t) is."""
    for share in (0.0, 0.3, 0.79, 0.8, 1.0):
        rate = np.log(2) / 0.8
        assert abs(temperature(share, 1.0, 0.5, 0.8) - max(0.5, np.exp(-rate * share))) < 1e-9
    assert temperature(0.0, 1.0, 0.5, 0.0) == 0.5


# The promises of every method, on a problem of choices ------------------------------------------------------


def pictures(size: int = 16) -> TensorBatches:
    x = (torch.rand(40, 1, 3, 3, generator=seeded(7)) > 0.5).float()
    return TensorBatches(x, batch_size=size)


def engine(methods: list[str], *, gumbel: dict[str, Any] | None = None, back: bool = False, **settings: Any) -> Engine:
    torch.manual_seed(0)
    model = CategoricalVAE((1, 3, 3), 4, 3, (12,))
    made = [GumbelSoftmaxMethod(**(gumbel or {})), *(part("method", name)() for name in methods)]
    turn = Turn(ELBO(), partial(torch.optim.SGD, lr=0.02, momentum=0.9))
    return Engine(model, turn, made[::-1] if back else made, device="cpu", log_every=1, **settings)


def weights(trained: Engine) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in trained.model.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("methods", [[], ["sam"]], ids=["alone", "sam"])
@pytest.mark.parametrize("size", [16, 11])
def test_four_micro_batches_equal_one_batch(size: int, methods: list[str], hard: bool) -> None:
    whole = engine(methods, gumbel={"hard": hard}).fit(pictures(size), steps=8)
    parts = engine(methods, gumbel={"hard": hard}, accumulate=4).fit(pictures(size), steps=8)
    same(weights(whole), weights(parts), 1e-6)


def test_a_step_equals_one_written_by_hand() -> None:
    made = engine([], gumbel={"start": 0.9, "until": 0.5, "lowest": 0.3})
    model, source = copy.deepcopy(made.model), pictures()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    assert isinstance(model, CategoricalVAE)
    for number, batch in enumerate(list(source.epoch(0, 0))[:2]):
        logits = model.logits(batch.inputs)
        step = Step(number, 0, Plan(seed=0), model)
        noise = gumbel_noise(logits.shape, step.generator("gumbel_softmax 0"))
        z = torch.softmax((logits + noise) / (0.9 * (0.3 / 0.9) ** (number / 2 / 0.5)), -1)
        q = logits.softmax(-1)
        log_ratio = q * (q.log() + np.log(3))
        surprise = nn.functional.binary_cross_entropy_with_logits(model.decode(z), batch.inputs, reduction="sum")
        optimizer.zero_grad()
        ((surprise + log_ratio.sum()) / len(batch)).backward()
        optimizer.step()
    done = engine([], gumbel={"start": 0.9, "until": 0.5, "lowest": 0.3}).fit(source, steps=2)
    same(dict(model.named_parameters()), dict(done.model.named_parameters()), 1e-6)


@pytest.mark.parametrize("hard", [False, True])
def test_what_comes_next_sees_classes_themselves_if_they_are_asked_for(hard: bool) -> None:
    made, seen = engine([], gumbel={"hard": hard}), list[Tensor]()
    made.model.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    made.fit(pictures(), steps=1)
    distance = (seen[0] - seen[0].round()).abs().max().item()
    assert distance < 1e-6 if hard else distance > 0.1


def test_every_step_draws_anew_and_a_step_only_once() -> None:
    made, seen = engine(["sam"]), list[Tensor]()
    objective = made.turns[0].objective

    def spy(model: Any, batch: Batch) -> Any:
        seen.append(model.relax.rows.noise((len(batch), 4, 3)))
        return objective(model, batch)

    made.turns[0].objective = spy
    made.fit(pictures(), steps=2)
    first, second, third, fourth = seen
    assert torch.equal(first, second)
    assert torch.equal(third, fourth)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("other", ["sam", "lookahead", "clipping", "dropconnect", "mixup", "spectral_norm"])
def test_composes_in_whatever_order_it_is_listed(other: str) -> None:
    source = pictures()
    if other == "mixup":  # it blends targets too, and wants some
        source.targets = torch.zeros(40, 1)
    one, back = engine([other]).fit(source, steps=5), engine([other], back=True).fit(source, steps=5)
    same(weights(one), weights(back))


def test_runs_in_bf16() -> None:
    full, half = engine([]).fit(pictures(), steps=6), engine([], precision="bf16").fit(pictures(), steps=6)
    same(weights(full), weights(half), 0.05)


def test_goes_on_to_the_bit_where_it_was_stopped() -> None:
    from locution.engine import Observer, Record, Stop

    class StopAt(Observer):
        name = "stop_at"

        def watch(self, record: Record) -> Stop | None:
            return Stop("killed") if record.kind == "step" and record.step == 4 else None

    whole = engine([], seed=2).fit(pictures(), steps=9)
    begun = engine([], seed=2, observers=[StopAt()]).fit(pictures(), steps=9)
    assert begun.number == 4
    kept = copy.deepcopy(begun.state_dict()) | {"observers": {}}
    again = engine([], seed=2)
    again.load_state_dict(kept)
    same(weights(whole), weights(again.fit(pictures(), steps=9)))


def test_nothing_is_drawn_from_torchs_own_generator() -> None:
    runs = []
    for seed in (1, 2):
        made = engine([])
        torch.manual_seed(seed)
        runs.append(weights(made.fit(pictures(), steps=4)))
    same(*runs)


def test_one_method_serves_two_engines_one_after_another() -> None:
    method, results = GumbelSoftmaxMethod(), []
    for _ in range(2):
        made = engine([])
        made.methods = [method]
        results.append(weights(made.fit(pictures(), steps=4)))
    same(*results)


def test_what_leaves_has_its_softmax_back_and_the_model_in_training_does_not() -> None:
    done = engine([]).fit(pictures(), steps=3)
    leaves = done.trained()
    assert isinstance(leaves.relax, nn.Softmax)
    assert isinstance(done.model.relax, GumbelSoftmax)
    assert list(leaves.state_dict()) == list(CategoricalVAE((1, 3, 3), 4, 3, (12,)).state_dict())


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    source = iter([Batch(torch.zeros(2, 1, 3, 3))])

    class Endless:
        def steps(self) -> None:
            return None

        def epoch(self, number: int, seed: int, skip: int = 0) -> Any:
            return source

    cases: list[tuple[Any, str]] = [
        (lambda: GumbelSoftmaxMethod(start=0.0), r"gumbel_softmax\.start is 0\.0; allowed: "),
        (lambda: GumbelSoftmaxMethod(lowest=2.0), r"gumbel_softmax\.lowest is 2\.0; allowed: at most start, 1"),
        (lambda: GumbelSoftmaxMethod(until=1.5), r"gumbel_softmax\.until is 1\.5; allowed: "),
        (lambda: GumbelSoftmaxMethod(layers=""), r"gumbel_softmax\.layers is ''; allowed: "),
        (lambda: GumbelSoftmax(0.0), r"temperature is 0\.0; allowed: "),
        (
            lambda: GumbelSoftmaxMethod().model(nn.Sequential(nn.Linear(2, 2)), Plan()),
            "without a softmax layer; allowed: ",
        ),
        (lambda: GumbelSoftmaxMethod(layers="x").model(nn.Sequential(nn.Softmax(-1)), Plan()), "'x' matches no layer"),
        (lambda: GumbelSoftmaxMethod().model(nn.Sequential(nn.Softmax(1)), Plan()), "at '0' over another axis"),
        (lambda: engine([]).fit(Endless(), epochs=1), "whose length nobody knows here; allowed: "),
    ]
    for refuse, line in cases:
        with pytest.raises(UserError, match=line) as refused:
            refuse()
        assert "\n" not in str(refused.value)


def test_a_layer_of_its_own_samples_while_it_trains_and_decides_afterwards() -> None:
    torch.manual_seed(0)
    layer, logits = GumbelSoftmax(hard=True).train(), torch.tensor([0.5, 0.0]).expand(20_000, 2)
    share = layer(logits).mean(0)[0].item()
    assert abs(share - torch.tensor(0.5).sigmoid().item()) < 5 * 0.5 / 20_000**0.5
    assert layer.eval()(logits).unique(dim=0).tolist() == [[1.0, 0.0]]
    assert GumbelSoftmax(temperature=0.05).train()(logits).max(-1).values.mean() > 0.97
