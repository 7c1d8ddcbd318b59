"""Nearest neighbours: answer as those answer who lie nearest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from locution.errors import UserError, require
from locution.estimators.estimator import Estimator
from locution.estimators.indexes import NONE, Exact, Floats, Index, Places, hnsw, ivf_pq, ranked

INDEXES, VOTES = ("exact", "hnsw", "ivf_pq"), ("uniform", "distance")


def recall(found: Places, truth: Places) -> float:
    """The recall of a search is the share of the true nearest neighbours that it found.

    found and truth (N, count): places of neighbours, in any order.

    >>> recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [3, 9]]))
    0.75

    Reference: M. Aumueller, E. Bernhardsson, A. Faithfull, 2020, "ANN-Benchmarks", section 2.
    """
    return float((found[:, :, None] == truth[:, None, :]).any(1).mean())


@dataclass(eq=False)
class NearestNeighbours(Estimator):
    """K-nearest neighbours answer for an example as most of the k examples that lie nearest to it: nothing is learnt
    but where they lie.

    It is non-parametric: what it keeps grows with the examples. Looking at all is exact; of many, an index looks at few
    and misses some. Whoever was found is put in order by true distances.

    Settings
    --------
    neighbours: how many are asked. vote: "uniform", or "distance", where the nearer counts for more. index: "exact",
    "hnsw" or "ivf_pq" (both with the extra `neighbours`). effort: how much an index looks at, candidates of hnsw
    (0 for 128) or cells of ivf_pq (0 for 16). links, building: of hnsw. cells, codes, shortlist: of ivf_pq; 0 cells are
    the root of the count, 0 codes the largest number that divides the features, up to half of them.

    Attributes: `points_` (M, D), `classes_`, `codes_` (M,), the class of each point.

    >>> learnt = NearestNeighbours(neighbours=3).fit([[0.0], [1.0], [2.0], [10.0], [11.0]], ["a", "a", "b", "b", "b"])
    >>> learnt.predict([[0.5], [9.0]]).tolist(), learnt.predict_proba([[0.5]]).round(3).tolist()
    (['a', 'b'], [[0.667, 0.333]])
    >>> [found.tolist() for found in learnt.kneighbors([[0.9]], 2)]  # how far, and which
    [[[0.1, 0.9]], [[1, 0]]]

    Reference: T. Cover, P. Hart, 1967, "Nearest neighbor pattern classification".
    """

    neighbours: int = 5
    vote: str = "uniform"
    index: str = "exact"
    effort: int = 0
    links: int = 32
    building: int = 100
    cells: int = 0
    codes: int = 0
    shortlist: int = 10

    def _checked(self) -> None:
        require(self.index in INDEXES, "neighbours.index", self.index, "exact, hnsw or ivf_pq")
        require(self.vote in VOTES, "neighbours.vote", self.vote, "uniform or distance")
        require(self.links >= 2, "neighbours.links", self.links, "a whole number from 2, usually 16 to 64")
        for name, usual in (("neighbours", "1 to 15"), ("building", "40 to 400"), ("shortlist", "1 to 20")):
            value = getattr(self, name)
            require(value >= 1, f"neighbours.{name}", value, f"a whole number from 1, usually {usual}")
        for name in ("effort", "cells", "codes"):
            require(getattr(self, name) >= 0, f"neighbours.{name}", getattr(self, name), "a whole number from 1, or 0")

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Keep the points X (M, D) and their classes y (M,), and build the index; without y it only finds."""
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        self._checked()
        self.told_ = y is not None
        if y is None:
            self.points_ = validate_data(self, X, dtype=np.float64)
        else:
            self.points_, labels = validate_data(self, X, y, dtype=np.float64)
            check_classification_targets(labels)
            self.classes_, self.codes_ = np.unique(labels, return_inverse=True)
        self._index = self._built(self.points_)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Hand out what was learnt; the index is built from it again."""
        return {name: value for name, value in super().state_dict().items() if name != "_index"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave, and build the index."""
        super().load_state_dict(state)
        self._index = self._built(self.points_)

    def aim(self, effort: int) -> Self:
        """Look at more or at less from now on, in the index that is there."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "points_")
        require(effort >= 1, "neighbours.effort", effort, "a whole number from 1")
        self.effort = effort
        self._index.aim(effort)
        return self

    def _built(self, points: Floats) -> Index:
        if self.index == "hnsw":
            return hnsw(points, self.links, self.building, self.effort or 128)
        if self.index == "ivf_pq":
            return ivf_pq(points, self.cells, self.effort or 16, self.codes, self.shortlist)
        return Exact(points)

    def kneighbors(self, X: ArrayLike, n_neighbors: int = 0) -> tuple[Floats, Places]:
        """Find the nearest points of each example, the nearest first: distances (N, k) and places (N, k).

        n_neighbors: how many, 0 for the setting. What an index did not find is infinitely far, at place -1.
        """
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self, "points_")
        rows, count = validate_data(self, X, dtype=np.float64, reset=False), n_neighbors or self.neighbours
        most = len(self.points_)
        require(
            1 <= count <= most, "neighbours.neighbours", count, f"a whole number from 1 to {most}, the points there are"
        )
        return ranked(rows, self.points_, self._index.candidates(rows, count), count)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Give each class its share of the vote: (N, C), in the order of `classes_`."""
        away, places = self.kneighbors(X)
        if not self.told_:
            raise UserError("the neighbours were fitted without classes y; allowed: kneighbors, or fit(X, y).")
        votes = (places != NONE).astype(np.float64)  # (N, k)
        if self.vote == "distance":
            same = away == 0  # who lies on the very place decides alone
            votes = np.where(same.any(1, keepdims=True), same, 1 / np.where(same, 1.0, away))
        shares = np.zeros((len(away), len(self.classes_)))
        np.add.at(shares, (np.arange(len(away))[:, None], self.codes_[places]), votes)
        total: Floats = shares.sum(1, keepdims=True)
        found: Floats = shares / np.where(total > 0, total, 1)
        return found

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Say the class that most neighbours have; of equally many, the first in `classes_`."""
        shares = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[shares.argmax(1)]
        return labels

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Measure the accuracy."""
        return float((self.predict(X) == np.asarray(y)).mean())

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what this is: a classifier."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            transformer_tags=None,
            regressor_tags=None,
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(),
        )
