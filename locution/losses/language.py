"""What language models minimise: the surprise at the next token, or at tokens that were hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.data.byte_pairs import FIRST, MASK
from locution.engine.batch import Batch
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.losses.basic import IGNORED, cross_entropy, weighted_mean

HIDDEN, SWAPPED = 0.8, 0.1  # of the tokens that are asked for; the rest stay as they are


@dataclass
class NextToken:
    """Next-token prediction teaches a language model to expect, at each place of a text, the token that comes next.

    The loss is the mean surprise at the next token, in nats, over all places. Batches bring what follows each token as
    their targets; without targets the tokens but the first are what follows, and a mark of -100 does not count.

    >>> def even(tokens):
    ...     return torch.zeros(*tokens.shape, 4)  # a model that expects each of four tokens alike
    >>> _, loss = NextToken()(even, Batch(torch.tensor([[0, 1, 2]])))
    >>> round(loss.item(), 4)  # ln 4
    1.3863

    Reference: A. Radford et al., 2018, "Improving language understanding by generative pre-training", eq. 1.
    """

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (scores, loss)."""
        if batch.targets is not None:
            scores = model(batch.inputs)
            return scores, weighted_mean(cross_entropy(scores, batch.targets), batch)
        scores = model(batch.inputs[:, :-1])
        return scores, weighted_mean(cross_entropy(scores, batch.inputs[:, 1:]), batch)


def hide_tokens(
    tokens: Tensor, vocabulary: int, share: float = 0.15, draw: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Masking hides some tokens of a text, to be guessed from all that stands around them.

    Of the tokens that are asked for, a `share` of all and at least one of each text, 80 of 100 become the mask, 10 are
    swapped for any other token, and 10 stay, so that a model must doubt every token. Marks are never asked for.

    tokens (N, T); returns what the model reads (N, T), and what it is asked for (N, T), -100 where nothing is.

    >>> draw = torch.Generator().manual_seed(0)
    >>> read, asked = hide_tokens(torch.arange(2, 202).view(2, 100), vocabulary=258, draw=draw)
    >>> round(float((asked != -100).float().mean()), 1), bool((read == 1).any())
    (0.2, True)

    Reference: J. Devlin et al., 2019, "BERT: pre-training of deep bidirectional transformers for language
    understanding", section 3.1 and appendix A.1.
    """
    place = draw.device if draw is not None else tokens.device
    chance = torch.rand(tokens.shape, generator=draw, device=place).to(tokens.device)
    fate = torch.rand(tokens.shape, generator=draw, device=place).to(tokens.device)
    others = torch.randint(FIRST, vocabulary, tokens.shape, generator=draw, device=place).to(tokens.device)
    chance = chance.masked_fill(tokens < FIRST, 2.0)
    least = chance.amin(1, keepdim=True)
    asked = ((chance < share) | (chance == least)) & (tokens >= FIRST)
    read = torch.where(asked & (fate < HIDDEN), MASK, tokens)
    read = torch.where(asked & (fate >= HIDDEN) & (fate < HIDDEN + SWAPPED), others, read)
    return read, torch.where(asked, tokens, IGNORED)


@dataclass
class MaskedToken:
    """Masked-token prediction hides some tokens of a text, and teaches a model to guess them from both sides.

    `share` of the tokens are asked for. The loss is the mean surprise at them, in nats: over those of a text, then over
    texts. While a model trains, other tokens are hidden at each step; where it is only judged, always the same ones.
    `vocabulary` is said by the data.

    >>> class Even(nn.Module):
    ...     def forward(self, tokens):
    ...         return torch.zeros(*tokens.shape, 300)  # it expects each of 300 tokens alike
    >>> _, loss = MaskedToken(vocabulary=300)(Even(), Batch(torch.full((2, 20), 7)))
    >>> round(loss.item(), 4)  # ln 300
    5.7038

    Reference: J. Devlin et al., 2019, "BERT: pre-training of deep bidirectional transformers for language
    understanding", section 3.1.
    """

    share: float = 0.15
    vocabulary: int = 0

    def __post_init__(self) -> None:
        require(0.0 < self.share < 1.0, "objective.share", self.share, "a share above 0, below 1, usually 0.15")
        fine = self.vocabulary == 0 or self.vocabulary > FIRST
        require(fine, "objective.vocabulary", self.vocabulary, "0; the data say it")

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Hide tokens, run the model and measure: (scores, loss)."""
        if self.vocabulary == 0:
            raise UserError("objective.vocabulary is 0; allowed: the number of tokens, which data such as prose say.")
        draw = None if model.training else generator(0, "masks")
        read, asked = hide_tokens(batch.inputs, self.vocabulary, self.share, draw)
        scores = model(read)
        return scores, weighted_mean(cross_entropy(scores, asked), batch)
