"""Gates: how a recurrent network decides, step by step, what to keep, what to take in and what to show."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LSTM_GATES = ("input", "forget", "output")
GRU_GATES = ("reset", "update")


def gated(values: Tensor, scores: Tensor) -> Tensor:
    """A gate is a number from 0 to 1, itself computed by the network, by which a signal is multiplied: 0 lets nothing
    through, 1 everything.

    It is the sigmoid of a score, so that a network can learn when to open it. values and scores: (...), of one shape.

    >>> gated(torch.tensor([8.0, 8.0, 8.0]), torch.tensor([-100.0, 0.0, 100.0]))  # shut, half open, open
    tensor([0., 4., 8.])

    Reference: S. Hochreiter, J. Schmidhuber, 1997, "Long short-term memory", section 4.
    """
    return torch.sigmoid(scores) * values


def forget_gate(cell: Tensor, scores: Tensor) -> Tensor:
    """The forget gate of an LSTM decides how much of its memory goes on to the next step, number by number.

    cell, scores: (N, H); gives sigmoid(scores) x cell, (N, H). What a gate that stays at f keeps of a memory after t
    steps is f to the power of t: at 0.5 next to nothing after ten steps, at 0.99 nine tenths.

    >>> memory = torch.tensor([[1.0]])
    >>> for _ in range(10):
    ...     memory = forget_gate(memory, torch.tensor([[0.0]]))
    >>> memory  # 0.5 to the power of 10
    tensor([[0.0010]])

    Reference: F. Gers, J. Schmidhuber, F. Cummins, 2000, "Learning to forget: continual prediction with LSTM", eq. 4.
    """
    return gated(cell, scores)


def lstm_scores(x: Tensor, hidden: Tensor, inwards: Tensor, onwards: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """Score the gates and the candidate of an LSTM: input, forget, candidate and output, (N, H) each."""
    return (x @ inwards.T + hidden @ onwards.T + bias).chunk(4, -1)


def lstm_step(
    x: Tensor, hidden: Tensor, cell: Tensor, inwards: Tensor, onwards: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Long short-term memory (LSTM) carries a memory from step to step that only gates can change, so that it lasts.

    The forget gate f keeps a share of the memory c, the input gate i lets a share of the candidate g in, the output
    gate o shows a share of what is remembered: c' = f c + i g, h' = o tanh(c'), with i, f, o = sigmoid and g = tanh of
    inwards x + onwards h + bias. Where f is 1 and i is 0 the memory stays, and so does its gradient.

    Shapes: x (N, F), hidden and cell (N, H), inwards (4 H, F), onwards (4 H, H), bias (4 H,), in torch's order i, f, g,
    o. Returns the new hidden state and the new cell, (N, H) each.

    >>> shut, open = -100.0, 100.0
    >>> bias = torch.tensor([shut, open, 0.0, open])  # takes nothing in, forgets nothing, shows everything
    >>> still = torch.zeros(4, 1)
    >>> lstm_step(torch.tensor([[3.0]]), torch.zeros(1, 1), torch.tensor([[0.5]]), still, still, bias)  # tanh(0.5)
    (tensor([[0.4621]]), tensor([[0.5000]]))

    Reference: S. Hochreiter, J. Schmidhuber, 1997, "Long short-term memory", section 4; with the forget gate of F.
    Gers, J. Schmidhuber, F. Cummins, 2000, "Learning to forget: continual prediction with LSTM".
    """
    enter, keep, candidate, show = lstm_scores(x, hidden, inwards, onwards, bias)  # (N, H) each
    cell = forget_gate(cell, keep) + gated(torch.tanh(candidate), enter)
    return gated(torch.tanh(cell), show), cell


