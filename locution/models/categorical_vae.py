"""The categorical variational autoencoder: pictures described by a few choices among a few classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from locution.engine.random import generator
from locution.errors import require
from locution.losses.elbo import categorical_divergence
from locution.models.accepted import accept
from locution.models.activations import activation as activation_named
from locution.models.gumbel_softmax import gumbel_noise, one_hot_largest
from locution.models.mlp import MLP


class CategoricalVAE(nn.Module):
    """A categorical variational autoencoder describes an input by choices: K questions of C answers each, and back.

    The encoder says how likely each answer is, the decoder makes the input again from the answers. While it trains the
    answers are what the layer `relax` makes of the encoder's logits, a blend if that is a softmax; in evaluation they
    are always true choices, drawn from what the encoder says.

    Parameters
    ----------
    shape: of one input. variables: K. classes: C. widths: the encoder's hidden layers, the decoder's in reverse.

    Shapes: (N, *shape) in; a dict out of "outputs" (N, *shape), before the sigmoid, and "divergence" (N,): how far the
    answers are from even ones, in nats.

    >>> _ = torch.manual_seed(0)
    >>> model = CategoricalVAE((1, 2, 2), variables=3, classes=2, widths=(8,)).eval()
    >>> answer = model(torch.ones(5, 1, 2, 2))
    >>> answer["outputs"].shape, answer["divergence"].shape, model.code(torch.ones(1, 1, 2, 2)).shape
    (torch.Size([5, 1, 2, 2]), torch.Size([5]), torch.Size([1, 3]))

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes"; E. Jang, S. Gu, B. Poole, 2017,
    "Categorical reparameterization with Gumbel-softmax", section 4.2.
    """

    def __init__(
        self, shape: tuple[int, ...], variables: int, classes: int, widths: tuple[int, ...], activation: str = "relu"
    ) -> None:
        super().__init__()
        self.shape, self.variables, self.classes = tuple(shape), variables, classes
        size, hidden = math.prod(shape), variables * classes
        self.encoder = MLP([size, *widths, hidden], activation)
        self.relax: nn.Module = nn.Softmax(-1)
        self.decoder = MLP([hidden, *reversed(widths), size], activation)

    def forward(self, x: Tensor, draw: torch.Generator | None = None) -> dict[str, Tensor]:
        """Describe and make again; evaluation takes its choices from `draw`, or from a stream that is always alike."""
        logits = self.logits(x)
        choices = self.relax(logits) if self.training else self.chosen(logits, draw)
        return {"outputs": self.decode(choices), "divergence": categorical_divergence(logits)}

    def logits(self, x: Tensor) -> Tensor:
        """Say how likely each answer is: (N, *shape) -> (N, K, C), before softmax."""
        scores: Tensor = self.encoder(x.flatten(1))
        return scores.view(len(x), self.variables, self.classes)

    def chosen(self, logits: Tensor, draw: torch.Generator | None = None) -> Tensor:
        """Draw true choices, one-hot: (N, K, C) -> (N, K, C)."""
        noise = gumbel_noise(logits.shape, draw or generator(0, "choices"))
        return one_hot_largest(logits + noise.to(logits.device))

    def decode(self, choices: Tensor) -> Tensor:
        """Make inputs from choices: (N, K, C) -> (N, *shape), before the sigmoid."""
        outputs: Tensor = self.decoder(choices.flatten(1))
        return outputs.view(len(choices), *self.shape)

    def code(self, x: Tensor) -> Tensor:
        """Name the likeliest answer to each question: (N, *shape) -> (N, K), from 0 to C - 1."""
        return self.logits(x).argmax(-1)

    def sample(self, count: int, draw: torch.Generator) -> Tensor:
        """Make inputs that nobody has seen, from even choices: (count, *shape), before the sigmoid."""
        even = torch.zeros(count, self.variables, self.classes, device=next(self.parameters()).device)
        return self.decode(self.chosen(even, draw))


@dataclass(frozen=True)
class CategoricalVAEModel:
    """A categorical variational autoencoder describes an input by choices: K questions of C answers each, and back.

    `variables` (K), `classes` (C), `widths` and `activation` are those of `CategoricalVAE`. Trained as it is, it hands
    blends of answers from the encoder to the decoder; with +gumbel_softmax, choices.

    >>> model = CategoricalVAEModel(variables=4, classes=3, widths=(16,)).build((1, 8, 8), 10)
    >>> model(torch.zeros(2, 1, 8, 8))["outputs"].shape
    torch.Size([2, 1, 8, 8])

    Reference: E. Jang, S. Gu, B. Poole, 2017, "Categorical reparameterization with Gumbel-softmax", section 4.2.
    """

    variables: int = 8
    classes: int = 8
    widths: tuple[int, ...] = (128,)
    activation: str = "relu"

    def __post_init__(self) -> None:
        require(self.variables >= 1, "model.variables", self.variables, "a whole number from 1, usually 8 to 30")
        require(self.classes >= 2, "model.classes", self.classes, "a whole number from 2, usually 8 or 10")
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        activation_named(self.activation)

    def build(self, inputs: tuple[int, ...], outputs: int) -> CategoricalVAE:
        """Make the network; its outputs are of its inputs' shape, however many classes the data have."""
        accept("categorical_vae", inputs, "numbers of any shape, at least one")
        return CategoricalVAE(inputs, self.variables, self.classes, self.widths, self.activation)
