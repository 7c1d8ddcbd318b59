"""Bias and variance: why a model is wrong, over many training sets it might have had."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Learner = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, y) to learn from, x to predict at -> predictions


@dataclass(frozen=True)
class Decomposition:
    """The parts of an expected squared error: squared bias, variance, noise, means over the test points."""

    bias_squared: float
    variance: float
    noise: float

    @property
    def total(self) -> float:
        """The expected squared error on new targets: the sum of the three."""
        return self.bias_squared + self.variance + self.noise


def bias_variance(
    learner: Learner,
    truth: Callable[[Tensor], Tensor],
    x_train: Tensor,
    x_test: Tensor,
    *,
    noise: float,
    repeats: int = 200,
    seed: int = 0,
) -> Decomposition:
    """Bias and variance are the two ways to be wrong: wrong on average, and different with each training set.

    A model is trained on `repeats` training sets, with the same inputs and new noise in the targets. Bias is
    how far the average prediction is from the truth, variance how the predictions scatter about their
    average. A model too simple has bias, a model too free has variance.

    Parameters
    ----------
    learner: called with (x, y, x_test), returns predictions (M,). truth: the function behind the targets.
    x_train (N,), x_test (M,). noise: the standard deviation of what is added to the targets.

    >>> def mean(x, y, new):  # the simplest learner: always the mean of the targets
    ...     return y.mean().expand(len(new))
    >>> x = torch.linspace(-1, 1, 11)
    >>> found = bias_variance(mean, lambda x: x, x, torch.tensor([1.0]), noise=1.0, repeats=4000)
    >>> round(found.bias_squared, 2), round(found.variance, 2)  # (0 - 1)^2, and 1 / 11 = 0.09
    (1.0, 0.09)

    Reference: S. Geman, E. Bienenstock, R. Doursat, 1992, "Neural networks and the bias/variance dilemma",
    eq. 3.
    """
    require(repeats >= 2, "repeats", repeats, "a whole number from 2, usually 200")
    clean, right = truth(x_train), truth(x_test)
    draws = torch.randn(
        (repeats, len(x_train)), generator=generator(seed, "bias_variance"), dtype=torch.float64
    )
    targets = clean + noise * draws.to(clean.dtype)  # (R, N)
    said = torch.stack([learner(x_train, y, x_test).detach() for y in targets]).double()  # (R, M)
    variance = said.var(0, correction=1)  # (M,)
    # the average of R predictions scatters by variance / R too, which is no bias
    bias_squared = (said.mean(0) - right.double()) ** 2 - variance / repeats
    return Decomposition(float(bias_squared.mean()), float(variance.mean()), noise**2)


def powers(x: Tensor, degree: int) -> Tensor:
    """Raise each number to the powers from 0 to a degree: (N,) -> (N, degree + 1).

    >>> powers(torch.tensor([2.0]), 3)
    tensor([[1., 2., 4., 8.]])
    """
    return x[:, None] ** torch.arange(degree + 1, device=x.device)


def polynomial(degree: int) -> Learner:
    """Polynomial regression fits a sum of powers of x to the targets by least squares.

    >>> x = torch.arange(5.0)
    >>> round(polynomial(1)(x, 2 * x + 1, torch.tensor([10.0])).item(), 4)
    21.0

    Reference: J. Gergonne, 1815, "The application of the method of least squares to the interpolation of
    sequences".
    """

    def learn(x: Tensor, y: Tensor, new: Tensor) -> Tensor:
        table = powers(x.double(), degree)  # (N, D)
        weights = torch.linalg.lstsq(table, y.double()[:, None]).solution  # (D, 1)
        said: Tensor = powers(new.double(), degree) @ weights  # (M, 1)
        return said[:, 0]

    return learn


def polynomial_bias_variance(
    degree: int, truth: Callable[[Tensor], Tensor], x_train: Tensor, x_test: Tensor, *, noise: float
) -> Decomposition:
    """Compute the bias and variance of polynomial regression in closed form: no training set is drawn.

    Predictions are H y with H = P' (P^T P)^-1 P^T, so their mean is H f(x) and their variance noise^2 (H
    H^T).

    >>> x = torch.linspace(-1, 1, 11)
    >>> found = polynomial_bias_variance(0, lambda x: x, x, torch.tensor([1.0]), noise=1.0)
    >>> round(found.bias_squared, 4), round(found.variance, 4)  # (0 - 1)^2, and 1 / 11
    (1.0, 0.0909)

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", eqs.
    7.9-7.12.
    """
    hat = powers(x_test.double(), degree) @ torch.linalg.pinv(powers(x_train.double(), degree))  # (M, N)
    bias = hat @ truth(x_train).double() - truth(x_test).double()
    variance = noise**2 * (hat**2).sum(1)
    return Decomposition(float((bias**2).mean()), float(variance.mean()), noise**2)


def draw_bias_variance(
    curve: Mapping[int, Decomposition],
    path: str | Path | None = None,
    expected: Mapping[int, Decomposition] | None = None,
    label: str = "degree of the polynomial",
) -> Figure:
    """Draw bias, variance and error against what makes the model freer; dots where a closed form is
    `expected`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    parts: Sequence[tuple[str, str]] = (
        ("bias_squared", "bias squared"),
        ("variance", "variance"),
        ("total", "expected error"),
    )
    for index, (part, name) in enumerate(parts):
        axes.plot(list(curve), [getattr(one, part) for one in curve.values()], color=f"C{index}", label=name)
        if expected is not None:
            form = [getattr(one, part) for one in expected.values()]
            note = "closed form" if index == 2 else None
            axes.plot(list(expected), form, "o", color=f"C{index}", markersize=4, label=note)
    axes.axhline(next(iter(curve.values())).noise, color="0.6", linestyle="--", linewidth=1, label="noise")
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-4)
    axes.set_xticks(list(curve))
    axes.set_xlabel(label)
    axes.set_ylabel("squared error")
    axes.legend(fontsize=9)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
