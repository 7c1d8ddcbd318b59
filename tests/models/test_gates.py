"""Steps of gated networks against torch's cells, and what gates do to a memory against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.engine.random import generator
from locution.errors import UserError
from locution.models.gates import forget_gate, gate_openings, gated, gru_step, lstm_step
from locution.models.recurrent import RecurrentModel, open_forget_gates


def numbers(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(stream, "gates"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_lstm_step_is_that_of_torchs_cell(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 5).to(dtype)
    x, h, c = (numbers(4, size, stream=size).to(dtype) for size in (3, 5, 5))
    found = lstm_step(x, h, c, cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh)
    for one, other in zip(found, cell(x, (h, c)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gru_step_is_that_of_torchs_cell(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    cell = nn.GRUCell(3, 5).to(dtype)
    x, h = numbers(4, 3).to(dtype), numbers(4, 5, stream=1).to(dtype)
    found = gru_step(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    torch.testing.assert_close(found, cell(x, h), rtol=0, atol=1e-6)


def test_steps_have_the_gradients_of_torchs_cells() -> None:
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 5)
    x, h, c = numbers(4, 3), numbers(4, 5, stream=1), numbers(4, 5, stream=2)
    sums = []
    for step in (
        lambda: cell(x, (h, c)),
        lambda: lstm_step(x, h, c, cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh),
    ):
        cell.zero_grad()
        hidden, memory = step()
        (hidden.square().sum() + memory.sum()).backward()
        sums.append([weight.grad.clone() for weight in cell.parameters() if weight.grad is not None])
    for one, other in zip(*sums, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, ["input", "forget", "output"]), (nn.GRU, ["reset", "update"])])
@pytest.mark.parametrize("layers", [1, 2])
def test_openings_are_those_of_the_network_itself(kind: type[nn.RNNBase], gates: list[str], layers: int) -> None:
    """The last gate of an LSTM and the states of both follow from the network's own outputs."""
    torch.manual_seed(0)
    cells = kind(3, 5, layers, batch_first=True)
    x = numbers(4, 7, 3)
    found = gate_openings(cells, x)
    assert list(found) == gates
    assert all(opening.shape == (4, 7, 5) and opening.min() > 0 and opening.max() < 1 for opening in found.values())
    states, last = cells(x)
    if kind is nn.LSTM:  # h = o tanh(c), at the last step
        shown = found["output"][:, -1] * torch.tanh(last[1][-1])
        torch.testing.assert_close(shown, last[0][-1], rtol=0, atol=1e-6)
        with torch.no_grad():  # with the input gate shut and the forget gate known, only what is kept is left
            for name, bias in cells.named_parameters():
                if name.startswith("bias_ih"):
                    bias[:5] = -100.0
        kept = gate_openings(cells, x)
        assert float(kept["input"].max()) < 1e-30
    else:
        with torch.no_grad():
            below = cells(x)[0] if layers == 1 else None
        if below is not None:  # h' = n + z (h - n): z = (h' - n) / (h - n) needs n; a step does it
            h = torch.zeros(4, 5)
            for t in range(7):
                weights = (cells.weight_ih_l0, cells.weight_hh_l0, cells.bias_ih_l0, cells.bias_hh_l0)
                h = gru_step(x[:, t], h, *weights)
                torch.testing.assert_close(h, states[:, t], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [(nn.LSTM, {"input": 0, "forget": 1, "output": 3}), (nn.GRU, {"reset": 0, "update": 1})],
)
def test_gates_bear_the_names_of_torchs_rows(kind: type[nn.RNNBase], rows: dict[str, int]) -> None:
    """A gate is its rows of the weights, at each step beside the state that torch's own network had before it."""
    torch.manual_seed(0)
    cells, x = kind(3, 5, batch_first=True), numbers(4, 7, 3)
    states = cells(x)[0]
    before = torch.cat([torch.zeros(4, 1, 5), states[:, :-1]], 1)
    scores = x @ cells.weight_ih_l0.T + cells.bias_ih_l0 + before @ cells.weight_hh_l0.T + cells.bias_hh_l0
    for name, opening in gate_openings(cells, x).items():
        at = rows[name]
        torch.testing.assert_close(opening, scores[..., 5 * at : 5 * at + 5].sigmoid(), rtol=0, atol=1e-6)


def test_openings_of_a_layer_above_are_of_what_the_layer_below_says() -> None:
    torch.manual_seed(0)
    both = nn.LSTM(3, 5, 2, batch_first=True)
    below, above = nn.LSTM(3, 5, batch_first=True), nn.LSTM(5, 5, batch_first=True)
    for layer, one in enumerate((below, above)):
        one.load_state_dict({name: both.state_dict()[name.replace("_l0", f"_l{layer}")] for name in one.state_dict()})
    x = numbers(4, 7, 3)
    alone = gate_openings(above, below(x)[0])
    for name, opening in gate_openings(both, x).items():
        torch.testing.assert_close(opening, alone[name], rtol=0, atol=1e-6)
    assert gate_openings(nn.RNN(3, 5, batch_first=True), x) == {}


def test_what_a_gate_keeps_falls_as_its_power() -> None:
    memory, score = torch.ones(1, 1, dtype=torch.float64), torch.logit(torch.tensor([[0.9]], dtype=torch.float64))
    for _ in range(30):
        memory = forget_gate(memory, score)
    assert memory.item() == pytest.approx(0.9**30)
    assert gated(torch.tensor(5.0), torch.tensor(0.0)).item() == 2.5


def test_a_forget_gate_that_begins_open_keeps_a_gradient_that_would_vanish() -> None:
    """How much the first of fifty inputs still moves the last state."""

    def moved(forget: float) -> float:
        torch.manual_seed(0)
        net = RecurrentModel(hidden=16, kind="lstm", forget=forget).build((50, 3), 1)
        x = numbers(8, 50, 3).requires_grad_(True)
        (gradient,) = torch.autograd.grad(net(x).sum(), x)
        return float(gradient[:, 0].norm())

    assert moved(3.0) > 1e3 * moved(0.0)


def test_only_forget_gates_are_opened_and_only_where_there_are_any() -> None:
    torch.manual_seed(0)
    cells = nn.LSTM(3, 5, 2)
    before = {name: weight.detach().clone() for name, weight in cells.named_parameters()}
    open_forget_gates(cells, 2.0)
    for name, weight in cells.named_parameters():
        change = weight.detach() - before[name]
        expected = torch.zeros_like(change)
        if name.startswith("bias_ih"):
            expected[5:10] = 2.0
        torch.testing.assert_close(change, expected)
    with pytest.raises(UserError, match=r"model\.forget is 1\.0; allowed: 0, unless model\.kind is lstm"):
        RecurrentModel(kind="gru", forget=1.0)
    with pytest.raises(UserError, match=r"model\.forget is nan"):
        RecurrentModel(kind="lstm", forget=float("nan"))
