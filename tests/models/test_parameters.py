"""What is said of a model's parameters is true of its tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from locution.errors import UserError
from locution.models.mlp import MLP
from locution.models.parameters import (
    biases,
    draw_parameters,
    histogram,
    list_parameters,
    parameter_table,
    scalars,
    weights,
)


def test_every_tensor_is_listed_with_what_numpy_says_of_it() -> None:
    torch.manual_seed(0)
    net = MLP([4, 3, 2]).half()
    net.layers[0].requires_grad_(False)
    found = {one.name: one for one in list_parameters(net)}
    assert list(found) == [name for name, _ in net.named_parameters()]
    for name, tensor in net.named_parameters():
        values = tensor.detach().double().numpy()
        one = found[name]
        assert one.shape == tensor.shape
        assert one.dtype == "float16"
        assert one.trainable is tensor.requires_grad
        assert one.mean == pytest.approx(values.mean())
        assert one.spread == pytest.approx(values.std())
        assert one.bytes == 2 * values.size
    assert not found["layers.0.weight"].trainable
    assert found["layers.2.weight"].trainable
    assert parameter_table(list(found.values())).endswith("23 parameters, 8 of them train, 46 bytes")


def test_a_shared_tensor_is_listed_once() -> None:
    first = nn.Linear(3, 3)
    second = nn.Linear(3, 3)
    second.weight = first.weight
    assert [one.name for one in list_parameters(nn.Sequential(first, second))] == ["0.weight", "0.bias", "1.bias"]


def test_weights_and_biases_are_told_apart() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.LSTM(3, 4))
    assert set(weights(net)) == {"0.weight", "2.weight_ih_l0", "2.weight_hh_l0"}
    assert set(biases(net)) == {"0.bias", "1.bias", "2.bias_ih_l0", "2.bias_hh_l0"}


def test_a_model_without_parameters_has_an_empty_list() -> None:
    assert list_parameters(nn.ReLU()) == []
    assert parameter_table([]).endswith("0 parameters, 0 of them train, 0 bytes")
    assert scalars(nn.Linear(1, 1)) == {}


def test_a_histogram_counts_every_number_once(tmp_path: Path) -> None:
    net = MLP([8, 16, 4])
    counts, edges = histogram(net, "layers.0.weight", bins=7)
    assert counts.sum() == 128
    assert len(edges) == 8
    with pytest.raises(UserError, match=r"Did you mean 'layers.0.weight'"):
        histogram(net, "layers.0.wieght")
    figure = draw_parameters(net, tmp_path / "parameters.png")
    assert [axes.get_title() for axes in figure.axes] == [one.name for one in list_parameters(net)]
    assert (tmp_path / "parameters.png").stat().st_size > 1000
