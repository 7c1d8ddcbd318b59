"""Attention is drawn of transformers alone, and is what the model truly looks at."""

from __future__ import annotations

import torch

from locution.models.convnet import ConvNetModel
from locution.models.sequence_transformer import TransformerModel
from locution.tasks.attention_drawn import attention_drawn


def test_squares_are_the_shares_of_each_head_beside_the_picture() -> None:
    torch.manual_seed(0)
    model = TransformerModel(width=8, heads=2, layers=2, causal=True, dropout=0.5).build((1, 8, 8), 10).train()
    inputs = torch.rand(6, 1, 8, 8)
    (one,) = attention_drawn(model, inputs)
    assert model.training
    assert one.pictures.shape == (4, 5, 8, 8)
    assert torch.equal(torch.from_numpy(one.pictures[:, 0]), inputs[:4, 0])
    squares = torch.from_numpy(one.pictures[:, 1:])
    torch.testing.assert_close(squares.sum(-1), torch.ones(4, 4, 8))
    assert bool((squares.triu(1) == 0).all())


def test_sequences_have_squares_alone_and_other_networks_nothing() -> None:
    model = TransformerModel(width=8, heads=2, layers=1).build((12, 3), 2)
    (one,) = attention_drawn(model, torch.rand(2, 12, 3))
    assert one.pictures.shape == (2, 2, 12, 12)
    assert attention_drawn(ConvNetModel(widths=(4,)).build((1, 8, 8), 10), torch.rand(2, 1, 8, 8)) == []
    assert attention_drawn(model, torch.rand(2, 300, 3)) == []
