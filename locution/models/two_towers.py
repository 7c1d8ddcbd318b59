"""Two towers: a network for pictures and one for texts that place both in one space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import require
from locution.models.embedder import Embedder, EmbedderModel
from locution.models.mlp import fully_connected

WARM, MOST = 0.07, 100.0  # the temperature at first, and the largest scale, as in the paper


class TextTower(nn.Module):
    """A text tower gives a text a vector: a recurrent network reads its words, and its last state is turned into one.

    words: how many different ones there are, 0 for padding behind a text among them. hidden: numbers of the state.

    Shapes: (N, T) whole numbers in, (N, width) out, of length 1.

    >>> _ = torch.manual_seed(0)
    >>> tower = TextTower(words=5, hidden=8, width=4)
    >>> one, padded = tower(torch.tensor([[3, 1]])), tower(torch.tensor([[3, 1, 0, 0]]))
    >>> torch.allclose(one, padded), torch.allclose(one, tower(torch.tensor([[1, 3]])))
    (True, False)
    """

    def __init__(self, words: int, hidden: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, hidden, padding_idx=0)
        self.cells = nn.GRU(hidden, hidden, batch_first=True)
        self.head = fully_connected(hidden, width)

    def forward(self, texts: Tensor) -> Tensor:
        """Give each text its vector: (N, T) -> (N, width)."""
        states, _ = self.cells(self.embedding(texts))  # (N, T, hidden)
        last = (texts != 0).sum(1).clamp(min=1) - 1  # (N,): where each text ends
        vectors: Tensor = self.head(states[torch.arange(len(texts), device=texts.device), last])
        return functional.normalize(vectors, dim=1)


class TwoTowers(nn.Module):
    """Two towers give pictures and texts vectors in one space, so that either can be searched with the other.

    `scale`, what cosines are multiplied by in training, is learnt along: its logarithm, from ln (1 / 0.07), and never
    above ln 100.

    Shapes: a dict of "pictures" (N, C, H, W) and "texts" (N, T) in; a dict of both as vectors (N, width) and of "scale"
    out. Pictures alone (N, C, H, W) come out as their vectors alone.

    >>> _ = torch.manual_seed(0)
    >>> net = TwoTowers(EmbedderModel(width=4).build((1, 8, 8), 10), TextTower(words=5, hidden=8, width=4))
    >>> found = net({"pictures": torch.zeros(2, 1, 8, 8), "texts": torch.ones(2, 3, dtype=torch.int64)})
    >>> found["pictures"].shape, found["texts"].shape, round(found["scale"].item(), 2)
    (torch.Size([2, 4]), torch.Size([2, 4]), 14.29)

    Reference: A. Radford et al., 2021, "Learning transferable visual models from natural language supervision",
    sections 2.3 and 2.4.
    """

    def __init__(self, pictures: Embedder, texts: TextTower) -> None:
        super().__init__()
        self.pictures, self.texts = pictures, texts
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / WARM)))

    def forward(self, inputs: Any) -> Any:
        """Give both sides, or pictures alone, their vectors."""
        if isinstance(inputs, Tensor):
            return self.pictures(inputs)
        scale = self.log_scale.clamp(max=math.log(MOST)).exp()
        return {
            "pictures": self.pictures(inputs["pictures"]),
            "texts": self.texts(inputs["texts"]),
            "scale": scale,
        }

    def features(self, pictures: Tensor) -> Tensor:
        """Say where pictures lie: (N, C, H, W) -> (N, width)."""
        vectors: Tensor = self.pictures(pictures)
        return vectors


@dataclass(frozen=True)
class TwoTowersModel:
    """Two towers give pictures and texts vectors in one space, so that either can be searched with the other.

    Settings
    --------
    words: how many different ones there are; the data say it. hidden: state of the network that reads texts. width: of
    the vectors. encoder, widths, norm, features: of the network for pictures, an `embedder`.

    >>> net = TwoTowersModel(words=20, width=16).build(inputs=(1, 8, 8), outputs=10)
    >>> net(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 16])

    Reference: A. Radford et al., 2021, "Learning transferable visual models from natural language supervision",
    section 2.4.
    """

    words: int = 32
    hidden: int = 32
    width: int = 32
    encoder: Literal["auto", "convnet", "mlp"] = "auto"
    widths: tuple[int, ...] = ()
    norm: Literal["batch", "none"] = "batch"
    features: int = 64

    def __post_init__(self) -> None:
        require(self.words >= 2, "model.words", self.words, "a whole number from 2; the data say it")
        require(self.hidden >= 1, "model.hidden", self.hidden, "a whole number from 1, usually 32")
        self._pictures()

    def _pictures(self) -> EmbedderModel:
        return EmbedderModel(
            encoder=self.encoder,
            widths=self.widths,
            norm=self.norm,
            features=self.features,
            hidden=0,
            width=self.width,
        )

    def build(self, inputs: tuple[int, ...], outputs: int) -> TwoTowers:
        """Make both networks; inputs is the shape of a picture."""
        return TwoTowers(self._pictures().build(inputs, outputs), TextTower(self.words, self.hidden, self.width))
