"""Domain adaptation: DANN and CORAL against steps written by hand, finite differences, numpy and closed forms."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine import Batch, Engine, Plan, Step, TensorBatches, Turn
from locution.engine.method import Method
from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.coral import CORALMethod, coral_align, coral_loss, covariance
from locution.losses.domain_adversarial import (
    DANNMethod,
    domain_classifier,
    domain_losses,
    reverse_gradient,
    strength_at,
)
from locution.models.features import Overheard, features_of, overhear, unheard
from locution.models.lora import LoRAMethod
from locution.optimizers.sam import SAMMethod
from locution.vocabulary.lookup import part


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(noisy: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if noisy else []
    return nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, 3))


def data(size: int = 16, beside: int | None = None) -> TensorBatches:
    x = draws(40, 6, seed=7)
    others = {"target": 2 * draws(25, 6, seed=8) + 1}
    return TensorBatches(x, x[:, :3].argmax(1), batch_size=size, beside=others, beside_size=beside)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, functional.cross_entropy(output, batch.targets)


def trained(methods: list[Method], steps: int = 12, source: Any = None, **settings: Any) -> Engine:
    noisy = settings.pop("noisy", False)
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    engine = Engine(network(noisy), turn, methods, device="cpu", log_every=1, **settings)
    return engine.fit(source or data(), steps=steps)


def state(engine: Engine) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}


def close(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


# Reversal ----------------------------------------------------------------------------------------------------


def test_reversal_keeps_the_value_to_the_bit_and_turns_the_gradient() -> None:
    x = (1e3 * draws(50)).requires_grad_()
    y = reverse_gradient(x, 0.7)
    assert torch.equal(x, y)
    (gradient,) = torch.autograd.grad((y**3).sum(), x)
    torch.testing.assert_close(gradient, -0.7 * 3 * x.detach() ** 2)


def test_what_comes_before_the_reversal_gets_minus_lambda_times_the_finite_differences() -> None:
    """Below the reversal minus lambda times the slope of the domain loss, above it the slope itself."""
    torch.manual_seed(0)
    below, above = nn.Linear(3, 4).double(), nn.Linear(4, 1).double()
    x, strength, eps = draws(5, 3).double(), 0.3, 1e-6

    def loss(reversed_: bool) -> Tensor:
        features = below(x)
        scores = above(reverse_gradient(features, strength) if reversed_ else features).squeeze(1)
        return functional.softplus(-scores).sum()

    loss(True).backward()
    for layer, factor in ((below, -strength), (above, 1.0)):
        weight = layer.weight
        for index in np.ndindex(*weight.shape):
            with torch.no_grad():
                weight[index] += eps
                more = loss(False)
                weight[index] -= 2 * eps
                less = loss(False)
                weight[index] += eps
            slope = float(more - less) / (2 * eps)
            assert weight.grad is not None
            assert abs(float(weight.grad[index]) - factor * slope) < 1e-6


def test_strength_grows_from_nothing_to_one() -> None:
    assert strength_at(0.0) == 0.0
    for share in (0.1, 0.5, 1.0):
        assert abs(strength_at(share) - (2 / (1 + np.exp(-10 * share)) - 1)) < 1e-12
    assert abs(strength_at(0.3, 4.0) - (2 / (1 + np.exp(-1.2)) - 1)) < 1e-12


def test_domain_losses_are_those_of_binary_cross_entropy() -> None:
    scores = draws(20)
    for target in (False, True):
        wanted = functional.binary_cross_entropy_with_logits(scores, torch.full((20,), float(target)), reduction="none")
        torch.testing.assert_close(domain_losses(scores, target), wanted)


# A step by hand ----------------------------------------------------------------------------------------------


def test_steps_of_dann_are_those_written_by_hand() -> None:
    """Every weight with its own rule: theta_f - mu (dL_y - lambda dL_d), theta_y - mu dL_y, theta_d - mu dL_d."""
    source, steps, lr = data(beside=10), 5, 0.05
    turn = Turn(objective, partial(torch.optim.SGD, lr=lr))
    method = DANNMethod(weight=0.8, gamma=3.0, width=5)
    engine = Engine(network(), turn, [method], seed=4, device="cpu", log_every=1).fit(source, steps=steps)
    model, head = network(), domain_classifier(8, 5, generator(4, "dann"))
    body = model[:2]
    batches = [batch for epoch in range(2) for batch in source.epoch(epoch, 4)]
    for number, batch in enumerate(batches[:steps]):
        strength = 0.8 * (2 / (1 + np.exp(-3.0 * number / steps)) - 1)
        parameters = [*body.parameters(), *model[2].parameters(), *head.parameters()]
        labels = functional.cross_entropy(model(batch.inputs), batch.targets)
        here, there = head(body(batch.inputs)).squeeze(1), head(body(batch.beside["target"])).squeeze(1)
        assert len(here) != len(there)
        domains = -functional.logsigmoid(-here).mean() - functional.logsigmoid(there).mean()
        of_labels = torch.autograd.grad(labels, parameters, allow_unused=True)
        of_domains = torch.autograd.grad(domains, parameters, allow_unused=True)
        zeros = [torch.zeros_like(p) for p in parameters]
        with torch.no_grad():
            for index, (p, y, d, zero) in enumerate(zip(parameters, of_labels, of_domains, zeros, strict=True)):
                sign = -strength if index < 2 else 1.0
                p -= lr * ((zero if y is None else y) + sign * (zero if d is None else d))
    close(dict(engine.trained().state_dict()), dict(model.state_dict()))
    assert method.heard.beside is not None
    close(dict(method.heard.beside.state_dict()), dict(head.state_dict()))


def test_a_step_of_coral_is_the_one_written_by_hand() -> None:
    source, lr = data(beside=10), 0.05
    turn = Turn(objective, partial(torch.optim.SGD, lr=lr))
    engine = Engine(network(), turn, [CORALMethod(weight=50.0)], device="cpu", log_every=1).fit(source, steps=1)
    model, batch = network(), next(source.epoch(0, 0))
    here, there = model[:2](batch.inputs), model[:2](batch.beside["target"])
    distance = (torch.cov(here.T) - torch.cov(there.T)).square().sum() / (4 * 8**2)
    loss = functional.cross_entropy(model(batch.inputs), batch.targets) + 50.0 * distance
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            assert p.grad is not None
            p -= lr * p.grad
    close(dict(engine.trained().state_dict()), dict(model.state_dict()))


# CORAL's formulas --------------------------------------------------------------------------------------------


def test_covariance_and_distance_are_numpys() -> None:
    source, target = draws(30, 5).double(), 3 * draws(20, 5, seed=1).double() + 7
    ours, theirs = covariance(source).numpy(), np.cov(source.numpy(), rowvar=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    other = np.cov(target.numpy(), rowvar=False)
    wanted = np.linalg.norm(theirs - other, "fro") ** 2 / (4 * 5**2)
    assert abs(float(coral_loss(source, target)) - wanted) < 1e-9


@pytest.mark.parametrize("width", [3, 17, 18, 60])
def test_few_examples_with_many_features_have_the_same_distance(width: int) -> None:
    """10 and 7 examples: up to 17 features by their covariances, beyond by the products of examples."""
    source = draws(10, width).double().requires_grad_()
    target = 2 * draws(7, width, seed=1).double() + 1
    wanted = (torch.cov(source.T) - torch.cov(target.T)).square().sum() / (4 * width**2)
    found = coral_loss(source, target)
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(one, source, retain_graph=True)[0] for one in (found, wanted)]
    torch.testing.assert_close(*slopes)


def test_gradient_of_the_distance_is_that_of_the_paper() -> None:
    """Sun & Saenko, equation 4: 1 / (d^2 (n - 1)) times the centred source times the difference of covariances."""
    source, target = draws(12, 4).double().requires_grad_(), 2 * draws(9, 4, seed=1).double()
    (found,) = torch.autograd.grad(coral_loss(source, target), source)
    x = source.detach()
    wanted = (x - x.mean(0)) @ (covariance(x) - covariance(target)) / (4**2 * (len(x) - 1))
    torch.testing.assert_close(found, wanted)


def test_alignment_gives_the_source_the_covariance_of_the_target() -> None:
    source = draws(200, 4).double() @ draws(4, 4, seed=1).double()
    target = draws(100, 4, seed=2).double() @ draws(4, 4, seed=3).double()
    aligned = coral_align(source, target, regularise=1e-9)
    torch.testing.assert_close(covariance(aligned), covariance(target), rtol=1e-5, atol=1e-5)


def test_alignment_is_the_algorithm_of_the_paper_in_numpy() -> None:
    """D_s (C_s + I)^-1/2 (C_t + I)^1/2, the roots by Denman-Beavers iteration instead of eigenvalues."""

    def root(matrix: Any) -> Any:
        y, z = matrix, np.eye(len(matrix))
        for _ in range(60):
            y, z = (y + np.linalg.inv(z)) / 2, (z + np.linalg.inv(y)) / 2
        return y

    source, target = draws(50, 3).numpy().astype(float), 2 * draws(40, 3, seed=1).numpy().astype(float)
    whiten = np.linalg.inv(root(np.cov(source, rowvar=False) + np.eye(3)))
    wanted = source @ whiten @ root(np.cov(target, rowvar=False) + np.eye(3))
    found = coral_align(torch.as_tensor(source), torch.as_tensor(target))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_alignment_refuses_what_has_no_covariance() -> None:
    with pytest.raises(UserError, match="examples of a domain is 1"):
        coral_align(torch.zeros(1, 2), torch.zeros(5, 2))
    with pytest.raises(UserError, match="regularise is 0"):
        coral_align(torch.zeros(5, 2), torch.zeros(5, 2), regularise=0.0)


# The contract ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 11], ids=["even", "ragged"])
@pytest.mark.parametrize("beside", [None, 3, 21])
def test_micro_batches_of_dann_equal_one_batch(size: int, beside: int | None) -> None:
    whole = trained([DANNMethod()], source=data(size, beside))
    parts = trained([DANNMethod()], source=data(size, beside), accumulate=4)
    close(state(whole), state(parts))


def test_coral_refuses_micro_batches() -> None:
    with pytest.raises(UserError, match="'coral' compares whole batches"):
        trained([CORALMethod()], accumulate=2)


@pytest.mark.parametrize("name", ["dann", "coral"])
def test_data_of_one_domain_are_refused_in_one_line(name: str) -> None:
    x = draws(8, 6)
    with pytest.raises(UserError, match=f"'{name}' came upon data of one domain; allowed: ") as refused:
        trained([part("method", name)()], source=TensorBatches(x, x[:, :3].argmax(1)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["dann", "coral"])
def test_runs_in_bf16_and_with_sam_and_what_leaves_is_the_plain_model(name: str) -> None:
    make = partial(part("method", name), weight=1.0)
    plain = list(network(noisy=True).state_dict())
    for methods, settings in (([make()], {"precision": "bf16"}), ([make(), SAMMethod()], {})):
        engine = trained(methods, noisy=True, **settings)
        before, leaves = state(engine), engine.trained()
        assert list(leaves.state_dict()) == plain
        assert not any(isinstance(module, Overheard) for module in leaves.modules())
        assert leaves(torch.zeros(2, 6)).shape == (2, 3)
        close(before, state(engine), atol=0.0)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in before.values())
    full, half = trained([make()]), trained([make()], precision="bf16")
    close(state(full), state(half), atol=0.05)


@pytest.mark.parametrize("name", ["dann", "coral"])
def test_a_resumed_run_is_the_same_to_the_bit(name: str) -> None:
    def engine(kept: dict[str, Any] | None = None) -> Engine:
        turn = Turn(objective, partial(torch.optim.SGD, lr=0.05, momentum=0.9))
        made = Engine(network(noisy=True), turn, [part("method", name)(weight=1.0)], device="cpu", log_every=1)
        if kept is not None:
            made.load_state_dict(kept)
        return made

    whole = engine().fit(data(), steps=12)

    class Stopping(Method):
        name = "stopping"

        def update(self, model: nn.Module, step: Step) -> None:
            if step.number == 6:
                first.stop("killed")

    first = engine()
    first.methods = [*first.methods, Stopping()]
    first.fit(data(), steps=12)
    kept = copy.deepcopy(first.state_dict())
    kept["methods"].pop("stopping")
    again = engine(kept).fit(data(), steps=12)
    close(state(whole), state(again), atol=0.0)


def test_nothing_is_drawn_from_torchs_own_generator() -> None:
    runs = []
    for seed in (1, 2):
        turn = Turn(objective, partial(torch.optim.SGD, lr=0.05))
        engine = Engine(network(), turn, [DANNMethod()], device="cpu")
        torch.manual_seed(seed)
        runs.append(state(engine.fit(data(), steps=4)))
    close(runs[0], runs[1], atol=0.0)


@pytest.mark.parametrize("other", ["lora", "dropconnect", "spectral_norm", "freeze"])
@pytest.mark.parametrize("name", ["dann", "coral"])
def test_goes_with_what_changes_layers(name: str, other: str) -> None:
    """Whatever stands in the last layer's place is overheard, and the head itself is not changed by it."""
    make = [lambda: part("method", name)(weight=1.0), lambda: part("method", other)()]
    one, two = trained([kind() for kind in make]), trained([kind() for kind in reversed(make)])
    close(state(one), state(two), atol=0.0)
    assert list(one.trained().state_dict()) == list(network().state_dict())
    heads = [name for name, p in one.model.named_parameters() if "beside" in name and p.requires_grad]
    assert len(heads) == (4 if name == "dann" else 0)


