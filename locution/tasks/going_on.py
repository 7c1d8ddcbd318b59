"""How a run goes on with a text as a person reads it: letters, as soon as they are drawn."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

from locution.data.byte_pairs import END, Tokenizer
from locution.engine.random import generator
from locution.inference.generate import going_on
from locution.models.language_model import LanguageTransformer
from locution.reporting.markup import clean
from locution.tasks.abilities import Generation


def letters_drawn(
    model: LanguageTransformer, tokenizer: Tokenizer, text: str, wishes: Generation, place: int
) -> Iterator[str]:
    """Go on with a text, and hand out each piece of it when it is drawn; what would command a terminal is taken out.

    A letter of several bytes comes when it is whole. place: of the text among others; each is drawn by itself.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> tokenizer = Tokenizer([])
    >>> model = LanguageTransformer(len(tokenizer), context=8, width=16, layers=1, heads=2).eval()
    >>> pieces = list(letters_drawn(model, tokenizer, "a", Generation(length=5, top_k=1), 0))
    >>> "".join(pieces) == went_on(model, tokenizer, "a", Generation(length=5, top_k=1), 0)
    True
    """
    drawn = going_on(
        model,
        [END, *tokenizer.encode(text)],
        wishes.length,
        generator(wishes.seed, "generate", place),
        temperature=wishes.temperature,
        leave=wishes.top_k,
        share=wishes.top_p,
        cached=wishes.cache,
    )
    letters = codecs.getincrementaldecoder("utf-8")("replace")
    for token in drawn:
        if piece := letters.decode(tokenizer.spelled[token]):
            yield clean(piece)
    if piece := letters.decode(b"", final=True):
        yield clean(piece)


def went_on(model: LanguageTransformer, tokenizer: Tokenizer, text: str, wishes: Generation, place: int) -> str:
    """Say how a model goes on with a text, all at once."""
    return "".join(letters_drawn(model, tokenizer, text, wishes, place))


def streamed(
    model: LanguageTransformer, tokenizer: Tokenizer, prompts: Sequence[str], wishes: Generation
) -> Iterator[str]:
    """Go on with several texts, one after the other: each text itself, what is drawn, and a new line.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = LanguageTransformer(258, context=8, width=16, layers=1, heads=2).eval()
    >>> "".join(streamed(model, Tokenizer([]), ["a", "b"], Generation(length=1, top_k=1))).splitlines()
    ['a...', 'b...']
    """
    for place, text in enumerate(prompts):
        yield text
        yield from letters_drawn(model, tokenizer, text, wishes, place)
        yield "\n"
