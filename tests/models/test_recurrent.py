"""Recurrent networks against their equations written out, and the adding problem against its definition."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.data.adding import AddingData, adding_problem
from locution.data.digits import read_digits
from locution.engine import Batch, Engine, Turn
from locution.errors import LocutionError, UserError
from locution.gradients.clipping import ClippingMethod
from locution.models.recurrent import Recurrent, RecurrentModel, recurrent_step
from locution.recipe import resolve


def sequences() -> Tensor:
    return torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(1))


def rnn(net: Recurrent, x: Tensor) -> Tensor:
    """Elman's network, step by step."""
    c, h = net.cells, torch.zeros(len(x), net.cells.hidden_size)
    states = []
    for t in range(x.shape[1]):
        h = recurrent_step(x[:, t], h, c.weight_ih_l0, c.weight_hh_l0, c.bias_ih_l0 + c.bias_hh_l0)
        states.append(h)
    return torch.stack(states, 1)


def gru(net: Recurrent, x: Tensor) -> Tensor:
    """Cho et al., section 2.3, with torch's place of the reset gate."""
    c, h = net.cells, torch.zeros(len(x), net.cells.hidden_size)
    states = []
    for t in range(x.shape[1]):
        inwards = x[:, t] @ c.weight_ih_l0.T + c.bias_ih_l0
        onwards = h @ c.weight_hh_l0.T + c.bias_hh_l0
        (r1, z1, n1), (r2, z2, n2) = inwards.chunk(3, 1), onwards.chunk(3, 1)
        z = torch.sigmoid(z1 + z2)
        h = (1 - z) * torch.tanh(n1 + torch.sigmoid(r1 + r2) * n2) + z * h
        states.append(h)
    return torch.stack(states, 1)


