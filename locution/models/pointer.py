"""The pointer network: it answers by picking elements of its input, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from locution.errors import require
from locution.models.accepted import accept

Encoder = Literal["attention", "lstm"]
ENCODERS = ("attention", "lstm")
NEVER = -1e4  # a score so low that it is never picked, and yet a number


def pointer_scores(keys: Tensor, query: Tensor, weight: Tensor) -> Tensor:
    """A pointer scores each element of the input by how well it fits what the network looks for.

    keys: (N, n, H), of the elements; query: (N, m, H), of m moments; weight: (H,). Returns v . tanh(key + query), the
    scores before the softmax, (N, m, n).

    >>> keys, query = torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[[0.5]]])
    >>> pointer_scores(keys, query, torch.tensor([2.0]))  # 2 tanh(1.5), 2 tanh(-0.5)
    tensor([[[ 1.8103, -0.9242]]])

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", eq. 3.
    """
    return torch.tanh(keys[:, None] + query[:, :, None]) @ weight


def open_picks(order: Tensor, count: int) -> Tensor:
    """Say what may still be picked before each pick of an order: (N, m) -> (N, m, n), true where it may.

    >>> open_picks(torch.tensor([[2, 0, 1]]), 3)[0].int()
    tensor([[1, 1, 1],
            [1, 1, 0],
            [0, 1, 0]], dtype=torch.int32)
    """
    taken = nn.functional.one_hot(order.clamp(min=0), count).cumsum(1)  # (N, m, n)
    return torch.cat([torch.zeros_like(taken[:, :1]), taken[:, :-1]], 1) == 0


class PointerNetwork(nn.Module):
    """A pointer network answers with elements of its own input, picked in an order, however many there are.

    An encoder reads the elements, each in the light of all others; a recurrent network remembers what was picked, and
    its state looks for the next one. Nothing is picked twice. With `ends` there is one more element behind the last,
    which stands for the end of the answer: picked when enough was.

    Parameters
    ----------
    features: numbers of an element. width: of the network. layers, heads: of the encoder. encoder: "attention", which
    does not care for the order in which elements come, or "lstm", as in the paper. ends: whether answers may be short.

    Shapes: elements (N, n, features) in, whatever n; log-probabilities (N, m, n) out, one row a pick: along `order`
    (N, m) if it is given (those of the right answer, in training), otherwise along the likeliest picks. With `ends` n
    is one more, and m too.

    >>> _ = torch.manual_seed(0)
    >>> net = PointerNetwork(2, width=16, heads=2).eval()
    >>> net(torch.rand(3, 5, 2)).exp().sum(-1).shape, sorted(net.pick(torch.rand(1, 5, 2))[0].tolist())
    (torch.Size([3, 5]), [0, 1, 2, 3, 4])

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", section 2.3; the encoder by attention:
    W. Kool, H. van Hoof, M. Welling, 2019, "Attention, learn to solve routing problems!", section 3.1.
    """

    def __init__(
        self,
        features: int,
        width: int = 128,
        layers: int = 3,
        heads: int = 8,
        encoder: Encoder = "attention",
        ends: bool = False,
    ) -> None:
        super().__init__()
        self.inwards = nn.Linear(features, width)
        self.end = nn.Parameter(torch.randn(width) / width**0.5) if ends else None
        self.attention = attention_encoder(width, layers, heads) if encoder == "attention" else None
        self.lstm = nn.LSTM(width, width, batch_first=True) if encoder == "lstm" else None
        self.start = nn.Parameter(torch.randn(width) / width**0.5)
        self.begin = nn.Linear(width, 2 * width)
        self.memory = nn.LSTM(width, width, batch_first=True)
        self.key, self.query = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.weight = nn.Parameter(torch.randn(width) / width**0.5)

    def forward(self, elements: Tensor, order: Tensor | None = None) -> Tensor:
        """Score each pick among all elements."""
        if order is None:
            order = self.pick(elements)
        states, keys, memory = self.read(elements)
        first = self.start.expand(len(states), 1, -1)
        places = order[:, :-1].clamp(min=0)[..., None].expand(-1, -1, states.shape[-1])
        seen, _ = self.memory(torch.cat([first, states.gather(1, places)], 1), memory)  # (N, m, H)
        scores = pointer_scores(keys, self.query(seen), self.weight)
        return scores.masked_fill(~open_picks(order, states.shape[1]), NEVER).float().log_softmax(-1)

    def read(self, elements: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Encode the elements: their states (N, n, H), the keys that pointers look at, the memory's first state."""
        states: Tensor = self.inwards(elements)
        if self.end is not None:
            states = torch.cat([states, self.end.expand(len(states), 1, -1)], 1)
        if self.attention is not None:
            states = self.attention(states)
        if self.lstm is not None:
            states, _ = self.lstm(states)
        hidden, cell = self.begin(states.mean(1))[None].chunk(2, -1)  # (1, N, H) each
        return states, self.key(states), (hidden.contiguous(), cell.contiguous())

    @torch.no_grad()
    def pick(self, elements: Tensor, beams: int = 1) -> Tensor:
        """Pick in turn what scores best, or keep the best few answers at each pick: (N, n, features) -> (N, m).

        With `ends` all that comes behind the end is the end again.
        """
        states, keys, memory = self.read(elements)
        count, n, width = states.shape
        order = torch.empty(count, 1, 0, dtype=torch.int64, device=states.device)  # (N, K, picks)
        total = torch.zeros(count, 1, device=states.device)  # log-probability of each beam
        ended = torch.zeros(count, 1, dtype=torch.bool, device=states.device)
        last = self.start.expand(count, 1, width)
        for _ in range(n):
            kept = order.shape[1]
            hidden, cell = memory
            seen, (hidden, cell) = self.memory(last.reshape(count * kept, 1, width), (hidden, cell))
            scores = pointer_scores(keys, self.query(seen.view(count, kept, width)), self.weight).float()
            taken = torch.zeros_like(scores, dtype=torch.bool)
            taken.scatter_(2, order, True)
            if self.end is not None:
                taken[..., -1] = False
                taken |= ended[..., None] & (torch.arange(n, device=states.device) != n - 1)
            chances = total[..., None] + scores.masked_fill(taken, NEVER).log_softmax(-1)  # (N, K, n)
            total, best = chances.flatten(1).topk(min(beams, kept * n), -1)  # (N, K')
            by, place = best // n, best % n
            order = torch.cat([order.gather(1, by[..., None].expand(-1, -1, order.shape[2])), place[..., None]], 2)
            ended = place == n - 1 if self.end is not None else ended.gather(1, by)
            rows = (torch.arange(count, device=states.device)[:, None] * kept + by).flatten()
            memory = (hidden[:, rows], cell[:, rows])
            last = states.gather(1, place[..., None].expand(-1, -1, width))
        return order[:, 0]


