"""Byte pairs: any text comes back as it was; learnt as by the letter of the algorithm, written as tokenizers writes."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pydoc_data.topics import topics

import pytest

from locution.data.byte_pairs import BYTES, END, FIRST, MARKS, MASK, PIECE, Tokenizer, joined, learn_merges, pieces
from locution.errors import UserError

TEXT = topics["for"] + topics["lambda"] + topics["strings"]
TOKENIZER = Tokenizer(learn_merges([TEXT], 120))

ODD = [
    "",
    " ",
    "\n\n  \t x\r\n",
    "naïve café — “quoted”",
    "日本語とカタカナ",
    "👩‍👩‍👧 🙂 🇩🇪",
    "שלום עולם",
    "สวัสดี",
    "x_y __init__ 3.14159 1,000,000",
    "\x00\x1b[31m",
    "<end> [MASK]",
    "a" * 300,
]


@pytest.mark.parametrize("text", [*ODD, TEXT])
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert "".join(pieces(text)) == text
    tokens = TOKENIZER.encode(text)
    assert TOKENIZER.text(tokens) == text
    assert all(FIRST <= token < len(TOKENIZER) for token in tokens)


def test_half_a_letter_becomes_a_question_mark_and_never_an_error() -> None:
    assert TOKENIZER.text(TOKENIZER.encode("a\ud800b")) == "a?b"
    assert TOKENIZER.text([FIRST + 0xE6]) == "\N{REPLACEMENT CHARACTER}"


def by_the_letter(text: str, count: int) -> list[tuple[int, int]]:
    """Algorithm 1: count all pairs anew before each merge."""
    words = Counter(tuple(FIRST + byte for byte in piece.encode()) for piece in PIECE.findall(text))
    merges: list[tuple[int, int]] = []
    for number in range(count):
        pairs: Counter[tuple[int, int]] = Counter()
        for word, weight in words.items():
            for pair in pairwise(word):
                pairs[pair] += weight
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        after: Counter[tuple[int, ...]] = Counter()
        for word, weight in words.items():
            after[tuple(joined(word, best, FIRST + BYTES + number))] += weight
        words = after
    return merges


def test_merges_are_those_of_the_algorithm_by_the_letter() -> None:
    text = topics["for"] + topics["lambda"] + " aaaa aaa banana bananas"
    assert learn_merges([text], 60) == by_the_letter(text, 60)


def test_no_merge_crosses_a_word_and_none_is_of_a_pair_seen_once() -> None:
    for token in range(FIRST + BYTES, len(TOKENIZER)):
        spelled = TOKENIZER.spelled[token].decode("utf-8", "replace")
        assert len(pieces(spelled)) == 1
    assert learn_merges(["ab cd"], 5) == []
    assert learn_merges([], 5) == []


def test_tokens_are_those_of_the_library_tokenizers_with_the_same_merges() -> None:
    library = pytest.importorskip("tokenizers")
    from tokenizers.pre_tokenizers import ByteLevel

    letters = dict(zip(range(BYTES), byte_letters(), strict=True))
    spelled = ["".join(letters[byte] for byte in one) for one in TOKENIZER.spelled]
    vocabulary = {spelled[token]: token for token in range(FIRST, len(TOKENIZER))}
    merges = [(spelled[one], spelled[other]) for one, other in TOKENIZER.merges]
    theirs = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=merges))
    theirs.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    for text in [*ODD, TEXT]:
        wanted = [token for piece in pieces(text) for token in theirs.encode(piece).ids]
        assert TOKENIZER.encode(text) == wanted


def byte_letters() -> list[str]:
    """The letters by which GPT-2 writes the 256 bytes."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    other = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(other)) for byte in range(BYTES)]


def test_tokens_are_fewer_than_bytes_and_the_more_merges_the_fewer() -> None:
    counts = [len(Tokenizer(TOKENIZER.merges[:size]).encode(TEXT)) for size in (0, 40, 120)]
    assert counts[0] == len(TEXT.encode())
    assert counts[0] > counts[1] > counts[2]
    assert sum(TOKENIZER.sizes()[token] for token in TOKENIZER.encode(TEXT)) == len(TEXT.encode())


def test_a_tokenizer_is_kept_as_plain_data_and_taken_back() -> None:
    assert Tokenizer.from_json(TOKENIZER.as_json()) == TOKENIZER
    with pytest.raises(UserError, match=r"the tokenizer is of the kind 'words'; allowed: 'byte pairs'"):
        Tokenizer.from_json({"kind": "words"})
    with pytest.raises(UserError, match=re.escape("merge is (2, 999); allowed: two tokens from 2 up to 257")):
        Tokenizer([(2, 999)])


def test_tokens_have_names_that_a_person_sees() -> None:
    names = [TOKENIZER.name(token) for token in range(len(TOKENIZER))]
    assert names[END], names[MASK] == MARKS
    assert all(name.isprintable() and name and " " not in name for name in names)
    assert TOKENIZER.name(FIRST + 0x1B) == "x1B"