def gru_scores(
    x: Tensor, hidden: Tensor, inwards: Tensor, onwards: Tensor, bias: Tensor, onwards_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score the gates of a GRU, reset and update, and the two halves of its candidate: (N, H) each."""
    reset, update, new = (x @ inwards.T + bias).chunk(3, -1)
    reset_on, update_on, new_on = (hidden @ onwards.T + onwards_bias).chunk(3, -1)
    return reset + reset_on, update + update_on, new, new_on


def gru_step(x: Tensor, hidden: Tensor, inwards: Tensor, onwards: Tensor, bias: Tensor, onwards_bias: Tensor) -> Tensor:
    """A gated recurrent unit (GRU) blends, number by number, its last state with a new one; a gate says how much of
    each.

    r, z = sigmoid of inwards x + bias + onwards h + onwards_bias; the candidate n = tanh(W x + b + r (U h + c)), and
    h' = (1 - z) n + z h. Two gates instead of an LSTM's three, and no memory beside the state.

    Shapes: x (N, F), hidden (N, H), inwards (3 H, F), onwards (3 H, H), both biases (3 H,), in torch's order r, z, n.
    Returns the new state (N, H).

    >>> bias, still = torch.tensor([0.0, 100.0, 0.0]), torch.zeros(3, 1)  # the update gate says: stay as you are
    >>> gru_step(torch.tensor([[3.0]]), torch.tensor([[0.5]]), still, still, bias, torch.zeros(3))
    tensor([[0.5000]])

    Reference: K. Cho et al., 2014, "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", eqs. 5 to 8 (r inside the product, as in cuDNN and torch).
    """
    reset, update, new, new_on = gru_scores(x, hidden, inwards, onwards, bias, onwards_bias)
    candidate = torch.tanh(new + gated(new_on, reset))
    return candidate + gated(hidden - candidate, update)


@torch.no_grad()
def gate_openings(cells: nn.RNNBase, inputs: Tensor) -> dict[str, Tensor]:
    """Say how far the gates of a recurrent network are open at each step: name to (N, T, H), from 0 to 1.

    cells: an nn.LSTM (input, forget, output) or an nn.GRU (reset, update), batch first; of its last layer. inputs:
    (N, T, F). A network without gates has none.

    >>> _ = torch.manual_seed(0)
    >>> found = gate_openings(nn.LSTM(2, 3, batch_first=True), torch.zeros(5, 7, 2))
    >>> {name: tuple(opening.shape) for name, opening in found.items()}
    {'input': (5, 7, 3), 'forget': (5, 7, 3), 'output': (5, 7, 3)}
    """
    if not isinstance(cells, nn.LSTM | nn.GRU):
        return {}
    found: dict[str, Tensor] = {}
    for layer in range(cells.num_layers):
        inputs, found = _layer(cells, layer, inputs)
    return found


def _layer(cells: nn.LSTM | nn.GRU, layer: int, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Run one layer step by step: its states (N, T, H), and how far its gates were open."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    inwards, onwards, bias, onwards_bias = (getattr(cells, f"{name}_l{layer}") for name in names)
    hidden = cell = inputs.new_zeros(len(inputs), cells.hidden_size)
    states, openings = [], []
    for x in inputs.unbind(1):  # (N, F)
        if isinstance(cells, nn.LSTM):
            enter, keep, _, show = lstm_scores(x, hidden, inwards, onwards, bias + onwards_bias)
            openings.append(torch.stack([enter, keep, show]).sigmoid())  # (3, N, H)
            hidden, cell = lstm_step(x, hidden, cell, inwards, onwards, bias + onwards_bias)
        else:
            reset, update, _, _ = gru_scores(x, hidden, inwards, onwards, bias, onwards_bias)
            openings.append(torch.stack([reset, update]).sigmoid())  # (2, N, H)
            hidden = gru_step(x, hidden, inwards, onwards, bias, onwards_bias)
        states.append(hidden)
    gates = LSTM_GATES if isinstance(cells, nn.LSTM) else GRU_GATES
    return torch.stack(states, 1), dict(zip(gates, torch.stack(openings, 2), strict=True))  # (gates, N, T, H)