def attention_encoder(width: int, layers: int, heads: int) -> nn.TransformerEncoder:
    """Make the encoder that reads each element in the light of all others, whatever their order."""
    layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)


@dataclass(frozen=True)
class PointerModel:
    """A pointer network answers with elements of its own input, picked in an order, however many there are.

    The settings are those of `PointerNetwork`.

    >>> net = PointerModel(width=16, heads=2).build(inputs=(5, 2), outputs=5)
    >>> net(torch.rand(3, 5, 2)).shape
    torch.Size([3, 5, 5])

    Reference: O. Vinyals, M. Fortunato, N. Jaitly, 2015, "Pointer networks", section 2.3.
    """

    width: int = 128
    layers: int = 3
    heads: int = 8
    encoder: Encoder = "attention"
    ends: bool = False

    def __post_init__(self) -> None:
        require(self.heads >= 1, "model.heads", self.heads, "a whole number from 1, usually 8")
        fits = self.width >= 1 and self.width % self.heads == 0
        require(fits, "model.width", self.width, f"a multiple of model.heads, {self.heads}, from it on")
        require(self.layers >= 1, "model.layers", self.layers, "a whole number from 1, usually 3")
        require(self.encoder in ENCODERS, "model.encoder", self.encoder, "attention or lstm")

    def build(self, inputs: tuple[int, ...], outputs: int) -> PointerNetwork:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("pointer", inputs, "sets of elements (elements, numbers of an element), as of recipe tours", [2])
        return PointerNetwork(inputs[1], self.width, self.layers, self.heads, self.encoder, self.ends)
