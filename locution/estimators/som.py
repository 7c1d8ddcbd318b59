"""The self-organising map: examples of many features laid out on a flat grid, like beside like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from locution.engine.random import generator
from locution.errors import require
from locution.estimators.estimator import Estimator
from locution.estimators.lattice import Floats, lattice
from locution.estimators.map_steps import Units, batch_step, nearest_units, online_step, plane

TRAINING, START = ("batch", "online"), ("plane", "examples")


def quantisation_error(rows: Floats, weights: Floats) -> float:
    """The quantisation error is the mean distance of an example to the closest unit: what the map leaves out.

    rows (N, D), weights (..., D).

    >>> quantisation_error(np.array([[0.0], [3.0]]), np.array([[0.0], [1.0]]))  # (0 + 2) / 2
    1.0

    Reference: T. Kohonen, 2001, "Self-organizing maps", third edition, section 2.9.
    """
    flat = weights.reshape(-1, weights.shape[-1])
    return float(np.linalg.norm(rows - flat[nearest_units(rows, flat)[:, 0]], axis=1).mean())


def topographic_error(rows: Floats, weights: Floats, places: Floats) -> float:
    """The topographic error is the share of examples whose two closest units are no neighbours: where a map is torn.

    rows (N, D), weights (R, C, D), places (R, C, 2). Neighbours of a square are the eight around it, of a hexagon the
    six.

    >>> weights, places = np.array([[[0.0], [5.0], [1.0]]]), lattice(1, 3, "rectangular")
    >>> topographic_error(np.array([[0.4], [4.0]]), weights, places)  # 0.4 lies between the first and the third
    0.5

    Reference: K. Kiviluoto, 1996, "Topology preservation in self-organizing maps", section 3.
    """
    flat = places.reshape(-1, 2)
    two = nearest_units(rows, weights.reshape(len(flat), -1), count=min(2, len(flat)))
    away = np.linalg.norm(flat[two[:, 0]] - flat[two[:, -1]], axis=1)
    return float((away > 1.5).mean())  # neighbours lie at up to sqrt(2), the next hexagons at sqrt(3), squares at 2


@dataclass(eq=False)
class SelfOrganisingMap(Estimator):
    """A self-organising map is a grid of units that learn together with their neighbours, so that like examples come
    to lie beside each other on it.

    In each epoch neighbours learn less with each other than in the one before: first the map unfolds, then it finds
    its detail. `training` "batch" shows all examples at once, which is fast and depends on no order; "online" one
    after another.

    Settings
    --------
    rows, columns: of the grid. grid: "rectangular" or "hexagonal". epochs: passes through the examples. radius: how
    far, in units, neighbours feel each other at first; 0 for a quarter of the longer side. final_radius: at the end;
    less gives a smaller quantisation error, more an evener map. learning_rate, final_learning_rate: of online training.
    start: "plane" (through the two directions of most spread) or "examples" drawn by chance. random_state: seed of
    the order and of that draw.

    Attributes: `weights_` (rows, columns, D), `places_` (rows, columns, 2), `quantisation_error_`,
    `topographic_error_`, `n_iter_`.

    >>> X = [[0.0, 0.0], [0.0, 0.1], [1.0, 1.0], [1.0, 0.9]]
    >>> learnt = SelfOrganisingMap(rows=1, columns=5).fit(X)
    >>> units = learnt.predict(X)
    >>> abs(int(units[0]) - int(units[1])) <= 1, abs(int(units[0]) - int(units[2])) >= 3
    (True, True)

    Reference: T. Kohonen, 1982, "Self-organized formation of topologically correct feature maps"; 2013, "Essentials
    of the self-organizing map" (batch computation).
    """

    rows: int = 10
    columns: int = 10
    grid: str = "rectangular"
    training: str = "batch"
    epochs: int = 20
    radius: float = 0.0
    final_radius: float = 0.7
    learning_rate: float = 0.5
    final_learning_rate: float = 0.01
    start: str = "plane"
    random_state: int = 0

    def _checked(self) -> None:
        require(self.training in TRAINING, "som.training", self.training, " or ".join(TRAINING))
        require(self.start in START, "som.start", self.start, " or ".join(START))
        require(self.epochs >= 1, "som.epochs", self.epochs, "a whole number from 1, usually 20")
        require(self.radius >= 0, "som.radius", self.radius, "units above 0, or 0 for a quarter of the longer side")
        require(self.final_radius > 0, "som.final_radius", self.final_radius, "a number above 0, usually 0.5 to 2")
        for name in ("learning_rate", "final_learning_rate"):
            rate = getattr(self, name)
            require(0 < rate <= 1, f"som.{name}", rate, "a number above 0, up to 1")

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Lay the examples X (N, D) out; y has no part in it."""
        from sklearn.utils.validation import validate_data

        self._checked()
        places = lattice(self.rows, self.columns, self.grid)
        given = validate_data(self, X, dtype=np.float64)
        # single precision does, once the data lie around 0 and reach about as far as 1
        self._middle, self._size = given.mean(0), float(given.std(0).max()) or 1.0
        rows = self._scaled(given)
        first = self.radius or max(self.rows, self.columns) / 4
        fades = [done / max(self.epochs - 1, 1) for done in range(self.epochs)]
        radii = [first * (self.final_radius / first) ** fade for fade in fades]
        learnt = self._begin(rows, places)
        for epoch, radius in enumerate(radii):
            if self.training == "batch":
                learnt = batch_step(learnt, rows, places, radius)
            else:
                rate = self.learning_rate * (self.final_learning_rate / self.learning_rate) ** fades[epoch]
                for row in self._drawn(len(rows), "order", epoch):
                    learnt = online_step(learnt, rows[row], places, radius, rate)
        self.weights_, self.places_, self.n_iter_ = learnt * self._size + self._middle, places, self.epochs
        self.quantisation_error_ = quantisation_error(rows, learnt) * self._size
        self.topographic_error_ = topographic_error(rows, learnt, places)
        return self

    def _scaled(self, given: Floats) -> Floats:
        scaled: Floats = ((given - self._middle) / self._size).astype(np.float32)
        return scaled

    def _drawn(self, count: int, what: str, epoch: int = 0) -> list[int]:
        order: list[int] = torch.randperm(count, generator=generator(self.random_state, f"som {what}", epoch)).tolist()
        return order

    def _begin(self, rows: Floats, places: Floats) -> Floats:
        if self.start == "plane":
            return plane(rows, places)
        order = self._drawn(len(rows), "start")
        drawn: Floats = rows[np.resize(order, self.rows * self.columns)].reshape(*places.shape[:2], -1)
        return drawn

    def predict(self, X: ArrayLike) -> Units:
        """Name the closest unit of each example (N,): row times columns plus column."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self, "weights_")
        rows = self._scaled(validate_data(self, X, dtype=np.float64, reset=False))
        return nearest_units(rows, self._scaled(self.weights_.reshape(-1, rows.shape[1])))[:, 0]

    def transform(self, X: ArrayLike) -> Floats:
        """Place each example on the map: (N, 2), how far to the right and how far down its unit lies."""
        units = self.predict(X)
        places: Floats = self.places_.reshape(-1, 2)[units]
        return places

    def fit_transform(self, X: ArrayLike, y: object = None) -> Floats:
        """Lay the examples out and say where they lie."""
        return self.fit(X, y).transform(X)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what this is: it learns without answers and places examples."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            regressor_tags=None,
            classifier_tags=None,
            input_tags=InputTags(),
        )
