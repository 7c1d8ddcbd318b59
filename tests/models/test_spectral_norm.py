"""Spectral normalisation against singular values and torch's own parametrization."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution.engine import Batch, Engine, Plan, TensorBatches, Turn
from locution.errors import UserError
from locution.models.spectral_norm import (
    Divided,
    SpectralNormMethod,
    advance,
    lipschitz_bound,
    normalised_layers,
    plain,
    spectral_norm,
    stretch,
)


def top(weight: Tensor) -> float:
    return float(torch.linalg.svdvals(weight.detach().flatten(1))[0])


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv1d(2, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 3)
    )


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def test_weight_and_gradient_equal_torchs_for_the_same_vectors() -> None:
    torch.manual_seed(0)
    theirs = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4)).eval()
    mine = spectral_norm(nn.Linear(5, 4))
    _, norm, weight = normalised_layers(mine)[0]
    weight.data.copy_(theirs.parametrizations.weight.original)
    norm.basis[:, 0] = theirs.parametrizations.weight[0]._v
    image = weight.detach() @ norm.basis[:, 0]
    theirs.parametrizations.weight[0]._u.copy_(image / image.norm())
    torch.testing.assert_close(mine.weight, theirs.weight, rtol=0, atol=1e-6)
    mine.weight.pow(3).sum().backward()
    theirs.weight.pow(3).sum().backward()
    torch.testing.assert_close(weight.grad, theirs.parametrizations.weight.original.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Linear(40, 30), nn.Conv1d(4, 9, 3), nn.Conv2d(3, 8, 3), nn.Conv3d(2, 5, 2)])
def test_largest_singular_value_is_one_from_the_start(layer: nn.Module) -> None:
    assert top(spectral_norm(layer).weight) == pytest.approx(1.0, abs=1e-3)


def test_largest_singular_value_stays_within_a_thousandth_of_one_through_training() -> None:
    stream = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 2, 8, generator=stream), torch.randint(0, 3, (64,), generator=stream)
    engine = Engine(network(), Turn(objective, partial(torch.optim.SGD, lr=0.1)), [SpectralNormMethod()], device="cpu")
    engine.fit(TensorBatches(x, y, batch_size=16), steps=100)
    for index in (0, 3, 5):
        assert top(engine.model[index].weight) == pytest.approx(1.0, abs=1e-3)
        assert top(engine.trained()[index].weight) == pytest.approx(1.0, abs=1e-5)
    inputs = x[:8]
    torch.testing.assert_close(engine.trained()(inputs), engine.model(inputs), rtol=0, atol=1e-2)


def test_what_leaves_training_is_plain_and_the_model_in_training_is_not_touched() -> None:
    model = SpectralNormMethod().model(network(), Plan())
    leaves = plain(model)
    assert list(leaves.state_dict()) == list(network().state_dict())
    assert [type(m) for m in leaves] == [type(m) for m in network()]
    assert len(normalised_layers(model)) == 3
    assert not normalised_layers(leaves)
    inputs = torch.randn(4, 2, 8)
    torch.testing.assert_close(leaves(inputs), model(inputs), rtol=0, atol=1e-4)
    model(inputs).sum().backward()


def test_many_singular_values_close_together_are_told_apart_by_their_size() -> None:
    """A single vector needs hundreds of iterations here; training makes such weights."""
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(24, 24))
    layer = nn.Linear(24, 24)
    layer.weight.data = left @ torch.diag(torch.cat([torch.ones(5), torch.full((19,), 0.5)])) @ right
    spectral_norm(layer)
    _, _, weight = normalised_layers(layer)[0]
    for rank in (4, 2, 0, 3, 1):  # now one leads, now another
        weight.data += 0.05 * torch.outer(left[:, rank], right[rank])
        advance(layer)
        assert top(layer.weight) == pytest.approx(1.0, abs=1e-3)


def test_a_weight_of_zeros_makes_no_nan() -> None:
    layer = nn.Linear(3, 3)
    layer.weight.data.zero_()
    spectral_norm(layer)
    advance(layer)
    assert layer.weight.tolist() == [[0.0] * 3] * 3


def test_every_pass_of_a_step_sees_the_same_function() -> None:
    layer = spectral_norm(nn.Linear(6, 6))
    before = layer.weight.detach().clone()
    layer(torch.randn(2, 6))
    assert torch.equal(layer.weight, before)
    _, _, weight = normalised_layers(layer)[0]
    weight.data.mul_(torch.linspace(0.1, 4, 36).view(6, 6))
    for _ in range(3):
        advance(layer)
    assert top(layer.weight) == pytest.approx(1.0, abs=1e-3)


def test_seed_and_name_alone_choose_the_start() -> None:
    one, two = SpectralNormMethod().model(network(), Plan(3)), network()
    torch.manual_seed(99)
    two = SpectralNormMethod().model(two, Plan(3))
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), two.buffers(), strict=True))


def test_a_pattern_chooses_and_frozen_layers_stay() -> None:
    model = network()
    model[3].requires_grad_(False)
    spectral_norm(model, ["3", "5"])
    assert [layer for layer, _, _ in normalised_layers(model)] == [model[5]]
    with pytest.raises(UserError, match="frozen layers only"):
        spectral_norm(model[3])
    with pytest.raises(UserError, match="'7' matches no layer"):
        spectral_norm(model, "7")


def test_bf16_does_not_blur_the_singular_value() -> None:
    layer = spectral_norm(nn.Linear(64, 64))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.weight.dtype == torch.float32
        assert top(layer.weight) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_bound_holds(stride: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 4, 3, stride=stride), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5), nn.Tanh())
    a = torch.randn(200, 2, 16)
    model(a)
    b = a + 0.01 * torch.randn(200, 2, 16)
    stretch = (model(a).detach() - model(b).detach()).norm(dim=1) / (a - b).flatten(1).norm(dim=1)
    assert stretch.max().item() <= lipschitz_bound(model)
    assert lipschitz_bound(spectral_norm(model)) == pytest.approx((-(-3 // stride)) ** 0.5, abs=1e-2)


def test_the_bound_of_a_convolution_is_not_below_its_true_norm() -> None:
    torch.manual_seed(0)
    layer = nn.Conv1d(2, 3, 3, padding=2, bias=False)
    columns = [layer(e.view(1, 2, 12)).flatten() for e in torch.eye(24)]
    assert top(torch.stack(columns)) <= lipschitz_bound(layer)


@pytest.mark.parametrize("settings", [{"layers": ""}, {"iterations": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="spectral_norm"):
        SpectralNormMethod(**settings)


def test_gradients_of_gradients_are_those_of_the_formula() -> None:
    """A critic with a gradient penalty differentiates twice through the divided weight."""
    stream = torch.Generator().manual_seed(0)
    weight, lead = torch.randn(4, 3, 2, generator=stream), torch.nn.functional.normalize(torch.ones(6), dim=0)
    probe = torch.randn(4, 3, 2, generator=stream)
    found = []
    for divide in (Divided.apply, lambda w, v: w / stretch(w, v)[1]):
        own = weight.clone().requires_grad_()
        (first,) = torch.autograd.grad((divide(own, lead) ** 3 * probe).sum(), own, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), own)
        found.append((first.detach(), second))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)
