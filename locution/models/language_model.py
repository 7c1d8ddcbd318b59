"""Language models: a transformer over the tokens of a text."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from locution.errors import UserError, require
from locution.models.accepted import accept
from locution.models.self_attention import KeyValueCache
from locution.models.sequence_transformer import check_sizes
from locution.models.transformer import Form, MakesFeedForward, Positions, Transformer, begin, check_form


class LanguageTransformer(nn.Module):
    """A language model says of each place in a text how likely each token is there.

    Causal, it goes by what came before, and place t says what token t + 1 is likely to be (as in GPT). Otherwise it
    goes by the whole text, and says what token t itself is likely to be (as in BERT). A token's vector is both how it
    is read and what it is recognised by (tied weights).

    Parameters
    ----------
    vocabulary: how many tokens there are. context: how many places it reads at most. width, layers, heads, causal,
    positions, dropout, feed_forward, form, groups: of `Transformer`.

    Shapes: tokens (N, T) in, whole numbers; scores before softmax (N, T, vocabulary) out.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = LanguageTransformer(10, context=8, width=16, layers=1, heads=2).eval()
    >>> scores, other = model(torch.tensor([[1, 2, 3]])), model(torch.tensor([[1, 2, 9]]))
    >>> scores.shape, bool((scores - other)[:, :2].abs().max() < 1e-6)  # what comes later changes nothing before
    (torch.Size([1, 3, 10]), True)

    Reference: A. Radford et al., 2019, "Language models are unsupervised multitask learners", section 2.3; J. Devlin et
    al., 2019, "BERT: pre-training of deep bidirectional transformers for language understanding", section 3; O. Press,
    L. Wolf, 2017, "Using the output embedding to improve language models".
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        width: int,
        layers: int,
        heads: int,
        *,
        causal: bool = True,
        positions: Positions = "rotary",
        dropout: float = 0.0,
        feed_forward: MakesFeedForward | None = None,
        form: Form = "gpt",
        groups: int = 0,
    ) -> None:
        super().__init__()
        self.context, self.causal = context, causal
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = Transformer(
            width,
            layers,
            heads,
            causal=causal,
            positions=positions,
            context=context,
            dropout=dropout,
            feed_forward=feed_forward,
            form=form,
            groups=groups,
        )
        nn.init.normal_(self.embedding.weight, std=0.02)
        begin(self.blocks)

    @property
    def describe(self) -> str:
        """Say in a few words what it is."""
        kind = "causal" if self.causal else "bidirectional"
        tokens, width = self.embedding.weight.shape
        return f"a {kind} transformer of {len(self.blocks.blocks)} blocks, {width} wide, over {tokens:,} tokens"

    def check(self, tokens: Tensor, before: int = 0) -> None:
        """Refuse what is no text of tokens, or longer than the context."""
        if tokens.dim() != 2 or tokens.is_floating_point():
            kind = str(tokens.dtype).removeprefix("torch.")
            raise UserError(f"{kind} of shape {tuple(tokens.shape)} came; allowed: tokens (N, T), whole numbers.")
        length = before + tokens.shape[1]
        if length > self.context:
            raise UserError(f"a text of {length} tokens came; allowed: up to {self.context}, the model's context.")

    def forward(self, tokens: Tensor, mask: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Carry (N, T) to (N, T, vocabulary); with a cache, tokens are those behind what lies in it."""
        self.check(tokens, cache.length if cache is not None else 0)
        x = self.blocks(self.embedding(tokens), mask, cache)  # (N, T, width)
        return functional.linear(x, self.embedding.weight)

    def cache(self) -> KeyValueCache:
        """Make an empty cache of the size of its context."""
        return KeyValueCache(len(self.blocks.blocks), self.context)

    def attention_maps(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Say in every block and head how much each place takes from each other: (N, layers, heads, T, T)."""
        self.check(tokens)
        return self.blocks.attention_maps(self.embedding(tokens), mask)


@dataclass(frozen=True)
class LanguageModel:
    """A language model says how likely each token is at each place of a text, from the tokens around it.

    Causal (as in GPT) it knows what came before, and can go on with a text; with causal=false (as in BERT) it knows
    both sides, and can fill gaps. The data say how long a passage is, (T,), and how many tokens there are
    (`vocabulary`; the outputs, if nobody says). `context` is how many tokens it reads at most, T if it is 0. `width`,
    `layers`, `heads`, `positions`, `dropout`, `form` and `groups` are those of `Transformer`.

    >>> import torch
    >>> model = LanguageModel(width=16, heads=2, layers=1).build(inputs=(8,), outputs=100)
    >>> model(torch.zeros(5, 8, dtype=torch.int64)).shape
    torch.Size([5, 8, 100])

    Reference: Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, 2003, "A neural probabilistic language model", section 2;
    A. Radford et al., 2019, "Language models are unsupervised multitask learners", section 2.
    """

    causal: bool = True
    width: int = 128
    layers: int = 4
    heads: int = 4
    context: int = 0
    positions: Positions = "rotary"
    dropout: float = 0.0
    form: Form = "gpt"
    groups: int = 0
    vocabulary: int = 0

    def __post_init__(self) -> None:
        check_sizes(self.width, self.layers, self.heads, self.positions, self.dropout)
        check_form(self.heads, self.form, self.groups)
        require(self.context >= 0, "model.context", self.context, "a whole number from 1, or 0 for a passage's length")
        require(self.vocabulary >= 0, "model.vocabulary", self.vocabulary, "a whole number from 0; the data say it")

    def build(self, inputs: tuple[int, ...], outputs: int) -> LanguageTransformer:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("language_model", inputs, "(T,), the tokens of a text", [1])
        if self.context and self.context < inputs[0]:
            raise UserError(f"model.context is {self.context}; allowed: from {inputs[0]}, the length of a passage.")
        return LanguageTransformer(
            self.vocabulary or outputs,
            self.context or inputs[0],
            self.width,
            self.layers,
            self.heads,
            causal=self.causal,
            positions=self.positions,
            dropout=self.dropout,
            form=self.form,
            groups=self.groups,
        )
