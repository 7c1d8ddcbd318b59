"""How good an embedding is: how well it retrieves, beside the pixels, and what a straight line reads off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from locution.data.captioned_digits import FORMS, INKS, LEANS, alike, caption, encode
from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.evaluation.intervals import bootstrap
from locution.evaluation.linear_probe import linear_probe
from locution.evaluation.metrics import accuracy
from locution.evaluation.retrieval import average_precision, recall_at, relevance
from locution.inference.predict import predict
from locution.models.embedder import Embedder
from locution.models.two_towers import TwoTowers
from locution.reporting.results import Gallery, Metric, Table
from locution.reporting.scatter import plane

SHOWN, NEAR = 8, 6  # examples in the picture of neighbours, and neighbours of each


class Features(nn.Module):
    """What is used of a trained model: what its encoder finds, before the head that only training needs.

    >>> from locution.models.embedder import EmbedderModel
    >>> Features(EmbedderModel().build((1, 8, 8), 10))(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 64])
    """

    def __init__(self, model: Any, before_head: bool = True) -> None:
        super().__init__()
        self.model, self.before_head = model, before_head

    def forward(self, inputs: Tensor) -> Tensor:
        """Place inputs: (N, ...) -> (N, D)."""
        inner = self.model
        placed: Tensor = inner.features(inputs) if self.before_head and isinstance(inner, Embedder) else inner(inputs)
        return placed


def place(model: nn.Module, inputs: Any, before_head: bool) -> Tensor:
    """Give inputs (N, ...) their vectors (N, D); of pictures with texts, the pictures'."""
    return predict(Features(model, before_head), seen(inputs)).outputs  # type: ignore[no-any-return]


def pictures_only(data: Dataset) -> Dataset:
    """Leave out the texts beside pictures, where there are any."""

    def bare(some: Any) -> Any:
        return some and TensorBatches(seen(some.inputs), some.targets, batch_size=some.batch_size, shuffle=some.shuffle)

    return replace(data, train=bare(data.train), development=bare(data.development), test=bare(data.test))


def seen(inputs: Any) -> Tensor:
    """Take what is looked at: of pictures with texts, the pictures."""
    found: Tensor = inputs["pictures"] if isinstance(inputs, dict) else inputs
    return found


def metric(
    name: str, label: str, figure: dict[str, float], note: str, group: str = "", better: str = "higher"
) -> Metric:
    """Write down a figure and its interval."""
    return Metric(name, figure["value"], figure["low"], figure["high"], label, group, better, note)


def retrieval(vectors: Tensor, pixels: Tensor, classes: Tensor, note: str) -> list[Metric]:
    """Measure how well vectors retrieve test examples of the same class, beside pixels, and by how much better."""
    found = []
    ours, plain = (relevance(some, classes) for some in (vectors, pixels.flatten(1)))
    for name, label, figure in (
        ("mean_average_precision", "mean average precision", average_precision),
        ("recall_at_1", "recall@1", lambda ranked: recall_at(ranked, 1)),
    ):
        one, other = figure(ours), figure(plain)
        found += [
            metric(name, label, bootstrap(one), note, group=label),
            metric(f"{name}_of_pixels", f"{label}, of pixels", bootstrap(other), note, group=label),
            metric(f"{name}_gain", f"{label}, gain over pixels", bootstrap(one - other), note),
        ]
    return found


def probes(train: Tensor, classes: Tensor, test: Tensor, truth: Tensor, note: str) -> Metric:
    """Measure what a linear probe reads off vectors, on the test set."""
    return metric("linear_probe", "linear probe", accuracy(linear_probe(train, classes, test), truth), note)


def zero_shot(model: TwoTowers, pictures: Tensor, classes: Tensor, labels: Sequence[str], note: str) -> Metric:
    """Zero-shot classification names what a picture shows by the texts that lie nearest to it: nothing was labelled.

    Of each digit all captions are asked, in every form, ink and lean, and the mean of their vectors is taken.

    >>> from locution.models.two_towers import TwoTowersModel
    >>> _ = torch.manual_seed(0)
    >>> untrained = TwoTowersModel().build((1, 8, 8), 2)
    >>> found = zero_shot(untrained, torch.rand(8, 1, 8, 8), torch.arange(8) % 2, ["0", "1"], "chance")
    >>> found.name, 0 <= found.value <= 1
    ('zero_shot_accuracy', True)

    Reference: A. Radford et al., 2021, "Learning transferable visual models from natural language supervision",
    sections 3.1.2 and 3.1.4 (the mean over prompts).
    """
    towers: Any = model
    sorts = list(product(range(len(INKS)), range(len(LEANS)), range(len(FORMS))))
    asked = encode([caption(int(label), *sort) for label in labels for sort in sorts])
    texts = predict(towers.texts, asked).outputs.view(len(labels), len(sorts), -1).mean(1)  # (C, D)
    scores = predict(towers.pictures, pictures).outputs @ torch.nn.functional.normalize(texts, dim=1).T
    return metric("zero_shot_accuracy", "zero-shot accuracy", accuracy(scores, classes), note)


