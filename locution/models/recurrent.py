"""Recurrent networks: one step after another, with a memory of what came before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from locution.errors import UserError, require, unknown

KINDS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
READS = ("last", "all")
MEMORIES = ("usual", "identity", "orthogonal")


def recurrent_step(inputs: Tensor, hidden: Tensor, inwards: Tensor, onwards: Tensor, bias: Tensor) -> Tensor:
    """A recurrent network reads a sequence step by step: each new state comes of the step's input and the last state.

    inputs: (N, F), one step of the sequence. hidden: (N, H), the state so far. inwards: (H, F); onwards: (H, H); bias:
    (H,). Returns the new state, tanh(inwards x + onwards h + bias), (N, H).

    >>> one, zero = torch.ones(1, 1), torch.zeros(1)
    >>> recurrent_step(torch.tensor([[0.5]]), torch.tensor([[1.0]]), one, 2 * one, zero)  # tanh(0.5 + 2)
    tensor([[0.9866]])

    Reference: J. Elman, 1990, "Finding structure in time", figure 2.
    """
    return torch.tanh(inputs @ inwards.T + hidden @ onwards.T + bias)


class Recurrent(nn.Module):
    """Recurrent is one of torch's recurrent networks with a layer behind it that makes the answer of its state.

    Parameters
    ----------
    features: numbers a step. hidden: numbers of its state. outputs: numbers of an answer. kind: "rnn" with tanh, "gru"
    or "lstm", whose gates let a state last. layers: networks on top of each other. reads: "last" answers once, from the
    last state: (N, outputs); "all" after each step: (N, T, outputs). memory: how the weights from state to state begin:
    "usual" as in torch, "identity" keeps a state as it is, "orthogonal" turns it and keeps its length. dropout: the
    share of states left out between layers. bend: of the rnn, "tanh" or "relu". forget: what is added to the bias of an
    lstm's forget gate at the start; at 1 it begins by remembering.

    Shapes: inputs (N, T, features), or (N, 1, T, features): the rows of pictures.

    >>> _ = torch.manual_seed(0)
    >>> net = Recurrent(2, 8, 1, kind="gru")
    >>> net(torch.zeros(5, 30, 2)).shape
    torch.Size([5, 1])

    Reference: rnn: J. Elman, 1990, "Finding structure in time"; lstm: S. Hochreiter, J. Schmidhuber, 1997, "Long
    short-term memory"; gru: K. Cho et al., 2014, "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", section 2.3.
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        outputs: int,
        *,
        kind: str = "rnn",
        layers: int = 1,
        reads: str = "last",
        memory: str = "usual",
        dropout: float = 0.0,
        bend: str = "tanh",
        forget: float = 0.0,
    ) -> None:
        super().__init__()
        check(kind, reads, memory, bend)
        settings = {"nonlinearity": bend} if kind == "rnn" else {}
        self.cells = KINDS[kind](features, hidden, layers, batch_first=True, dropout=dropout, **settings)
        self.head = nn.Linear(hidden, outputs)
        self.reads = reads
        begin(self.cells, memory)
        if forget:
            open_forget_gates(self.cells, forget)

    def forward(self, inputs: Tensor) -> Tensor:
        """Read (N, T, features) to its end, and answer."""
        states, _ = self.cells(inputs.squeeze(1) if inputs.dim() == 4 else inputs)  # (N, T, hidden)
        answer: Tensor = self.head(states[:, -1] if self.reads == "last" else states)
        return answer


@torch.no_grad()
def begin(cells: nn.RNNBase, memory: str) -> None:
    """Set how the weights from state to state begin, gate by gate; "usual" leaves them as torch drew them."""
    if memory == "usual":
        return
    for name, weight in cells.named_parameters():
        if name.startswith("weight_hh"):  # (gates x hidden, hidden)
            for gate in torch.split(weight, cells.hidden_size):
                nn.init.eye_(gate) if memory == "identity" else nn.init.orthogonal_(gate)


