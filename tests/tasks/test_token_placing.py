"""The vectors of tokens: those of the model, found by the word as it stands in a text."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from locution.data.byte_pairs import FIRST, Tokenizer
from locution.errors import UserError
from locution.models.language_model import LanguageTransformer
from locution.tasks.abilities import abilities
from locution.tasks.language import Language
from locution.tasks.masked_language import MaskedLanguage
from locution.tasks.token_placing import token_embedding


@pytest.fixture
def known() -> tuple[LanguageTransformer, Tokenizer]:
    torch.manual_seed(0)
    space, a, b = (Tokenizer([]).encode(one)[0] for one in (" ", "a", "b"))
    tokenizer = Tokenizer([(a, b), (space, FIRST + 256)])  # "ab", then " ab"
    return LanguageTransformer(len(tokenizer), context=8, width=16, layers=1, heads=2), tokenizer


def test_all_tokens_are_placed_but_marks_and_bytes_that_no_person_reads(
    known: tuple[LanguageTransformer, Tokenizer],
) -> None:
    model, tokenizer = known
    found = token_embedding(model, tokenizer)
    printed = [10, *range(32, 127)]  # the new line, and what is seen of ASCII; parts of longer letters are not
    assert len(found.names) == len(found.vectors) == len(printed) + 2
    assert found.names[0] == "⏎"
    assert found.names[-2:] == ["ab", "␣ab"]
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(len(found.names)))
    rows = [*(FIRST + byte for byte in printed), FIRST + 256, FIRST + 257]
    assert torch.equal(found.vectors, functional.normalize(model.embedding.weight[rows].detach(), dim=1))


def test_a_word_is_the_token_with_its_space_and_others_the_mean_of_theirs(
    known: tuple[LanguageTransformer, Tokenizer],
) -> None:
    model, tokenizer = known
    found = token_embedding(model, tokenizer, ["ab", "ba"])
    weights = model.embedding.weight.detach()
    assert found.names == ["␣ab", "ba"]
    assert torch.allclose(found.vectors[0], functional.normalize(weights[-1], dim=0))
    mean = weights[tokenizer.encode("ba")].mean(0)
    assert torch.allclose(found.vectors[1], functional.normalize(mean, dim=0))
    with pytest.raises(UserError, match="holds no letter"):
        token_embedding(model, Tokenizer([]), [""])


def test_a_language_run_says_that_it_places() -> None:
    assert "embed" in abilities(Language())
    assert "embed" in abilities(MaskedLanguage())