def test_both_hear_the_same_layer() -> None:
    """CORAL's own pass over the target leaves what DANN overheard of the source as it was."""
    whole = trained([DANNMethod(), CORALMethod(weight=1e-12)])
    alone = trained([DANNMethod()])
    close(dict(whole.trained().state_dict()), dict(alone.trained().state_dict()))


def test_a_named_layer_is_heard_and_a_wrong_name_is_refused() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 2))
    method = DANNMethod(features="2", width=3)
    method.model(model, Plan())
    pictures = draws(5, 1, 8, 8)
    model(pictures)
    wanted = model[:2](pictures).mean((2, 3))
    torch.testing.assert_close(method.heard.take(), wanted)
    assert method.heard.beside is not None
    assert method.heard.beside[0].in_features == 4  # type: ignore[index]
    with pytest.raises(UserError, match=r"'5' is no layer with a weight \(coral.features\)"):
        CORALMethod(features="5").model(network(), Plan())
    with pytest.raises(UserError, match="a model of a single layer"):
        CORALMethod().model(nn.Linear(3, 2), Plan())


def test_one_row_of_a_domain_has_no_covariance_and_changes_nothing() -> None:
    plain, alone = trained([], source=data(beside=1)), trained([CORALMethod()], source=data(beside=1))
    close(dict(plain.trained().state_dict()), dict(alone.trained().state_dict()), atol=0.0)


