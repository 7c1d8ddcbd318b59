"""Filters and edges: against torch's convolution, against SciPy's Sobel, and which way edges may run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional

from locution.errors import UserError
from locution.models.filters import edges, filtered, first_filters


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 5), (6, 7)])
def test_it_is_torchs_convolution(size: tuple[int, int]) -> None:
    x, weights = pictures(2, 3, 6, 7), pictures(*size) - 0.5
    found = functional.conv2d(x.view(-1, 1, 6, 7), weights.view(1, 1, *size))
    torch.testing.assert_close(filtered(x, weights).flatten(0, 1)[:, None], found, rtol=0, atol=1e-12)


def test_edges_are_the_length_of_scipys_two_sobel_filters() -> None:
    (x,) = pictures(1, 9, 12).numpy()
    expected = np.hypot(ndimage.sobel(x, axis=0, mode="nearest"), ndimage.sobel(x, axis=1, mode="nearest"))
    np.testing.assert_allclose(edges(torch.as_tensor(x)).numpy(), expected, rtol=0, atol=1e-12)


def test_an_edge_is_as_strong_whichever_way_it_runs_and_an_even_picture_has_none() -> None:
    x = pictures(2, 1, 8, 8)
    torch.testing.assert_close(edges(x.rot90(1, (-2, -1))), edges(x).rot90(1, (-2, -1)))
    torch.testing.assert_close(edges(1 - x), edges(x))
    assert not edges(torch.full((4, 5), 0.7)).any()
    assert edges(x).shape == x.shape
    assert edges(x[0, 0]).shape == (8, 8)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="a filter of 3 x 1 is larger than the pictures; allowed: up to 2 x 2"):
        filtered(torch.zeros(2, 2), torch.zeros(3, 1))
    with pytest.raises(UserError, match=r"pictures \(4,\) and a filter \(2, 2\); allowed"):
        filtered(torch.zeros(4), torch.zeros(2, 2))
    with pytest.raises(UserError, match=r"edges came upon numbers \(4,\); allowed: pictures"):
        edges(torch.zeros(4))


def test_first_filters_are_those_that_look_at_the_pictures() -> None:
    first = nn.Conv2d(3, 4, 5)
    found = first_filters(nn.Sequential(first, nn.Conv2d(4, 2, 3)))
    assert found is not None
    assert torch.equal(found, first.weight)
    assert not found.requires_grad
    assert first_filters(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 3))) is None
