"""Predictions keep nothing for a gradient, and cost less than training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.data.dataset import first_batch
from locution.data.digits import DigitsData
from locution.errors import UserError
from locution.inference.memory import peak_memory
from locution.inference.predict import cost_table, costs, inference, predict
from locution.losses.basic import CrossEntropy
from locution.models.mlp import MLP, MLPModel
from locution.optimizers.basic import AdamW


@pytest.fixture
def net() -> MLP:
    torch.manual_seed(0)
    return MLP([4, 16, 3], dropout=0.5)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 1000])
def test_batches_change_nothing(net: MLP, batch_size: int) -> None:
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    found = predict(net, x, batch_size)
    torch.testing.assert_close(found.outputs, net.eval()(x).detach())
    assert torch.equal(found.classes, found.outputs.argmax(1))
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(10))
    assert found.per_second > 0


def test_no_gradient_is_kept_and_each_module_wakes_again(net: MLP) -> None:
    net.layers[0].eval()
    modes = [module.training for module in net.modules()]
    seen: list[bool] = []
    net.register_forward_hook(lambda module, args, output: seen.append(output.requires_grad))
    outputs = predict(net, torch.zeros(2, 4)).outputs
    assert seen == [False]
    assert [module.training for module in net.modules()] == modes
    outputs.add_(1)  # what came out is an ordinary tensor
    assert (outputs * torch.ones(1, requires_grad=True)).requires_grad


def test_modes_come_back_after_an_error(net: MLP) -> None:
    with pytest.raises(RuntimeError), inference(net):
        net(torch.zeros(2, 5))
    assert net.training


def test_dicts_and_tuples_go_in_and_come_out() -> None:
    class Both(nn.Module):
        def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            return inputs["a"] + 1, {"b": inputs["b"]}

    first, rest = predict(Both(), {"a": torch.arange(5.0), "b": torch.arange(5)}, batch_size=2).outputs
    assert first.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert rest["b"].tolist() == [0, 1, 2, 3, 4]


def test_nothing_to_predict_for_is_refused(net: MLP) -> None:
    with pytest.raises(UserError, match="no inputs"):
        predict(net, torch.zeros(0, 4))
    with pytest.raises(UserError, match="batch_size is 0"):
        predict(net, torch.zeros(1, 4), batch_size=0)


def test_peak_memory_counts_what_lives_at_once() -> None:
    x = torch.ones(1000)

    def chain() -> Tensor:
        y = x
        for _ in range(5):
            y = y * 2  # the one before goes: two at a time
        return y

    def kept() -> list[Tensor]:
        return [x * 2 for _ in range(5)]

    assert peak_memory(chain) == 8000
    assert peak_memory(kept) == 20000
    assert peak_memory(lambda: x.view(10, 100).t()[2:]) == 0  # views hold nothing of their own
    assert peak_memory(lambda: x.clone().add_(1)) == 4000


def test_training_holds_every_layers_output_and_inference_lets_go() -> None:
    depth, width, rows = 10, 64, 256
    net = MLP([width] * (depth + 1), activation="tanh")

    def objective(model: nn.Module, batch: object) -> tuple[Tensor, Tensor]:
        output = model(batch.inputs)  # type: ignore[attr-defined]
        return output, output.sum()

    found = costs(net, objective, first_batch(DigitsData(batch_size=rows).load(0)), repeats=1)
    one = 4 * width * rows  # the bytes of one layer's output
    assert found["inference"].peak_bytes == 2 * one
    assert found["training"].peak_bytes >= depth * one
    assert all(parameter.grad is None for parameter in net.parameters())


def test_digits_have_a_cost_of_each_side_by_side() -> None:
    data = DigitsData(batch_size=64).load(seed=0)
    model = MLPModel().build(data.inputs, data.outputs)
    before = [parameter.clone() for parameter in model.parameters()]
    found = costs(model, CrossEntropy(), first_batch(data), AdamW().build, repeats=2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert found["inference"].peak_bytes < found["training"].peak_bytes
    assert [line.split()[0] for line in cost_table(found).splitlines()] == ["ms", "training", "inference"]
