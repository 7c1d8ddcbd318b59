"""Where texts and words lie: neither is its own neighbour, by whatever name it is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from locution.recipe import resolve
from locution.tasks.abilities import Embedding
from locution.tasks.nearest import nearest, side_by_side
from locution.tasks.own_placing import own_embedding


@pytest.fixture(scope="module")
def place() -> Any:
    """A network that has learnt nothing yet places texts of the manual."""
    torch.manual_seed(0)
    recipe = resolve("texts/manual", [])
    reader: Any = recipe.part("data").load(0).reader
    model = recipe.part("model", **reader.sizes).build(reader.shape, reader.outputs)

    def placed(*inputs: str, part: str = "test") -> Embedding:
        return own_embedding(reader, model, recipe, inputs, part)

    return placed


def test_a_text_and_a_word_are_never_their_own_neighbours(place: Any) -> None:
    texts, asked = place(), place("test:4", "The import statement loads a module.")
    assert asked.names == [texts.names[4], "The import statement loads a module."]
    for row, found in enumerate(nearest(asked, texts, 3)):
        away = torch.cdist(asked.vectors[row : row + 1].double(), texts.vectors.double())[0]
        away[[4] if row == 0 else []] = torch.inf
        assert [one.distance for one in found] == pytest.approx(away.sort().values[:3].tolist(), abs=1e-5)
    words = place(part="words")
    (found,) = nearest(place("Statement", part="words"), words, 5)
    assert "statement" not in [one.name for one in found]


def test_each_row_of_pictures_begins_with_the_one_that_was_asked_for() -> None:
    pictures = torch.arange(5.0).view(5, 1, 1).expand(5, 2, 2)
    among = Embedding(torch.arange(5.0)[:, None] ** 2, list("abcde"), pictures=pictures)
    asked = Embedding(among.vectors[[3, 1]], ["d", "b"], pictures=pictures[[3, 1]])
    drawn = side_by_side(asked, among, nearest(asked, among, 2))
    assert drawn is not None
    assert torch.as_tensor(drawn.pictures)[:, :, 0, 0].tolist() == [[3, 2, 4], [1, 0, 2]]
