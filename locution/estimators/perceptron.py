"""Rosenblatt's perceptron: one neuron that learns from its mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from locution.errors import require
from locution.estimators.estimator import Estimator

Floats = NDArray[np.float64]
BLOCK = 256  # examples looked at together in search of the next mistake


def neuron(inputs: ArrayLike, weights: ArrayLike, bias: float) -> Any:
    """A neuron weighs its inputs, adds them up with a bias, and fires, 1 or 0, if the sum is above zero.

    Shapes: inputs (..., D), weights (D,); returns (...,).

    >>> neuron([[0, 0], [0, 1], [1, 1]], weights=[1, 1], bias=-1.5).tolist()  # AND
    [0, 0, 1]

    Reference: W. McCulloch, W. Pitts, 1943, "A logical calculus of the ideas immanent in nervous activity".
    """
    return (np.asarray(inputs) @ np.asarray(weights) + bias > 0).astype(np.int64)


@dataclass(eq=False)
class Perceptron(Estimator):
    """A perceptron is one neuron that learns by its mistakes: after each, it adds the example to its weights
    or takes it away.

    If any line (plane) parts the two classes, it finds one after finitely many mistakes. If none does, its
    weights stay bounded and at last come round to where they were: then it is known that it never will, and
    says so. What it keeps then is the average of the weights it had, which is wrong more seldom than the last.

    Parameters
    ----------
    learning_rate: how much of an example is added; it scales the weights and changes no answer. max_epochs:
    passes through the examples, at most.

    Attributes: `coef_` (1, D), `intercept_` (1,), `classes_`, `n_updates_` (mistakes learnt from), `n_iter_`
    (epochs), `separable_` (True, False, or None where max_epochs was not enough to know), `report_` (that in
    words).

    >>> corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> learnt = Perceptron().fit(corners, [0, 0, 0, 1])  # AND
    >>> learnt.predict(corners).tolist(), learnt.separable_
    ([0, 0, 0, 1], True)
    >>> print(Perceptron().fit(corners, [0, 1, 1, 0]).report_)  # XOR
    no: the weights after epoch 1 are those after epoch 0, so the same mistakes come for ever: ...

    Reference: F. Rosenblatt, 1958, "The perceptron: a probabilistic model for information storage"; A.
    Novikoff, 1962, "On convergence proofs on perceptrons"; M. Minsky, S. Papert, 1969, "Perceptrons", section
    11.10 (cycling theorem); Y. Freund, R. Schapire, 1999, "Large margin classification" (averages).
    """

    learning_rate: float = 1.0
    max_epochs: int = 1000

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from examples X (N, D) of two classes y (N,), one after another, in their order."""
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        require(self.learning_rate > 0, "perceptron.learning_rate", self.learning_rate, "a number above 0")
        require(self.max_epochs >= 1, "perceptron.max_epochs", self.max_epochs, "a whole number from 1")
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) != 2:
            came = f"{len(self.classes_)} class{'' if len(self.classes_) == 1 else 'es'}"
            raise ValueError(f"Only binary classification is supported. y has {came}; allowed: two classes.")
        padded = np.hstack([rows, np.ones((len(rows), 1))])  # (N, D + 1), the bias is the weight of a constant one
        self._learn(padded, np.asarray(codes * 2.0 - 1.0, np.float64))
        return self

    def _learn(self, rows: Floats, signs: Floats) -> None:
        weights, total = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        seen = {blake2b(weights.tobytes(), digest_size=16).digest(): 0}
        self.n_updates_, self.separable_, before = 0, None, 0
        for epoch in range(1, self.max_epochs + 1):
            weights, updates = self._epoch(rows, signs, weights, total)
            self.n_updates_, self.n_iter_ = self.n_updates_ + updates, epoch
            if updates == 0:
                self.separable_ = True
                break
            before = seen.setdefault(blake2b(weights.tobytes(), digest_size=16).digest(), epoch)
            if before != epoch:
                self.separable_ = False
                break
        kept = weights if self.separable_ else total / (self.n_iter_ * len(rows))
        self.coef_, self.intercept_ = kept[None, :-1], kept[-1:]
        self.report_ = self._report(before, int((signs * (rows @ kept) <= 0).sum()))

    def _epoch(self, rows: Floats, signs: Floats, weights: Floats, total: Floats) -> tuple[Floats, int]:
        """Go through all examples once; a sum of zero is a mistake too. Adds up the weights of each moment."""
        weights, updates, start = weights.copy(), 0, 0
        while start < len(rows):
            block = slice(start, start + BLOCK)
            wrong = np.flatnonzero(signs[block] * (rows[block] @ weights) <= 0)
            if len(wrong) == 0:
                total += weights * len(rows[block])
                start += BLOCK
                continue
            place = start + int(wrong[0])
            total += weights * (place - start)
            weights += self.learning_rate * signs[place] * rows[place]
            total += weights
            updates, start = updates + 1, place + 1
        return weights, updates

    def _report(self, before: int, mistakes: int) -> str:
        if self.separable_:
            found = f"found after {self.n_updates_} mistakes in {self.n_iter_} epochs"
            return f"yes: one line parts the classes, {found}"
        if self.separable_ is None:
            wrong = f"after {self.n_iter_} epochs {mistakes} examples are on the wrong side"
            return f"unknown: {wrong}; try more max_epochs"
        same = f"the weights after epoch {self.n_iter_} are those after epoch {before}"
        return f"no: {same}, so the same mistakes come for ever: no line parts the classes. A hidden layer can"

    def decision_function(self, X: ArrayLike) -> Floats:
        """Compute the weighted sum (N,), above zero for the second class."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        rows: Floats = validate_data(self, X, dtype=np.float64, reset=False)
        sums: Floats = rows @ self.coef_[0] + self.intercept_[0]
        return sums

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Say the class of each example."""
        fires = self.decision_function(X) > 0
        labels: NDArray[Any] = self.classes_[fires.astype(np.int64)]
        return labels

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Measure the accuracy."""
        return float((self.predict(X) == np.asarray(y)).mean())

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what this is: a classifier of two classes."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            transformer_tags=None,
            regressor_tags=None,
            classifier_tags=ClassifierTags(multi_class=False),
            input_tags=InputTags(),
        )
