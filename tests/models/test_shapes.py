"""A trace tells every layer's shapes, and the layer at which one does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.models.mlp import MLP
from locution.models.shapes import explained, shape_of, shape_table, trace


class Fork(nn.Module):
    def __init__(self, other: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, other)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.left(inputs) + self.right(inputs)


def test_every_layer_is_traced_in_order_with_its_shapes() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), MLP([144, 8, 2])).eval()
    layers = trace(net, torch.zeros(5, 1, 8, 8))
    assert [(a.name, a.kind, a.outputs) for a in layers] == [
        ("0", "Conv2d", "(5, 4, 6, 6)"),
        ("1", "BatchNorm2d", "(5, 4, 6, 6)"),
        ("2", "ReLU", "(5, 4, 6, 6)"),
        ("3", "Flatten", "(5, 144)"),
        ("4.layers.0", "Linear", "(5, 8)"),
        ("4.layers.1", "ReLU", "(5, 8)"),
        ("4.layers.2", "Linear", "(5, 2)"),
    ]
    assert sum(a.parameters for a in layers) == sum(p.numel() for p in net.parameters())
    assert len(shape_table(layers).splitlines()) == 8


def test_a_recurrent_layer_has_several_outputs() -> None:
    (layer,) = trace(nn.GRU(3, 4, batch_first=True), torch.zeros(2, 5, 3))
    assert layer.outputs == "[(2, 5, 4), (1, 2, 4)]"
    assert shape_of({"x": 3}) == "{x: int}"


@pytest.mark.parametrize(
    ("net", "came", "said"),
    [
        (
            MLP([4, 3, 2]),
            torch.zeros(5, 6),
            r"layer 'layers.0' \(Linear\) got \(5, 6\): its last axis is 6; allowed: 4",
        ),
        (nn.Conv2d(3, 4, 3), torch.zeros(2, 1, 8, 8), "its axis 1 is 1; allowed: 3, its number of channels"),
        (nn.Conv2d(3, 4, 3), torch.zeros(2, 8), "it has 2 axes; allowed: 3 or 4"),
        (nn.BatchNorm1d(3), torch.zeros(2, 4), "its axis 1 is 4; allowed: 3"),
        (nn.LayerNorm((2, 3)), torch.zeros(5, 2, 4), "its last axis is 4; allowed: 3, the size that it normalises"),
        (nn.LSTM(3, 4), torch.zeros(2, 5, 6), "its last axis is 6; allowed: 3"),
        (nn.Embedding(10, 4), torch.tensor([3, 10]), "its numbers go from 3 to 10; allowed: 0 to 9"),
        (nn.Embedding(10, 4), torch.zeros(2), "its numbers are fractions; allowed: whole numbers"),
        (nn.Linear(3, 4), torch.zeros(2, 3, dtype=torch.float64), "its numbers are float64; allowed: float32"),
        (Fork(2), torch.zeros(5, 4), r"layer 'Fork' \(Fork\) got \(5, 4\): The size of tensor a \(3\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_explained_by_layer(net: nn.Module, came: Tensor, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        trace(net, came)
    assert "\n" not in str(raised.value)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_an_error_outside_the_model_stays_what_it_was() -> None:
    net = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="mine"), explained(net):  # noqa: PT012
        net(torch.zeros(1, 2))
        raise ValueError("mine")


def test_a_trace_leaves_the_model_as_it_was() -> None:
    net = MLP([4, 3, 2])
    before = [p.clone() for p in net.parameters()]
    trace(net, torch.zeros(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert net(torch.zeros(2, 4, requires_grad=True)).requires_grad
