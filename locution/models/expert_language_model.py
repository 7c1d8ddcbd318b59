"""A language model whose places are worked on by experts: a transformer with a mixture in each block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn

from locution.errors import require
from locution.models.accepted import accept
from locution.models.language_model import LanguageTransformer
from locution.models.mixture_of_experts import MixtureOfExperts, active_parameters, dense_twin
from locution.models.sequence_transformer import check_sizes
from locution.models.transformer import Positions, position_wise


@dataclass(frozen=True)
class ExpertLanguageModel:
    """A mixture-of-experts language model is a transformer in whose blocks a router finds experts for each token.

    `experts` small networks of `hidden` units, of which `top` work on a token, and one of `shared` units that works on
    all. With `dense` each mixture gives way to one network of as many parameters as a token uses of the mixture. The
    rest is as in `language_model`: the data say how long a passage is, (T,), and how many tokens there are.

    >>> import torch
    >>> model = ExpertLanguageModel(width=16, heads=2, layers=1, experts=4).build(inputs=(8,), outputs=100)
    >>> model(torch.zeros(5, 8, dtype=torch.int64)).shape
    torch.Size([5, 8, 100])

    Reference: W. Fedus, B. Zoph, N. Shazeer, 2021, "Switch Transformers", figure 2; D. Dai et al., 2024, "DeepSeekMoE",
    section 3.
    """

    causal: bool = True
    width: int = 64
    layers: int = 2
    heads: int = 4
    experts: int = 8
    top: int = 2
    hidden: int = 64
    shared: int = 64
    dense: bool = False
    context: int = 0
    positions: Positions = "rotary"
    dropout: float = 0.0
    vocabulary: int = 0

    def __post_init__(self) -> None:
        check_sizes(self.width, self.layers, self.heads, self.positions, self.dropout)
        for name in ("experts", "hidden"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "a whole number from 1")
        fine = 1 <= self.top <= self.experts
        require(fine, "model.top", self.top, f"a whole number from 1 to {self.experts}, how many experts there are")
        require(self.shared >= 0, "model.shared", self.shared, "a whole number from 1, or 0 for none")
        require(self.context >= 0, "model.context", self.context, "a whole number from 1, or 0 for a passage's length")
        require(self.vocabulary >= 0, "model.vocabulary", self.vocabulary, "a whole number from 0; the data say it")

    def build(self, inputs: tuple[int, ...], outputs: int) -> LanguageTransformer:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("expert_language_model", inputs, "(T,), the tokens of a text", [1])
        least = inputs[0]
        require(not self.context or self.context >= least, "model.context", self.context, f"from {least}, a passage's")
        return LanguageTransformer(
            self.vocabulary or outputs,
            self.context or least,
            self.width,
            self.layers,
            self.heads,
            causal=self.causal,
            positions=self.positions,
            dropout=self.dropout,
            feed_forward=self.alike if self.dense else self.mixture,
        )

    def mixture(self) -> nn.Module:
        """Make the mixture of one block."""
        return MixtureOfExperts(self.width, self.hidden, self.experts, self.top, self.shared)

    @property
    def alike(self) -> partial[nn.Sequential]:
        """Say how to make a network of as many parameters as a token uses of a mixture."""
        return partial(position_wise, self.width, dense_twin(self.width, active_parameters(self.mixture())))
