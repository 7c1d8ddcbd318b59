"""How an embedding is judged, on vectors whose neighbours, captions and pictures are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.data.captioned_digits import FORMS, INKS, LEANS, caption, encode
from locution.data.dataset import Dataset
from locution.data.digits import DigitsData
from locution.engine import TensorBatches
from locution.evaluation.linear_probe import linear_probe
from locution.evaluation.retrieval import average_precision, recall_at, relevance
from locution.models.embedder import EmbedderModel
from locution.reporting.results import Metric
from locution.tasks import contrast_judged as judged


class Towers(nn.Module):
    """Two towers whose vectors are given."""

    def __init__(self, texts: Callable[[Tensor], Tensor], pictures: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.texts, self.pictures = Says(texts), Says(pictures)


class Says(nn.Module):
    """A network that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def numbered(count: int) -> Tensor:
    """Pictures (N, 1, 2, 2), each of one brightness, by which it is known."""
    return torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 1, 2, 2).contiguous()


def test_a_picture_is_named_by_the_mean_of_all_captions_whatever_their_length() -> None:
    """The first sort of caption names the next class, and those of the last class are short vectors."""
    sorts = list(product(range(len(INKS)), range(len(LEANS)), range(len(FORMS))))
    vectors = {}
    for label, sort in product(range(3), sorts):
        wrong = sort == sorts[0]
        vector = torch.eye(3)[(label + wrong) % 3] * (0.01 if label == 2 else 1.0)
        vectors[tuple(encode([caption(label, *sort)])[0].tolist())] = vector
    towers: Any = Towers(
        lambda tokens: torch.stack([vectors[tuple(row)] for row in tokens.tolist()]),
        lambda pictures: torch.eye(3)[pictures[:, 0, 0, 0].long()] + torch.tensor([0.1, 0.0, 0.0]),
    )
    found = judged.zero_shot(towers, numbered(3), torch.arange(3), ["0", "1", "2"], "note")
    assert (found.value, found.note) == (1.0, "note")


def test_a_caption_finds_a_picture_and_not_a_picture_a_caption() -> None:
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.1], [3.0, 4.0]])  # the last is the nearest text to every picture
    pictures = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]])
    towers: Any = Towers(lambda _: texts, lambda _: pictures)
    held = TensorBatches({"texts": torch.zeros(3, 2), "pictures": numbered(3)}, torch.tensor([0, 0, 1]))
    assert judged.found_by_caption(towers, held, "").value == 1.0
    held.targets = torch.tensor([0, 1, 1])  # the second caption finds the first picture, of another digit
    assert judged.found_by_caption(towers, held, "").value == pytest.approx(2 / 3)


def test_pictures_stand_in_a_row_from_the_nearest_on() -> None:
    pictures = torch.linspace(0, 1, 12)[:, None]
    towers: Any = Towers(lambda _: torch.tensor([[1.0], [-1.0]]), lambda _: pictures)
    held = TensorBatches({"texts": torch.zeros(12, 2), "pictures": numbered(12)}, torch.zeros(12, dtype=torch.int64))
    shown = judged.asked_for(towers, held, ("one", "zero"))
    assert shown.pictures[:, :, 0, 0].tolist() == [list(range(11, 3, -1)), list(range(8))]
    assert shown.note == "one; zero"


