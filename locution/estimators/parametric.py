"""Parametric or not: whether what a learner keeps grows with its examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def kept_numbers(estimator: Any) -> int:
    """Count the numbers that a fitted estimator keeps in its arrays, those whose names end in an underscore.

    >>> from locution.estimators.perceptron import Perceptron
    >>> kept_numbers(Perceptron().fit([[0, 0], [1, 1]], [0, 1]))  # two weights, a bias, two classes
    5
    """
    kept = (value for name, value in vars(estimator).items() if name.endswith("_"))
    return sum(value.size for value in kept if isinstance(value, np.ndarray))


def parametric(estimator: Any, X: ArrayLike, y: ArrayLike) -> bool:
    """A parametric learner keeps equally many numbers however many examples it saw; what a non-parametric one keeps
    grows with them.

    Fits the estimator on all examples X (N, D) with answers y (N,), and again on each of them twice.

    >>> from locution.estimators.neighbours import NearestNeighbours
    >>> from locution.estimators.perceptron import Perceptron
    >>> corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> parametric(Perceptron(), corners, [0, 0, 0, 1]), parametric(NearestNeighbours(1), corners, [0, 0, 0, 1])
    (True, False)

    Reference: K. Murphy, 2012, "Machine learning: a probabilistic perspective", section 1.4.1.
    """
    once = kept_numbers(estimator.fit(X, y))
    twice = kept_numbers(estimator.fit(np.repeat(X, 2, axis=0), np.repeat(y, 2)))
    return once == twice