def both_sides_of_the_head(
    model: nn.Module, train: TensorBatches, held: TensorBatches, early: bool, metrics: Sequence[Metric]
) -> list[Table]:
    """Set what the encoder finds beside what the projection head makes of it, where a model has one."""
    if not isinstance(model, Embedder):
        return []
    named = {metric.name: metric.value for metric in metrics}
    ours = [named[name] for name in ("mean_average_precision", "recall_at_1", "linear_probe")]
    other = place(model, held.inputs, not early)
    ranked = relevance(other, held.targets)
    probe = linear_probe(place(model, train.inputs, not early), train.targets, other) == held.targets
    figures = [average_precision(ranked).mean(), recall_at(ranked, 1).mean(), probe.double().mean()]
    rows = [["used here", *ours], ["the other", *map(float, figures)]]
    for row, before in zip(rows, (early, not early), strict=True):
        row[0] = f"{'before' if before else 'behind'} the projection head ({row[0]})"
    columns = ("vectors", "mean average precision", "recall@1", "linear probe")
    return [
        Table(
            "Both sides of the projection head",
            columns,
            [[f"{v:.3f}" if isinstance(v, float) else v for v in row] for row in rows],
        )
    ]


def found_by_caption(model: TwoTowers, held: TensorBatches, note: str) -> Metric:
    """Measure how often the picture that lies nearest to a caption bears that very digit: from texts to pictures."""
    towers: Any = model
    texts = predict(towers.texts, held.inputs["texts"]).outputs
    pictures = predict(towers.pictures, held.inputs["pictures"]).outputs
    right = held.targets[(texts @ pictures.T).argmax(1)] == held.targets
    return metric("text_to_picture", "digit found by its caption", bootstrap(right.double()), note)


def by_captions(vectors: Tensor, held: TensorBatches) -> list[Metric]:
    """Measure how well vectors retrieve the pictures of which the same is said, beside pixels, and by how much better.

    Two towers put pictures where their captions are, so that two of one digit lie apart when one is bold and the other
    thin: what they have learnt is all of a caption, not the digit alone. Pictures of which none other is alike ask
    nothing.
    """
    pixels, kinds = seen(held.inputs).flatten(1), alike(held.inputs["texts"])
    ours, plain = (relevance(some, kinds) for some in (vectors, pixels))
    asks = ours.any(1)
    one, other = (average_precision(ranked[asks]) for ranked in (ours, plain))
    note = f"{int(asks.sum())} test examples, wanted: same digit, ink and lean"
    label = "mAP by all that captions say"
    return [
        metric("caption_average_precision", label, bootstrap(one), note, group=label),
        metric("caption_average_precision_of_pixels", f"{label}, of pixels", bootstrap(other), note, group=label),
        metric("caption_average_precision_gain", f"{label}, gain over pixels", bootstrap(one - other), note),
    ]


def asked_for(model: TwoTowers, held: TensorBatches, asked: Sequence[str]) -> Gallery:
    """Show the pictures that lie nearest to some texts, a row each."""
    towers: Any = model
    texts = predict(towers.texts, encode(asked)).outputs
    pictures = predict(towers.pictures, held.inputs["pictures"]).outputs
    nearest = (texts @ pictures.T).topk(SHOWN, 1).indices  # (T, SHOWN)
    return Gallery("Pictures found by words", held.inputs["pictures"][nearest][:, :, 0].numpy(), "; ".join(asked))


def spread_out(vectors: Tensor, pixels: Tensor, note: str) -> Metric:
    """Measure the uniformity of vectors: 0 where all point one way, as in a collapse, else below.

    It is the logarithm of the mean of exp(-2 d^2) over all pairs, d their distance once each has length 1.

    >>> round(spread_out(torch.eye(2), torch.eye(2), "").value, 3)  # of two at right angles: exp(-4)
    -4.0

    Reference: T. Wang, P. Isola, 2020, "Understanding contrastive representation learning through alignment and
    uniformity on the hypersphere", section 4.1.2.
    """

    def uniformity(some: Tensor) -> float:
        places = torch.nn.functional.normalize(some.flatten(1).double())
        return float(torch.nn.functional.pdist(places).square().mul(-2).exp().mean().log())

    said = f"{note}; of the pixels themselves: {uniformity(pixels):.3f}"
    return Metric("uniformity", uniformity(vectors), label="uniformity", better="lower", note=said)


def neighbours_shown(vectors: Tensor, pixels: Tensor, classes: Tensor | None) -> list[Gallery]:
    """Show some test pictures with their nearest others, by vectors and by pixels: first those that differ most."""
    if pixels.dim() != 4 or pixels.shape[-2] < 2 or len(pixels) <= NEAR:
        return []
    if classes is None:  # then any will do
        return nearest_shown(vectors, pixels, torch.arange(min(SHOWN, len(pixels))))
    ours, plain = (average_precision(relevance(some, classes)) for some in (vectors, pixels.flatten(1)))
    return nearest_shown(vectors, pixels, (ours - plain).argsort(descending=True)[:SHOWN])


def nearest_shown(vectors: Tensor, pixels: Tensor, asked: Tensor) -> list[Gallery]:
    """Show the test pictures that are asked for with their nearest others, by vectors and by pixels."""
    found = []
    for title, some in (("Nearest by the embedding", vectors), ("Nearest by pixels", pixels.flatten(1))):
        points = some.double()
        away = torch.cdist(points[asked], points)
        away[torch.arange(len(asked)), asked] = -1.0  # each stands first, before its neighbours
        rows = away.argsort(1)[:, : NEAR + 1]
        note = "first in each row the picture itself, then the test pictures that lie nearest to it"
        found.append(Gallery(title, np.asarray(pixels[rows][:, :, 0]), note))
    return found


def drawn(vectors: Tensor, data: Dataset, classes: Tensor | None) -> list[Any]:
    """Draw where the test examples lie."""
    labels = [""] * len(vectors) if classes is None else [data.labels[int(one)] for one in classes]
    return [plane(vectors.numpy(), labels, [f"test:{row}" for row in range(len(labels))], "Where test examples lie")]