def test_neighbours_are_shown_of_those_first_whom_the_embedding_helps_most() -> None:
    classes = torch.tensor([0] * 5 + [1] * 5)
    places = torch.arange(10.0)[:, None]
    vectors = classes[:, None] * 100.0 + places + 0.01 * places.square()  # all of one kind together, no two ways alike
    pixels = numbered(10)[torch.tensor([0, 9, 1, 2, 3, 4, 5, 6, 7, 8])]  # the second lies among the others
    ours, plain = judged.neighbours_shown(vectors, pixels, classes)
    rows = torch.as_tensor(ours.pictures)[:, :, 0, 0]
    brightness = pixels[:, 0, 0, 0]
    assert rows.shape == (8, 7)
    assert rows[0, 0] == 9  # retrieved by pixels worst of all
    assert torch.equal(rows[0], brightness[[1, 0, 2, 3, 4, 5, 6]])
    beside = torch.as_tensor(plain.pictures)[:, :, 0, 0]
    assert torch.equal(beside[:, 0], rows[:, 0])  # the same pictures are asked for
    assert beside[0].tolist() == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0]
    assert judged.neighbours_shown(vectors, pixels[:, :, :1], classes) == []
    one_place, by_pixels = judged.neighbours_shown(torch.zeros(10, 1), pixels, classes)
    first, itself = (torch.as_tensor(shown.pictures)[:, 0, 0, 0] for shown in (one_place, by_pixels))
    assert torch.equal(first, itself)  # also where others lie in the very same place


def test_both_sides_of_the_head_are_measured_alike() -> None:
    torch.manual_seed(0)
    data = DigitsData(limit=200).load(seed=0)
    train, held = data.train, data.test
    model = EmbedderModel(encoder="mlp", widths=(16,), features=12, width=4).build((1, 8, 8), 10).eval()
    named = {"mean_average_precision": 0.111, "recall_at_1": 0.222, "linear_probe": 0.333}
    for early in (True, False):
        metrics = [Metric(name, value) for name, value in named.items()]
        (table,) = judged.both_sides_of_the_head(model, train, held, early, metrics)  # type: ignore[arg-type]
        learnt, seen = (judged.place(model, part.inputs, not early) for part in (train, held))  # type: ignore[union-attr]
        assert seen.shape[1] == (4 if early else 12)
        ranked = relevance(seen, held.targets)  # type: ignore[union-attr]
        probed = linear_probe(learnt, train.targets, seen) == held.targets  # type: ignore[union-attr]
        other = [average_precision(ranked).mean(), recall_at(ranked, 1).mean(), probed.double().mean()]
        sides = ("before", "behind") if early else ("behind", "before")
        assert [list(row) for row in table.rows] == [
            [f"{sides[0]} the projection head (used here)", "0.111", "0.222", "0.333"],
            [f"{sides[1]} the projection head (the other)", *[f"{float(one):.3f}" for one in other]],
        ]


def test_gains_are_over_pixels() -> None:
    classes = torch.tensor([0, 0, 1, 1])
    vectors, pixels = torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([[0.0], [5.0], [1.0], [6.0]])
    found = {one.name: one.value for one in judged.retrieval(vectors, pixels, classes, "")}
    # by pixels the own one comes second for the outer two, and third for those between
    assert found == pytest.approx(
        {
            "mean_average_precision": 1.0,
            "mean_average_precision_of_pixels": 5 / 12,
            "mean_average_precision_gain": 7 / 12,
            "recall_at_1": 1.0,
            "recall_at_1_of_pixels": 0.0,
            "recall_at_1_gain": 1.0,
        }
    )


def test_texts_are_left_out_of_every_part_and_points_bear_their_class() -> None:
    def part(count: int) -> TensorBatches:
        both = {"pictures": numbered(count), "texts": torch.zeros(count, 3)}
        return TensorBatches(both, torch.arange(count) % 2, batch_size=2, shuffle=False)

    bare = judged.pictures_only(Dataset(part(4), None, part(3), inputs=(1, 2, 2), outputs=2, labels=("even", "odd")))
    assert bare.development is None
    for some, count in ((bare.train, 4), (bare.test, 3)):
        assert isinstance(some, TensorBatches)
        assert torch.equal(some.inputs, numbered(count))
        assert torch.equal(some.targets, torch.arange(count) % 2)
    (drawing,) = judged.drawn(torch.randn(3, 2), bare, torch.tensor([0, 1, 1]))
    said = str(drawing)
    assert "even" in said
    assert "odd" in said
