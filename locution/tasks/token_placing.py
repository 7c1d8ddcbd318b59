"""Where a language model keeps its tokens: those that are used alike lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from locution.data.byte_pairs import FIRST, Tokenizer
from locution.errors import UserError
from locution.models.language_model import LanguageTransformer
from locution.tasks.abilities import Embedding
from locution.tasks.keeping import WeightsKept
from locution.tasks.tokens_kept import opened

if TYPE_CHECKING:
    from locution.recipe import Recipe


def placed_tokens(task: WeightsKept, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> Embedding:
    """Place words among the tokens of a run's language model; without any, all its tokens."""
    return token_embedding(*opened(task, recipe, folder), inputs)


def token_embedding(model: LanguageTransformer, tokenizer: Tokenizer, inputs: Sequence[str] = ()) -> Embedding:
    """Give each token its vector, of length 1, so that distance is angle; a word of several tokens has their mean.

    inputs: words; none for all tokens, without the marks and without bytes that are no letter by themselves: few texts
    hold those, so that they lie where chance put them. A word is read with the space that stands before it in a text,
    if that makes one token.

    >>> _ = torch.manual_seed(0)
    >>> tokenizer = Tokenizer([])  # every byte for itself
    >>> model = LanguageTransformer(len(tokenizer), context=8, width=16, layers=1, heads=2)
    >>> found = token_embedding(model, tokenizer, ["a", "ab"])
    >>> found.names, tuple(found.vectors.shape)
    (['a', 'ab'], (2, 16))

    Reference: T. Mikolov, K. Chen, G. Corrado, J. Dean, 2013, "Efficient estimation of word representations in vector
    space", section 1.
    """
    vectors = model.embedding.weight.detach().float().cpu()
    if not inputs:
        named = {token: tokenizer.name(token) for token in range(FIRST, len(tokenizer)) if tokenizer.readable(token)}
        return Embedding(functional.normalize(vectors[list(named)], dim=1), list(named.values()))
    found, names = [], []
    for text in inputs:
        tokens = min((tokenizer.encode(form) for form in (f" {text.strip()}", text)), key=len)
        if not tokens:
            raise UserError("an input holds no letter; allowed: words, such as class.")
        found.append(vectors[tokens].mean(0))
        names.append(tokenizer.name(tokens[0]) if len(tokens) == 1 else text)
    return Embedding(functional.normalize(torch.stack(found), dim=1), names)
