"""Pooling: against torch's layers, where gradients go, and as the way in which a network halves its pictures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import UserError
from locution.models.convnet import ConvNetModel
from locution.models.pooling import average_pooling, max_pooling, pooling


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (1, 1, 7, 4), (5, 3)])
def test_it_is_torchs(shape: tuple[int, ...], side: int) -> None:
    pictures = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    four = pictures.view(1, 1, *shape) if len(shape) == 2 else pictures
    largest, mean = functional.max_pool2d(four, side), functional.avg_pool2d(four, side)
    torch.testing.assert_close(max_pooling(pictures, side), largest.view(max_pooling(pictures, side).shape))
    torch.testing.assert_close(average_pooling(pictures, side), mean.view(average_pooling(pictures, side).shape))


def test_a_gradient_goes_to_the_largest_alone_or_to_all_alike() -> None:
    pictures = torch.tensor([[1.0, 5.0], [3.0, 2.0]], requires_grad=True)
    for pool, expected in ((max_pooling, [[0, 1], [0, 0]]), (average_pooling, [[0.25, 0.25], [0.25, 0.25]])):
        (slope,) = torch.autograd.grad(pool(pictures).sum(), pictures)
        assert slope.tolist() == expected


@pytest.mark.parametrize("side", [0, 3])
def test_a_square_larger_than_the_pictures_is_refused_in_one_line(side: int) -> None:
    with pytest.raises(UserError, match=rf"side is {side}; allowed: a whole number from 1 to 2, the shorter side"):
        max_pooling(torch.zeros(1, 2, 5), side)


@pytest.mark.parametrize("halving", ["max", "average"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 30), (1, 1, 9), (2, 4, 5)])
def test_a_network_that_pools_has_the_sizes_of_one_that_strides(shape: tuple[int, ...], halving: str) -> None:
    pictures = torch.rand(2, *shape)
    plain = ConvNetModel(widths=(4, 6, 8)).build(shape, 3)
    pooled = ConvNetModel(widths=(4, 6, 8), halving=halving).build(shape, 3)  # type: ignore[arg-type]
    assert pooled.stages(pictures).shape == plain.stages(pictures).shape
    assert sum(p.numel() for p in pooled.parameters()) == sum(p.numel() for p in plain.parameters())
    residual = ConvNetModel(widths=(4, 6), halving=halving, residual=True).build(shape, 3)  # type: ignore[arg-type]
    assert residual(pictures).shape == (2, 3)


@pytest.mark.parametrize(("halving", "pool"), [("max", max_pooling), ("average", average_pooling)])
def test_a_pooling_network_pools_before_it_convolves(halving: str, pool: Callable[[Tensor], Tensor]) -> None:
    net = ConvNetModel(widths=(2, 3), halving=halving, norm="none").build((1, 8, 8), 2)  # type: ignore[arg-type]
    one, two = (layer for layer in net.stages.modules() if isinstance(layer, nn.Conv2d))
    x = torch.rand(3, 1, 8, 8)
    first = functional.conv2d(x, one.weight, one.bias, padding=1).relu()
    second = functional.conv2d(pool(first), two.weight, two.bias, padding=1).relu()
    torch.testing.assert_close(net.stages(x), second)


def test_other_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'averag' is no pooling. Did you mean 'average'"):
        pooling("averag")
    with pytest.raises(UserError, match="'mean' is no pooling"):
        ConvNetModel(halving="mean")  # type: ignore[arg-type]
