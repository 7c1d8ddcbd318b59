"""The reward model: a transformer that says of a text how good it is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from locution.errors import require
from locution.models.accepted import accept
from locution.models.language_model import LanguageTransformer
from locution.models.sequence_transformer import check_sizes
from locution.models.transformer import Form, Positions, check_form


class RewardTransformer(nn.Module):
    """A reward model says of a text, up to each of its places, how good it is: one number.

    It is a causal language model but for the last layer, and its other layers bear the names of that one's, so that it
    can begin from its weights.

    Parameters
    ----------
    language: the language model of which it is made.

    Shapes: tokens (N, T) in, whole numbers; rewards (N, T) out.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = RewardTransformer(LanguageTransformer(10, context=8, width=16, layers=1, heads=2))
    >>> rewards, other = model(torch.tensor([[1, 2, 3]])), model(torch.tensor([[1, 2, 9]]))
    >>> (rewards == other).tolist()  # of the same words, the same reward
    [[True, True, False]]

    Reference: N. Stiennon et al., 2020, "Learning to summarize from human feedback", section 3.4; D. Ziegler et al.,
    2019, "Fine-tuning language models from human preferences", section 2.
    """

    def __init__(self, language: LanguageTransformer) -> None:
        super().__init__()
        self.check = language.check
        self.embedding, self.blocks = language.embedding, language.blocks
        self.reward = nn.Linear(self.embedding.embedding_dim, 1)
        nn.init.normal_(self.reward.weight, std=(self.embedding.embedding_dim + 1) ** -0.5)
        nn.init.zeros_(self.reward.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Carry (N, T) to (N, T)."""
        self.check(tokens)
        rewards: Tensor = self.reward(self.blocks(self.embedding(tokens)))  # (N, T, 1)
        return rewards.squeeze(-1)


@dataclass(frozen=True)
class RewardModel:
    """A reward model says of a text, up to each of its places, how good it is: one number.

    `width`, `layers`, `heads`, `positions`, `dropout`, `form`, `groups` and `vocabulary` are those of `LanguageModel`;
    the same as there, if it begins from the weights of one.

    >>> import torch
    >>> model = RewardModel(width=16, heads=2, layers=1).build(inputs=(8,), outputs=100)
    >>> model(torch.zeros(5, 8, dtype=torch.int64)).shape
    torch.Size([5, 8])

    Reference: N. Stiennon et al., 2020, "Learning to summarize from human feedback", section 3.4.
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    positions: Positions = "rotary"
    dropout: float = 0.0
    form: Form = "gpt"
    groups: int = 0
    vocabulary: int = 0

    def __post_init__(self) -> None:
        check_sizes(self.width, self.layers, self.heads, self.positions, self.dropout)
        check_form(self.heads, self.form, self.groups)
        require(self.vocabulary >= 0, "model.vocabulary", self.vocabulary, "a whole number from 0; the data say it")

    def build(self, inputs: tuple[int, ...], outputs: int) -> RewardTransformer:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("reward_model", inputs, "(T,), the tokens of a text", [1])
        return RewardTransformer(
            LanguageTransformer(
                self.vocabulary or outputs,
                inputs[0],
                self.width,
                self.layers,
                self.heads,
                positions=self.positions,
                dropout=self.dropout,
                form=self.form,
                groups=self.groups,
            )
        )
