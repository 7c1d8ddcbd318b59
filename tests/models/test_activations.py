"""Activations against their formulas, derivatives against differences."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from locution.errors import UserError
from locution.models.activations import MODULES, activation, curve, derivative, draw_activations, prelu, softmax

FORMULAS = {
    "relu": lambda x: max(0.0, x),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "prelu": lambda x: x if x > 0 else 0.25 * x,
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "softmax": lambda x: math.exp(x) / (math.exp(x) + 1),
}
POINTS = [-3.1, -1.0, -0.2, 0.3, 1.0, 2.7]


@pytest.mark.parametrize("name", list(MODULES))
def test_an_activation_is_its_formula_and_its_derivative_the_difference(name: str) -> None:
    x = torch.tensor(POINTS)
    expected = torch.tensor([FORMULAS[name](value) for value in POINTS])
    slopes = [(FORMULAS[name](v + 1e-6) - FORMULAS[name](v - 1e-6)) / 2e-6 for v in POINTS]
    torch.testing.assert_close(curve(name, x).detach(), expected)
    torch.testing.assert_close(derivative(name, x), torch.tensor(slopes), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ("swish", "prelu", "softmax")])
def test_the_function_of_that_name_is_the_module(name: str) -> None:
    import locution.models.activations as room

    x = torch.tensor(POINTS)
    torch.testing.assert_close(getattr(room, name)(x), activation(name)(x))


def test_prelu_learns_its_slope() -> None:
    unit = activation("prelu")
    assert [p.shape for p in unit.parameters()] == [(1,)]
    x = torch.tensor(POINTS)
    torch.testing.assert_close(unit(x), prelu(x, torch.tensor([0.25])))


def test_softmax_of_three_scores() -> None:
    assert [round(p, 2) for p in softmax(torch.tensor([2.0, 1.0, 0.5])).tolist()] == [0.63, 0.23, 0.14]


def test_softmax_of_huge_scores_stays_finite() -> None:
    assert softmax(torch.tensor([1e4, 0.0])).tolist() == [1.0, 0.0]


def test_a_misspelt_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'geluu' is no activation. Did you mean 'gelu'\?"):
        activation("geluu")


def test_the_picture_shows_each_with_its_derivative(tmp_path: Path) -> None:
    figure = draw_activations(tmp_path / "activations.png")
    assert len(figure.axes) == 8
    assert all(len(axes.lines) == 4 for axes in figure.axes)  # two guides, the value, the derivative
    assert (tmp_path / "activations.png").read_bytes().startswith(b"\x89PNG")
