"""Networks that place inputs in a space: an encoder, and a projection head that only training needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from locution.errors import require
from locution.models.accepted import accept
from locution.models.convnet import ConvNetModel
from locution.models.mlp import MLP, fully_connected

ENCODERS, NORMS = ("auto", "convnet", "mlp"), ("batch", "none")
CONVOLVED = 8  # pixels: from this side on pictures are convolved


def projection_head(features: int, hidden: int, width: int) -> nn.Sequential:
    """A projection head is a small network behind an encoder that training compares by, and that is then left off.

    What the loss would have the encoder forget, the head forgets in its place. hidden: its inner width; 0 for a head
    that is one fully connected layer.

    Shapes: (N, features) in, (N, width) out.

    >>> projection_head(64, 32, 16)
    Sequential( (0): Linear(in_features=64, out_features=32, ...) (1): ReLU() (2): Linear(...) )

    Reference: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, 2020, "A simple framework for contrastive learning of
    visual representations", section 4.2.
    """
    if not hidden:
        return nn.Sequential(fully_connected(features, width))
    return nn.Sequential(fully_connected(features, hidden), nn.ReLU(), fully_connected(hidden, width))


class Embedder(nn.Module):
    """An embedder gives each input a vector, so that what is alike lies close together: an encoder and a head.

    Parameters
    ----------
    encoder: from an input to its features, (N, ...) -> (N, features). head: from there to the vector, (N, width).
    normalise: bring each vector to length 1, so that likeness is the cosine.

    `features` gives what the encoder found, before the head.

    >>> import torch
    >>> net = Embedder(nn.Flatten(), nn.Linear(4, 2))
    >>> net(torch.ones(3, 2, 2)).norm(dim=1)
    tensor([1.0000, 1.0000, 1.0000], ...)

    Reference: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, 2020, "A simple framework for contrastive learning of
    visual representations", section 2.1.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, normalise: bool = True) -> None:
        super().__init__()
        self.encoder, self.head, self.normalise = encoder, head, normalise

    def features(self, inputs: Tensor) -> Tensor:
        """Say what the encoder finds: (N, ...) -> (N, features)."""
        found: Tensor = self.encoder(inputs).relu()
        return found

    def forward(self, inputs: Tensor) -> Tensor:
        """Give each input its vector: (N, ...) -> (N, width)."""
        vectors: Tensor = self.head(self.features(inputs))
        return functional.normalize(vectors, dim=1) if self.normalise else vectors


@dataclass(frozen=True)
class EmbedderModel:
    """An embedder gives each input a vector, so that what is alike lies close together.

    Settings
    --------
    encoder: convnet, mlp, or auto: a convnet for pictures of 8 pixels or more. widths: its inner widths, empty for
    usual ones. norm: batch or none, within the encoder. features: numbers that come out of the encoder. hidden: inner
    width of the projection head, 0 for one layer. width: of the vectors. normalise: bring them to length 1.

    >>> import torch
    >>> net = EmbedderModel(width=16).build(inputs=(1, 8, 8), outputs=10)
    >>> net(torch.zeros(5, 1, 8, 8)).shape, net.features(torch.zeros(5, 1, 8, 8)).shape
    (torch.Size([5, 16]), torch.Size([5, 64]))

    Reference: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, 2020, "A simple framework for contrastive learning of
    visual representations", section 2.1.
    """

    encoder: Literal["auto", "convnet", "mlp"] = "auto"
    widths: tuple[int, ...] = ()
    norm: Literal["batch", "none"] = "batch"
    features: int = 64
    hidden: int = 64
    width: int = 32
    normalise: bool = True

    def __post_init__(self) -> None:
        require(self.encoder in ENCODERS, "model.encoder", self.encoder, ", ".join(ENCODERS))
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        require(self.norm in NORMS, "model.norm", self.norm, " or ".join(NORMS))
        require(self.features >= 1, "model.features", self.features, "a whole number from 1, usually 64")
        require(self.hidden >= 0, "model.hidden", self.hidden, "a whole number from 1, or 0 for no inner layer")
        require(self.width >= 1, "model.width", self.width, "a whole number from 1, usually 16 to 128")

    def build(self, inputs: tuple[int, ...], outputs: int) -> Embedder:
        """Make the network; how many classes there are has no part in it."""
        axes = [3] if self.encoder == "convnet" else range(1, 9)
        allowed = "pictures (channels, height, width)" if self.encoder == "convnet" else "numbers of any shape"
        accept("embedder", inputs, allowed, axes)
        convolved = len(inputs) == 3 and min(inputs[1:]) >= CONVOLVED
        if self.encoder == "convnet" or (self.encoder == "auto" and convolved):
            encoder: nn.Module = ConvNetModel(widths=self.widths, norm=self.norm).build(inputs, self.features)
        else:
            widths = (math.prod(inputs), *(self.widths or (128,)), self.features)
            encoder = nn.Sequential(nn.Flatten(), MLP(widths, norm=self.norm))
        return Embedder(encoder, projection_head(self.features, self.hidden, self.width), self.normalise)
