"""Embedders and two towers: what stands before the head, what length vectors have, what texts may be padded with."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from locution.errors import UserError
from locution.models.embedder import EmbedderModel, projection_head
from locution.models.two_towers import TextTower, TwoTowersModel


def test_the_head_stands_behind_the_features_and_vectors_have_length_one() -> None:
    torch.manual_seed(0)
    net = EmbedderModel(encoder="mlp", widths=(16,), features=8, hidden=6, width=3).build((1, 8, 8), 10).eval()
    x = torch.rand(5, 1, 8, 8)
    features = net.features(x)
    assert features.shape == (5, 8)
    assert bool((features >= 0).all())
    before = net.head(features)
    assert torch.allclose(net(x), before / before.norm(dim=1, keepdim=True), atol=1e-6)
    assert torch.allclose(net(x).norm(dim=1), torch.ones(5), atol=1e-6)


def test_without_normalising_vectors_keep_their_length() -> None:
    torch.manual_seed(0)
    net = EmbedderModel(normalise=False).build((1, 8, 8), 10).eval()
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(net(x), net.head(net.features(x)))


def test_a_head_without_an_inner_width_is_one_layer() -> None:
    assert len(projection_head(4, 0, 2)) == 1
    assert sum(parameter.numel() for parameter in projection_head(4, 3, 2).parameters()) == 4 * 3 + 3 + 3 * 2 + 2


@pytest.mark.parametrize(
    ("encoder", "shape", "convolved"),
    [("auto", (1, 8, 8), True), ("auto", (1, 4, 4), False), ("auto", (64,), False), ("mlp", (1, 8, 8), False)],
)
def test_pictures_are_convolved_where_there_is_something_to_convolve(
    encoder: str, shape: tuple[int, ...], convolved: bool
) -> None:
    net = EmbedderModel(encoder=encoder).build(shape, 10)  # type: ignore[arg-type]
    assert any(isinstance(layer, nn.Conv2d) for layer in net.modules()) is convolved


def test_norm_none_leaves_no_layer_that_mixes_a_batch() -> None:
    for encoder in ("mlp", "convnet"):
        net = EmbedderModel(encoder=encoder, norm="none").build((1, 8, 8), 10)
        assert not any("BatchNorm" in type(layer).__name__ for layer in net.modules())


def test_a_text_means_the_same_whatever_padding_is_behind_it_and_another_in_another_order() -> None:
    torch.manual_seed(0)
    tower = TextTower(words=9, hidden=8, width=4)
    short, padded = tower(torch.tensor([[3, 5, 2]])), tower(torch.tensor([[3, 5, 2, 0, 0], [1, 1, 1, 1, 1]]))
    assert torch.allclose(short[0], padded[0], atol=1e-6)
    assert not torch.allclose(short[0], tower(torch.tensor([[2, 5, 3]]))[0], atol=1e-3)
    assert torch.allclose(padded.norm(dim=1), torch.ones(2), atol=1e-6)


def test_two_towers_answer_both_sides_and_the_scale_is_learnt_up_to_a_hundred() -> None:
    torch.manual_seed(0)
    net = TwoTowersModel(words=9).build((1, 8, 8), 10)
    both = {"pictures": torch.rand(3, 1, 8, 8), "texts": torch.randint(1, 9, (3, 4))}
    found = net(both)
    assert found["scale"].item() == pytest.approx(1 / 0.07)
    assert torch.equal(net.eval()(both["pictures"]), net(both)["pictures"])
    found["scale"].backward()
    assert net.log_scale.grad is not None
    with torch.no_grad():
        net.log_scale.fill_(math.log(1e6))
    assert net(both)["scale"].item() == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: EmbedderModel(encoder="convnet").build((64,), 10), r"\(64,\); allowed: pictures"),
        (lambda: EmbedderModel().build((), 10), r"\(\); allowed: numbers of any shape"),
        (lambda: EmbedderModel(encoder="vit"), "model.encoder is 'vit'; allowed: auto, convnet, mlp"),  # type: ignore[arg-type]
        (lambda: EmbedderModel(norm="layer"), "model.norm is 'layer'; allowed: batch or none"),  # type: ignore[arg-type]
        (lambda: TwoTowersModel(words=1), "model.words is 1; allowed"),
        (lambda: TwoTowersModel(width=0), "model.width is 0; allowed"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        asked()  # type: ignore[operator]