@torch.no_grad()
def open_forget_gates(cells: nn.RNNBase, bias: float) -> None:
    """Add to the bias of the forget gates of an LSTM, so that it begins by keeping more of its memory (above 0).

    >>> cells = nn.LSTM(2, 3)
    >>> before = cells.bias_ih_l0.detach().clone()
    >>> open_forget_gates(cells, 1.0)
    >>> (cells.bias_ih_l0 - before).tolist()  # input, forget, candidate and output gate
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

    Reference: R. Jozefowicz, W. Zaremba, I. Sutskever, 2015, "An empirical exploration of recurrent network
    architectures", section 3.
    """
    for name, weight in cells.named_parameters():
        if name.startswith("bias_ih"):
            weight[cells.hidden_size : 2 * cells.hidden_size] += bias


def check(kind: str, reads: str, memory: str, bend: str) -> None:
    """Refuse what there is not."""
    choices = {"kind of recurrent network": (kind, KINDS), "way to read": (reads, READS)}
    choices |= {"memory": (memory, MEMORIES), "bend": (bend, ("tanh", "relu"))}
    for what, (came, allowed) in choices.items():
        if came not in allowed:
            raise unknown(what, came, allowed)


@dataclass(frozen=True)
class RecurrentModel:
    """A recurrent network reads a sequence one step at a time, and carries a state along that remembers what came.

    The state is its hidden state; the gradient runs back through all steps (backpropagation through time). The data say
    how many steps (T, F) an example has, or rows and columns (1, T, F), and how many numbers an answer. `hidden`,
    `kind`, `layers`, `reads`, `memory`, `dropout`, `bend` and `forget` are those of `Recurrent`.

    >>> model = RecurrentModel(hidden=8).build(inputs=(30, 2), outputs=1)
    >>> model(torch.zeros(5, 30, 2)).shape
    torch.Size([5, 1])

    Reference: J. Elman, 1990, "Finding structure in time"; S. Hochreiter, J. Schmidhuber, 1997, "Long short-term
    memory", section 4.
    """

    hidden: int = 64
    kind: Literal["rnn", "gru", "lstm"] = "gru"
    layers: int = 1
    reads: Literal["last", "all"] = "last"
    memory: Literal["usual", "identity", "orthogonal"] = "usual"
    dropout: float = 0.0
    bend: Literal["tanh", "relu"] = "tanh"
    forget: float = 0.0

    def __post_init__(self) -> None:
        require(self.hidden >= 1, "model.hidden", self.hidden, "a whole number from 1")
        require(self.layers >= 1, "model.layers", self.layers, "a whole number from 1")
        require(0.0 <= self.dropout < 1.0, "model.dropout", self.dropout, "a share from 0 up to, not with, 1")
        fine = self.dropout == 0.0 or self.layers > 1
        require(fine, "model.dropout", self.dropout, "0 with one layer: it lies between layers")
        check(self.kind, self.reads, self.memory, self.bend)
        require(self.bend == "tanh" or self.kind == "rnn", "model.bend", self.bend, "tanh, unless model.kind is rnn")
        require(abs(self.forget) <= 100, "model.forget", self.forget, "a number, usually 0 to 2")
        require(not self.forget or self.kind == "lstm", "model.forget", self.forget, "0, unless model.kind is lstm")

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """Make the network; its first weights are drawn from torch's own generator."""
        shape = inputs[1:] if len(inputs) == 3 and inputs[0] == 1 else inputs
        if len(shape) != 2 or min(inputs) < 1:
            raise UserError(f"model recurrent came upon inputs {inputs}; allowed: (T, F), steps and numbers a step.")
        return Recurrent(
            shape[1],
            self.hidden,
            outputs,
            kind=self.kind,
            layers=self.layers,
            reads=self.reads,
            memory=self.memory,
            dropout=self.dropout,
            bend=self.bend,
            forget=self.forget,
        )
