"""The tokenizer of the small language model: letters, and the two halves of a moment of sound."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from locution.errors import UserError, require

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
PAD, SEP, EOS = 0, 1, 2
EARLY = (
    3  # first row of the early half: silence, then the letters, which are also those that text is written in
)
LATE = EARLY + 1 + len(LETTERS)  # first row of the late half: silence, then the letters
SPECIAL = {"pad_token": "[PAD]", "sep_token": "[SEP]", "eos_token": "[EOS]"}


def vocabulary() -> list[str]:
    """List the tokens by number: three marks, silence and the letters, and silence and the letters once more.

    The second set never occurs in text. A moment of sound (80 ms, two frames of an encoder) may hold two
    letters; the embedding of such a moment is the sum of a row of the first set and a row of the second.

    >>> names = vocabulary()
    >>> names[EARLY : EARLY + 4], names[LATE : LATE + 4], len(names)
    (['[SIL]', ' ', "'", 'a'], ['[SIL2]', '[ 2]', "['2]", '[a2]'], 61)
    """
    return [*SPECIAL.values(), "[SIL]", *LETTERS, "[SIL2]", *(f"[{letter}2]" for letter in LETTERS)]


def train_tokenizer(texts: Iterable[str] = (), pieces: int = 0) -> Any:
    """A tokenizer cuts text into the units that a language model reads and writes: here letters, or longer
    pieces.

    Byte-pair encoding starts from the letters and joins the most frequent neighbours of `texts` into
    `pieces` more tokens, which come behind the vocabulary above; without pieces every letter stays a token
    of its own. Returns a fast tokenizer of transformers. Raises UserError where pieces are asked for without
    texts.

    >>> tokenizer = train_tokenizer()
    >>> tokenizer.encode("a cab")
    [6, 4, 8, 6, 7]
    >>> tokenizer.decode(tokenizer.encode("don't stop"))
    "don't stop"

    Reference: Sennrich, Haddow and Birch, 2016, "Neural machine translation of rare words with subword
    units".
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    require(pieces >= 0, "pieces", pieces, "a whole number from 0")
    texts = list(texts)
    if pieces and not texts:
        raise UserError(
            f"pieces is {pieces} and there are no texts to learn them from; allowed: pieces 0, or texts."
        )
    names = vocabulary()
    merges: list[tuple[str, str]] = []
    if pieces:
        draft = Tokenizer(models.BPE())
        draft.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
        size = len(LETTERS) + pieces
        draft.train_from_iterator(
            texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=list(LETTERS), show_progress=False)
        )
        merges = learned_merges(draft)
        names += [left + right for left, right in merges]
    core = Tokenizer(models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=merges))
    core.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    core.decoder = decoders.Fuse()
    marks = [name for name in vocabulary() if len(name) > 1]
    core.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in marks])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        **SPECIAL,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
        padding_side="left",
    )


def learned_merges(draft: Any) -> list[tuple[str, str]]:
    """Read the joins of a byte-pair encoding in the order in which they were learned."""
    with tempfile.TemporaryDirectory() as folder:
        _, merges = draft.model.save(folder)
        lines = Path(merges).read_text("utf-8").splitlines()[1:]
    return [split_merge(line) for line in lines]


def split_merge(line: str) -> tuple[str, str]:
    """Cut a line of a merges file at the blank between its two pieces; pieces may begin with a blank
    themselves.

    >>> split_merge("t h"), split_merge(" t he"), split_merge("  t")
    (('t', 'h'), (' t', 'he'), (' ', 't'))
    """
    at = line.index(" ", 1)
    return line[:at], line[at + 1 :]


def load_tokenizer(folder: str | Path) -> Any:
    """Load a tokenizer from a local folder, never from the net and never with code of its own.

    Raises UserError where the folder has none.
    """
    from transformers import PreTrainedTokenizerFast

    path = Path(folder)
    if not (path / "tokenizer.json").is_file():
        raise UserError(
            f"'{folder}' holds no tokenizer.json; allowed: a folder that a tokenizer was saved to."
        )
    return PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True)