def test_a_layer_that_is_never_called_is_said() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.first(x)
            return found

    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05))
    with pytest.raises(UserError, match="'coral' overheard nothing"):
        Engine(Odd(), turn, [CORALMethod()], device="cpu").fit(data(), steps=1)


def test_dann_without_a_number_of_steps_says_what_to_do() -> None:
    step = Step(0, 0, Plan(), network(), whole=Batch(torch.zeros(2, 6), beside={"target": torch.zeros(2, 6)}))
    method = DANNMethod()
    method.model(network(), Plan())
    with pytest.raises(UserError, match=r"allowed: steps=N, or dann\.gamma=null"):
        method.loss(torch.zeros(()), step)
    assert DANNMethod(gamma=None, weight=0.4).strength(step) == 0.4


def test_batch_norm_sees_each_domain_by_itself_and_follows_both() -> None:
    source = TensorBatches(torch.zeros(8, 6), torch.zeros(8).long(), batch_size=8, beside={"target": torch.ones(8, 6)})
    engine = trained([DANNMethod()], steps=1, source=source, noisy=True)
    norm: Any = engine.model[1]  # type: ignore[index]
    first: Any = network(noisy=True)[0]
    with torch.no_grad():
        zero, one = first(torch.zeros(6)), first(torch.ones(6))
    torch.testing.assert_close(norm.running_mean, 0.9 * 0.1 * zero + 0.1 * one)  # the source first, then the target


def test_features_of_leaves_what_others_heard() -> None:
    model, first = overhear(network(), "coral")
    model, second = overhear(model, "dann")
    x = draws(4, 6)
    model(x)
    found = features_of(model, draws(3, 6, seed=1), first)
    assert found.shape == (3, 8)
    torch.testing.assert_close(second.take(), network()[:2](x))
    assert list(unheard(model).state_dict()) == list(network().state_dict())


def test_settings_out_of_range_are_refused() -> None:
    for wrong, match in (
        ({"weight": 0.0}, "dann.weight"),
        ({"gamma": -1.0}, "dann.gamma"),
        ({"width": 0}, "dann.width"),
    ):
        with pytest.raises(UserError, match=match):
            DANNMethod(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"coral\.weight"):
        CORALMethod(weight=-1.0)


def test_lora_leaves_the_domain_classifier_alone() -> None:
    engine = trained([DANNMethod(), LoRAMethod(rank=1)])
    assert any("beside.0.weight" in name for name, _ in engine.model.named_parameters())
