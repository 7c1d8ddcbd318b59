"""The multilayer perceptron: its arithmetic, its depth, its figure on digits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from locution.data.digits import DigitsData
from locution.engine import Engine, Turn
from locution.errors import UserError
from locution.evaluation.metrics import accuracy
from locution.inference.predict import predict
from locution.losses.basic import CrossEntropy
from locution.models.mlp import MLP, MLPModel, depth, hidden_features
from locution.optimizers.basic import SGD, Adam, AdamW, Momentum


def test_an_mlp_is_matrices_with_bends_between() -> None:
    torch.manual_seed(0)
    net = MLP([3, 4, 5, 2], activation="tanh")
    x = torch.randn(7, 3)
    w1, b1, w2, b2, w3, b3 = net.parameters()
    by_hand = torch.tanh(torch.tanh(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(net(x), by_hand)


def test_a_residual_layer_adds_what_came_in() -> None:
    torch.manual_seed(0)
    net = MLP([3, 4, 4, 2], residual=True)
    x = torch.randn(7, 3)
    w1, b1, w2, b2, w3, b3 = net.parameters()
    first = x @ w1.T + b1
    second = first + torch.relu(first) @ w2.T + b2
    torch.testing.assert_close(net(x), torch.relu(second) @ w3.T + b3)


@pytest.mark.parametrize("hidden", [(), (8,), (8, 8, 8, 8, 8)])
def test_any_depth_from_a_list_of_widths(hidden: tuple[int, ...]) -> None:
    net = MLPModel(widths=hidden).build((2, 3), 4)
    assert depth(net) == len(hidden) + 1
    assert net(torch.zeros(5, 2, 3)).shape == (5, 4)
    assert [h.shape for h in hidden_features(net, torch.zeros(5, 2, 3))] == [(5, 8)] * len(hidden)


def test_dropout_sleeps_in_eval_mode() -> None:
    torch.manual_seed(0)
    net = MLP([4, 64, 2], dropout=0.5)
    x = torch.ones(1, 4)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_hooks_do_not_stay() -> None:
    net = MLP([4, 3, 2])
    hidden_features(net, torch.zeros(1, 4))
    assert not any(module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"widths": (0,)}, r"model.widths is \[0\]"),
        ({"dropout": 1.0}, "model.dropout is 1.0"),
        ({"activation": "rellu"}, "Did you mean 'relu'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        MLPModel(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "optimizer",
    [SGD(lr=0.1), Momentum(lr=0.05), SGD(lr=0.05, momentum=0.9, nesterov=True), Adam(lr=0.002), AdamW(lr=0.002)],
    ids=["sgd", "momentum", "nesterov", "adam", "adamw"],
)
def test_digits_are_read_by_each_optimizer(optimizer: SGD | Adam) -> None:
    data = DigitsData().load(seed=0)
    torch.manual_seed(0)
    model: nn.Module = MLPModel(widths=(128, 64), dropout=0.1).build(data.inputs, data.outputs)
    engine = Engine(model, Turn(CrossEntropy(), optimizer.build), device="cpu").fit(data.train, epochs=30)
    assert data.test is not None
    assert accuracy(predict(engine.trained(), data.test.inputs).outputs, data.test.targets)["value"] >= 0.97
