"""The tokenizer: any text of letters survives the round trip, and its numbers are those that the model was
made for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from locution.errors import UserError
from locution.speech.tokenizer import (
    EARLY,
    EOS,
    LATE,
    LETTERS,
    PAD,
    SEP,
    load_tokenizer,
    train_tokenizer,
    vocabulary,
)

pytest.importorskip("transformers")


def words(seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(LETTERS) for _ in range(draw.randint(0, 60)))


@pytest.mark.parametrize("pieces", [0, 40])
def test_any_text_comes_back_exactly(pieces: int, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["the cat sat on the mat that the dog had"] * 3 if pieces else (), pieces)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    for seed in range(200):
        text = words(seed)
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens) == text
        assert loaded.encode(text) == tokens
        assert loaded.decode([SEP, *tokens, EOS, PAD], skip_special_tokens=True) == text


def test_letters_have_the_rows_that_frames_use() -> None:
    tokenizer = train_tokenizer()
    assert tokenizer.encode(LETTERS) == [EARLY + 1 + place for place in range(len(LETTERS))]
    assert tokenizer.convert_tokens_to_ids(["[PAD]", "[SEP]", "[EOS]", "[SIL]", "[SIL2]"]) == [
        PAD,
        SEP,
        EOS,
        EARLY,
        LATE,
    ]
    assert tokenizer.get_vocab() == {name: index for index, name in enumerate(vocabulary())}
    assert (tokenizer.pad_token_id, tokenizer.sep_token_id, tokenizer.eos_token_id) == (PAD, SEP, EOS)


def test_pieces_shorten_the_text_and_keep_the_rows() -> None:
    texts = ["the cat sat on the mat", "the dog sat on the cat"]
    tokenizer = train_tokenizer(texts, 20)
    assert len(tokenizer.encode(texts[0])) < len(texts[0])
    assert tokenizer.convert_tokens_to_ids("[SIL2]") == LATE


def test_bad_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pieces is 5 and there are no texts"):
        train_tokenizer(pieces=5)
    with pytest.raises(UserError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path)
