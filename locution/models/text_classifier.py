"""A small classifier of texts: a vector for each word, put together over the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.accepted import accept
from locution.models.mlp import fully_connected

Form = Literal["auto", "bag", "convolution"]
FORMS = ("auto", "bag", "convolution")
TEXTS = "texts, as of recipe texts"
FEW = 2000  # examples: below it the order of words is rarely worth its weights


class TextClassifier(nn.Module):
    """A text classifier tells by its words what a text is about: each word has a vector, and the text is their mean.

    As a bag of words it does not look at their order. With a convolution, filters over three words in a row look for
    phrases, and the strongest answer of each, wherever it stands, goes in beside the mean.

    Parameters
    ----------
    vocabulary: how many different numbers there are, 0 for padding among them. outputs: how many numbers come out.
    width: of a word's vector. filters: how many look for phrases, 0 for a bag of words. dropout: the share of features
    left out before the last layer.

    Shapes: words (N, T), whole numbers; outputs (N, outputs).

    >>> _ = torch.manual_seed(0)
    >>> net = TextClassifier(vocabulary=10, outputs=2, width=4, filters=0).eval()
    >>> one, other = net(torch.tensor([[5, 6, 0]])), net(torch.tensor([[6, 5, 0]]))
    >>> one.shape, torch.equal(one, other)
    (torch.Size([1, 2]), True)

    Reference: A. Joulin, E. Grave, P. Bojanowski, T. Mikolov, 2017, "Bag of tricks for efficient text classification",
    section 2; Y. Kim, 2014, "Convolutional neural networks for sentence classification", section 2.
    """

    def __init__(self, vocabulary: int, outputs: int, width: int = 64, filters: int = 0, dropout: float = 0.2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.phrases = nn.Conv1d(width, filters, 3, padding=1) if filters else None
        self.dropout = nn.Dropout(dropout)
        self.head = fully_connected(width + filters, outputs)

    @property
    def describe(self) -> str:
        """Say in a few words what it is."""
        what = f"{self.phrases.out_channels} filters over three words" if self.phrases else "a bag of words"
        return f"vectors of {self.embedding.embedding_dim} for {self.embedding.num_embeddings:,} words, {what}"

    def forward(self, words: Tensor) -> Tensor:
        """Carry (N, T) to (N, outputs)."""
        there = (words != 0)[:, None]  # (N, 1, T)
        vectors = self.embedding(words).transpose(1, 2)  # (N, width, T)
        features = vectors.sum(2) / there.sum(2).clamp(min=1)  # padding is the zero vector
        if self.phrases is not None:
            found = self.phrases(vectors).relu() * there  # (N, filters, T), from 0
            features = torch.cat([features, found.amax(2)], 1)
        scores: Tensor = self.head(self.dropout(features))
        return scores


@dataclass(frozen=True)
class TextClassifierModel:
    """A text classifier tells by its words what a text is about: each word has a vector, and the text is their mean.

    `form` is bag, convolution, or auto: a bag of words where fewer than 2,000 texts are learnt from. `width`,
    `filters` and `dropout` are those of `TextClassifier`. `vocabulary` and `examples` are said by the data.

    >>> model = TextClassifierModel(vocabulary=10).build(inputs=(6,), outputs=2)
    >>> model(torch.zeros(5, 6, dtype=torch.int64)).shape
    torch.Size([5, 2])

    Reference: A. Joulin, E. Grave, P. Bojanowski, T. Mikolov, 2017, "Bag of tricks for efficient text classification",
    section 2.
    """

    form: Form = "auto"
    width: int = 64
    filters: int = 64
    dropout: float = 0.2
    vocabulary: int = 0
    examples: int = 0

    def __post_init__(self) -> None:
        require(self.form in FORMS, "model.form", self.form, ", ".join(FORMS))
        require(self.width >= 1, "model.width", self.width, "a whole number from 1, usually 64")
        require(self.filters >= 1, "model.filters", self.filters, "a whole number from 1, usually 64")
        require(0.0 <= self.dropout < 1.0, "model.dropout", self.dropout, "a share from 0 up to, not with, 1")
        require(self.vocabulary >= 0, "model.vocabulary", self.vocabulary, "a whole number from 0; the data say it")
        require(self.examples >= 0, "model.examples", self.examples, "a whole number from 0; the data say it")

    def build(self, inputs: tuple[int, ...], outputs: int) -> TextClassifier:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("text_classifier", inputs, TEXTS, [1])
        if not self.vocabulary:
            raise UserError(f"model text_classifier came upon inputs {inputs}; allowed: {TEXTS}.")
        phrases = self.form == "convolution" or (self.form == "auto" and self.examples >= FEW)
        return TextClassifier(self.vocabulary, outputs, self.width, self.filters if phrases else 0, self.dropout)
