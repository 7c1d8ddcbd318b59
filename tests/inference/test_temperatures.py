"""Temperatures of any size give chances: none at all the likeliest, a boundless one all alike."""

from __future__ import annotations

import math

import pytest
import torch

from locution.inference.generate import sharpened

SCORES = torch.tensor([3.0, -2.0, 5.0, 0.5])


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-9])
def test_next_to_nothing_takes_the_likeliest(temperature: float) -> None:
    assert sharpened(SCORES, temperature).tolist() == [0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("temperature", [1e9, 1e300, math.inf])
def test_beyond_all_bounds_all_are_alike(temperature: float) -> None:
    torch.testing.assert_close(sharpened(SCORES, temperature), torch.full((4,), 0.25))


def test_in_between_it_is_the_softmax() -> None:
    assert torch.equal(sharpened(SCORES, 0.7), (SCORES / 0.7).softmax(-1))