def lstm(net: Recurrent, x: Tensor) -> Tensor:
    """Hochreiter and Schmidhuber, with the forget gate that is usual since Gers et al., 2000."""
    c, h = net.cells, torch.zeros(len(x), net.cells.hidden_size)
    cell, states = torch.zeros_like(h), []
    for t in range(x.shape[1]):
        gates = x[:, t] @ c.weight_ih_l0.T + c.bias_ih_l0 + h @ c.weight_hh_l0.T + c.bias_hh_l0
        i, f, g, o = gates.chunk(4, 1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(cell)
        states.append(h)
    return torch.stack(states, 1)


@pytest.mark.parametrize("memory", ["usual", "identity", "orthogonal"])
@pytest.mark.parametrize(("kind", "by_hand"), [("rnn", rnn), ("gru", gru), ("lstm", lstm)])
def test_each_kind_is_its_equations(kind: str, by_hand: Any, memory: str) -> None:
    torch.manual_seed(0)
    net, x = Recurrent(3, 5, 2, kind=kind, memory=memory), sequences()
    states = by_hand(net, x)
    torch.testing.assert_close(net(x), net.head(states[:, -1]), rtol=0, atol=1e-6)
    net.reads = "all"
    torch.testing.assert_close(net(x), net.head(states), rtol=0, atol=1e-6)
    assert net(x).shape == (4, 7, 2)


def test_a_relu_bends_otherwise() -> None:
    torch.manual_seed(0)
    net, x = Recurrent(3, 5, 2, bend="relu"), sequences()[:, :1]
    c = net.cells
    h = torch.relu(x[:, 0] @ c.weight_ih_l0.T + c.bias_ih_l0 + c.bias_hh_l0)
    torch.testing.assert_close(net(x), net.head(h))


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_weights_from_state_to_state_begin_as_asked(kind: str) -> None:
    for memory in ("identity", "orthogonal"):
        net = Recurrent(3, 5, 2, kind=kind, memory=memory, layers=2)
        for weight in (net.cells.weight_hh_l0, net.cells.weight_hh_l1):
            for gate in weight.detach().split(5):
                torch.testing.assert_close(gate @ gate.T, torch.eye(5), rtol=0, atol=1e-5)
                assert torch.equal(gate, torch.eye(5)) == (memory == "identity")


def test_memory_leaves_every_other_weight_as_it_was_drawn() -> None:
    nets = []
    for memory in ("usual", "identity"):
        torch.manual_seed(0)
        nets.append(dict(Recurrent(3, 5, 2, memory=memory).named_parameters()))
    differing = [name for name, weight in nets[0].items() if not torch.equal(weight, nets[1][name])]
    assert differing == ["cells.weight_hh_l0"]


def test_the_model_reads_what_the_data_say_rows_of_pictures_too() -> None:
    pictures, _ = read_digits()
    model = RecurrentModel(hidden=6, layers=2, dropout=0.1, kind="lstm").build((1, 8, 8), 10)
    assert model(pictures[:5]).shape == (5, 10)
    assert not torch.equal(model(pictures[:5]), model(pictures[:5])), "dropout between the layers"
    model.eval()
    assert torch.equal(model(pictures[:5]), model(pictures[:5]))
    assert RecurrentModel(reads="all").build((7, 3), 2)(sequences()).shape == (4, 7, 2)
    with pytest.raises(UserError, match=r"model recurrent came upon inputs \(64,\); allowed: \(T, F\)"):
        RecurrentModel().build((64,), 10)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hidden": 0}, "model.hidden is 0"),
        ({"layers": 0}, "model.layers is 0"),
        ({"dropout": 1.0, "layers": 2}, "model.dropout is 1.0"),
        ({"dropout": 0.5}, "model.dropout is 0.5; allowed: 0 with one layer"),
        ({"kind": "gruu"}, "Did you mean 'gru'"),
        ({"reads": "lasts"}, "Did you mean 'last'"),
        ({"memory": "identities"}, "Did you mean 'identity'"),
        ({"bend": "relu"}, "model.bend is 'relu'; allowed: tanh, unless model.kind is rnn"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        RecurrentModel(**settings)


# The adding problem ----------------------------------------------------------------------------------------


def test_one_number_of_each_half_is_marked_and_their_sum_is_asked_for() -> None:
    inputs, sums = adding_problem(500, 9, torch.Generator().manual_seed(0))
    numbers, marks = inputs.unbind(-1)
    assert numbers.min() >= 0
    assert numbers.max() <= 1
    assert marks[:, :4].sum(1).tolist() == marks[:, 4:].sum(1).tolist() == [1.0] * 500
    assert bool((marks.sum(0) > 0).all()), "every place is marked at times"
    for row in range(5):
        a, b = marks[row].nonzero().flatten().tolist()
        assert sums[row].item() == pytest.approx(numbers[row, a].item() + numbers[row, b].item())


def test_who_says_one_is_off_by_a_sixth() -> None:
    _, sums = adding_problem(100_000, 4, torch.Generator().manual_seed(0))
    # the variance of the squared error of a sum of two uniform numbers is 7/180: five standard errors
    assert ((sums - 1) ** 2).mean().item() == pytest.approx(1 / 6, abs=5 * (7 / 180 / 100_000) ** 0.5)


def test_the_splits_are_other_sequences_whatever_the_runs_seed() -> None:
    part = AddingData(length=6, train=20, development=20, test=20)
    one, other = part.load(0), part.load(1)
    assert torch.equal(one.train.inputs, other.train.inputs)
    assert not torch.equal(one.train.inputs, one.test.inputs)
    assert not torch.equal(one.development.inputs, one.test.inputs)
    assert not torch.equal(one.test.inputs, AddingData(length=6, test=20, split=1).load(0).test.inputs)
    assert one.inputs == (6, 2)
    assert AddingData(development=0).load(0).development is None


@pytest.mark.parametrize(
    "settings", [{"length": 1}, {"train": 0}, {"test": -1}, {"development": -1}, {"batch_size": 0}], ids=str
)
def test_data_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"data\.\w+ is -?\d; allowed: a whole number from"):
        AddingData(**settings)


def test_without_clipping_a_high_rate_throws_the_network_off_and_with_it_it_learns() -> None:
    data = AddingData(length=10, train=2000).load(0)

    def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output = model(batch.inputs)
        return output, (output - batch.targets).pow(2).mean()

    def fit(*methods: ClippingMethod) -> float:
        torch.manual_seed(0)
        model = RecurrentModel(kind="rnn", hidden=32, memory="orthogonal").build((10, 2), 1)
        turn = Turn(objective, partial(torch.optim.SGD, lr=0.1, momentum=0.9))
        engine = Engine(model, turn, methods, device="cpu", log_every=10).fit(data.train, steps=500)
        with torch.no_grad():
            return objective(engine.trained(), Batch(data.test.inputs, data.test.targets))[1].item()  # type: ignore[union-attr]

    with pytest.raises(LocutionError, match=r"\+clipping"):
        fit()
    assert fit(ClippingMethod()) < 0.1


def test_the_recipe_builds() -> None:
    recipe = resolve("adding")
    assert recipe.part("model").build((15, 2), 1)(torch.zeros(2, 15, 2)).shape == (2, 1)
