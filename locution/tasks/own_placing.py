"""Where one's own pictures, texts and words lie for a network that was trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.own.words import FIRST, TextReader
from locution.errors import UserError, unknown
from locution.tasks.abilities import Embedding
from locution.tasks.inputs import EXAMPLE
from locution.tasks.placing import before_last, pictures_of, placed

if TYPE_CHECKING:
    from locution.recipe import Recipe

WORDS, LONGEST = "words", 60


def own_embedding(reader: Any, model: nn.Module, recipe: Recipe, inputs: Sequence[str], part: str) -> Embedding:
    """Place pictures or texts by what the network makes of them before its last layer; of the part `words`, words."""
    if part == WORDS:
        return word_embedding(model, reader, inputs)

    def place(rows: Tensor) -> Tensor:
        return before_last(model, rows.float() / 255 if rows.dtype == torch.uint8 else rows)

    if inputs and not any(EXAMPLE.match(text) for text in inputs):  # the files that were learnt from need not be there
        names, read = reader.read(list(inputs))
        kept = names if any(names) else list(inputs)
        return Embedding(place(read), kept, pictures=pictures_of(read))
    data = recipe.part("data").load(recipe.seed)
    if inputs:
        data = replace(data, reader=lambda text: reader.read([text])[1][0])
    found = placed(data, inputs, part, place)
    if isinstance(reader, TextReader) and reader.pieces == "words":
        return replace(found, names=[saying(name, data, reader) for name in found.names])
    return found


def saying(name: str, data: Dataset, reader: TextReader) -> str:
    """Put what a text says behind its name, where it is one of the data: test:3 "the first words ..."."""
    example = EXAMPLE.match(name)
    if not example:
        return name
    held: Any = getattr(data, example.group(1))
    return f"{name} {written(held.inputs[int(example.group(2))], reader)}"


def written(row: Tensor, reader: TextReader) -> str:
    """Write the numbers of words (T,) as the words that they stand for, as far as there is room.

    >>> from locution.data.tables.target import Target
    >>> written(torch.tensor([3, 1, 2, 0]), TextReader(("good", "bad"), length=4, target=Target("mood", ("no", "yes"))))
    '"bad ... good"'
    """
    words = [reader.words[one - FIRST] if one >= FIRST else "..." for one in row.tolist() if one]
    text = " ".join(words)
    return f'"{text}"' if len(text) <= LONGEST else f'"{text[:LONGEST].rsplit(" ", 1)[0]} ..."'


def word_embedding(model: nn.Module, reader: Any, inputs: Sequence[str]) -> Embedding:
    """A word embedding gives each word a vector that was learnt, so that words that are used alike lie close together.

    inputs: words; none for all that are known.

    >>> from locution.data.tables.target import Target
    >>> reader = TextReader(("good", "bad"), length=4, target=Target("mood", ("no", "yes")))
    >>> net = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 2))
    >>> found = word_embedding(net, reader, [])
    >>> tuple(found.vectors.shape), found.names
    ((2, 8), ['good', 'bad'])

    Reference: Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, 2003, "A neural probabilistic language model", section 2.
    """
    layer = next((one for one in model.modules() if isinstance(one, nn.Embedding)), None)
    if layer is None or not isinstance(reader, TextReader) or reader.pieces != WORDS:
        raise UserError("this run has no vectors of words; allowed: a run on texts, such as texts/manual.")
    weights = layer.weight.detach().cpu()
    if not inputs:
        return Embedding(weights[FIRST : FIRST + len(reader.words)], list(reader.words))
    places = {word: FIRST + at for at, word in enumerate(reader.words)}
    for word in inputs:
        if word.lower() not in places:
            near = str(unknown("word that was learnt", word, reader.words)).split(" Allowed:")[0]
            raise UserError(f"{near} Allowed: the {len(places):,} words that came in training.")
    known = [word.lower() for word in inputs]
    return Embedding(weights[[places[word] for word in known]], known)
