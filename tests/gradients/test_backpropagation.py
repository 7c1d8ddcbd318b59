"""Backpropagated gradients agree with differences, for every layer type, in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch
from locution.gradients.backpropagation import backpropagate, gradient
from locution.losses.basic import MSE, CrossEntropy, cross_entropy, mean_squared_error
from locution.models.activations import MODULES, activation
from locution.models.linear import Line
from locution.models.mlp import MLP, Residual
from locution.speech.projectors.linear import LinearProjector
from locution.speech.projectors.mlp import MLPProjector

LAYERS = {
    "line": (Line, (3, 1)),
    "linear": (partial(nn.Linear, 4, 3), (2, 4)),
    "mlp": (partial(MLP, [4, 3, 3, 2], activation="tanh"), (2, 4)),
    "residual": (lambda: Residual(nn.Linear(3, 3)), (2, 3)),
    "residual_mlp": (partial(MLP, [4, 3, 3, 2], activation="gelu", residual=True), (2, 4)),
    "linear_projector": (lambda: Heard(LinearProjector(2, 3, stack=2, hidden=4)), (1, 4, 2)),
    "mlp_projector": (lambda: Heard(MLPProjector(2, 3, stack=2)), (1, 4, 2)),
    "convolution": (partial(nn.Conv2d, 2, 3, 2), (2, 2, 3, 3)),
    "batch_norm": (partial(nn.BatchNorm1d, 3), (4, 3)),
    "layer_norm": (partial(nn.LayerNorm, 3), (2, 3)),
    "embedding": (lambda: nn.Sequential(nn.Embedding(5, 3)), None),
    "gru": (lambda: First(nn.GRU(2, 3, batch_first=True)), (1, 3, 2)),
    "lstm": (lambda: First(nn.LSTM(2, 3, batch_first=True)), (1, 3, 2)),
    "attention": (lambda: SelfAttention(), (1, 3, 4)),
    **{name: (partial(activation, name), (2, 3)) for name in MODULES},
}


class First(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)[0]  # type: ignore[no-any-return]


class Heard(nn.Module):
    def __init__(self, projector: nn.Module) -> None:
        super().__init__()
        self.projector = projector

    def forward(self, inputs: Tensor) -> Tensor:
        lengths = torch.full((len(inputs),), inputs.shape[1])
        return self.projector(inputs, lengths)[0]  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs, inputs, inputs)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", list(LAYERS))
def test_a_layers_gradients_are_those_of_its_function(name: str) -> None:
    torch.manual_seed(1)
    make, shape = LAYERS[name]
    layer = make().double()  # type: ignore[operator]
    names = [n for n, p in layer.named_parameters() if p.requires_grad]
    values = [p.detach().clone().requires_grad_() for p in layer.parameters() if p.requires_grad]
    for value in values:  # away from zero, where ReLU and zero weights hide mistakes
        value.data += 0.1 * torch.randn_like(value)
    inputs = torch.tensor([[1, 4]]) if shape is None else torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    buffers = {n: b.clone() for n, b in layer.named_buffers()}

    def function(x: Tensor, *tensors: Tensor) -> Tensor:
        held = {**dict(zip(names, tensors, strict=True)), **{n: b.clone() for n, b in buffers.items()}}
        return torch.func.functional_call(layer, held, (x,))  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(function, (inputs, *values))


def test_the_losses_gradients_are_those_of_their_functions() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([0, 3, 1])
    soft = torch.rand(3, 4, dtype=torch.float64).softmax(-1)
    class_weights = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: cross_entropy(s, classes, class_weights), (scores,))
    assert torch.autograd.gradcheck(lambda s: cross_entropy(s, soft, class_weights), (scores,))
    assert torch.autograd.gradcheck(lambda s: mean_squared_error(s, soft), (scores,))


def test_backpropagation_finds_what_the_definition_measures() -> None:
    torch.manual_seed(0)
    net = MLP([3, 4, 2], activation="tanh").double()
    batch = Batch(torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1]))
    found = backpropagate(net, CrossEntropy(), batch)
    for name, parameter in net.named_parameters():

        def loss(moved: Tensor, name: str = name) -> Tensor:
            output = torch.func.functional_call(net, {name: moved}, (batch.inputs,))
            return cross_entropy(output, batch.targets).mean()

        torch.testing.assert_close(found[name], gradient(loss, parameter), atol=1e-8, rtol=1e-6)


def test_backpropagation_leaves_the_model_as_it_was() -> None:
    net = nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    found = backpropagate(net, MSE(), Batch(torch.ones(3, 2), torch.zeros(3, 1)))
    assert list(found) == ["weight"]
    assert net.weight.grad is None
