"""Gradient norms are lengths; what explodes or vanishes is said once, and only then."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from locution.data.digits import DigitsData
from locution.engine import Batch, Engine, Observer, Record, Turn
from locution.errors import UserError
from locution.gradients.norms import GradientNorms, exploding, gradient_norm, layer_norms, vanishing
from locution.losses.basic import CrossEntropy
from locution.models.mlp import MLP, MLPModel
from locution.optimizers.basic import SGD, AdamW


class Records(Observer):
    name = "records"

    def __init__(self) -> None:
        self.values: list[dict[str, float]] = []

    def watch(self, record: Record) -> None:
        if record.kind == "step":
            self.values.append(dict(record.values))


def test_the_total_is_the_length_of_all_gradients_laid_end_to_end() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(3, 4), torch.randn(5), torch.randn(())]
    whole = torch.cat([tensor.flatten() for tensor in tensors])
    torch.testing.assert_close(gradient_norm(tensors), whole.norm())
    assert gradient_norm([]) == 0
    assert layer_norms({}) == {}


def test_training_records_the_norm_of_each_layer_and_of_all() -> None:
    torch.manual_seed(0)
    net, records = MLP([4, 3, 2]), Records()
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 0, 1, 1, 0])
    CrossEntropy()(net, Batch(x, y))[1].backward()
    layers = {
        f"gradient_norm/layers.{i}": torch.cat([p.grad.flatten() for p in net.layers[i].parameters()]).norm().item()
        for i in (0, 2)
    }
    total = torch.nn.utils.get_total_norm([p.grad for p in net.parameters()]).item()
    turn = Turn(CrossEntropy(), SGD(lr=0.0).build)
    Engine(net, turn, observers=[GradientNorms(), records], device="cpu").fit([Batch(x, y)], steps=1)
    assert records.values[0] == pytest.approx({"gradient_norm": total, **layers}, rel=1e-5)


def train(net: nn.Module, watcher: GradientNorms, steps: int = 2, scale: float = 1.0) -> None:
    torch.manual_seed(0)
    batch = Batch(torch.randn(16, 64), torch.randint(10, (16,)))

    def objective(model: nn.Module, batch: Batch) -> tuple[None, torch.Tensor]:
        return None, scale * CrossEntropy()(model, batch)[1]

    turn = Turn(objective, SGD(lr=1e-9).build)
    Engine(net, turn, observers=[watcher], log_every=1, device="cpu").fit([batch], steps=steps)


def test_an_explosion_is_said_once_by_layer() -> None:
    said: list[str] = []
    train(nn.Sequential(nn.Linear(64, 10)), GradientNorms(say=said.append), steps=3, scale=1e4)
    assert len(said) == 1
    assert said[0].startswith("step 0: the gradient explodes")
    assert "'0' (above 100)" in said[0]


def test_twenty_sigmoid_layers_vanish_and_residual_relu_layers_do_not() -> None:
    for bend, residual, expected in (("sigmoid", False, True), ("relu", True, False)):
        torch.manual_seed(0)
        watcher = GradientNorms(say=lambda text: None)
        train(MLP([64] * 21 + [10], bend, residual=residual), watcher)
        assert any("the gradient vanishes" in note for note in watcher.notes) is expected
        assert len(watcher.notes) == expected


def test_digits_train_without_a_warning() -> None:
    data, watcher = DigitsData().load(seed=0), GradientNorms()
    torch.manual_seed(0)
    net = MLPModel().build(data.inputs, data.outputs)
    turn = Turn(CrossEntropy(), AdamW(lr=0.002).build)
    Engine(net, turn, observers=[watcher], log_every=5, device="cpu").fit(data.train, epochs=2)
    assert watcher.notes == []


def test_no_number_counts_as_an_explosion_and_all_small_as_nothing() -> None:
    assert exploding({"a": float("nan"), "b": float("inf"), "c": 100.0}) == ["a", "b"]
    assert vanishing({"a": 1e-9, "b": 1e-7, "c": 1e-8}) == []
    assert vanishing({"a": 1.0, "b": 1.0, "c": 1e-9}) == []  # a late layer is no early one
    assert vanishing({}) == []


def test_what_was_said_is_not_said_again_after_a_resume() -> None:
    said: list[str] = []
    before = GradientNorms(say=said.append)
    before.warn({"a": 1000.0}, 3)
    after = GradientNorms(say=said.append)
    after.load_state_dict(before.state_dict())
    after.warn({"a": 1000.0}, 4)
    assert len(said) == 1
    assert after.notes == said


@pytest.mark.parametrize("make", [partial(GradientNorms, above=0.0), partial(GradientNorms, below=-1.0)])
def test_bounds_out_of_range_are_refused(make: partial[GradientNorms]) -> None:
    with pytest.raises(UserError, match="allowed"):
        make()
