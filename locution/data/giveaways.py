"""Features that give the target away: one column from which alone the answer can be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from locution.data.chance import Column
from locution.engine.random import generator

NEARLY = 0.99
FEWEST, FEWEST_OF_A_CLASS = 40, 8  # in fewer rows than these, one column tells the answer by chance
FOLDS = 3
BINS, SLACK = 256, 0.1  # what is looked at first, and how much that may miss


@dataclass(frozen=True)
class Giveaway:
    """A column that alone gives the answer, and how well: balanced accuracy, or the share of variance (R2)."""

    name: str
    score: float
    measure: str


def giveaways(columns: Mapping[str, Column], targets: torch.Tensor, limit: float = NEARLY) -> list[Giveaway]:
    """A feature gives the target away if it predicts it nearly perfectly by itself, on rows it was not fitted to.

    Parameters
    ----------
    columns: by name, each N numbers (nan where one is missing) or N texts. targets: classes (N,), whole numbers, or
    values (N,) or (N, 1). limit: the score from which on a column gives it away.

    A small decision tree, or for texts a table of what each stood beside, is fitted to two thirds of the rows and
    asked for the rest, in turn. A score is the balanced accuracy, or R2; for values a straight or monotone line counts
    too. Nothing is said of fewer than 40 rows, nor where a class has fewer than 8.

    >>> draw = torch.Generator().manual_seed(0)
    >>> churn = (torch.rand(200, generator=draw) > 0.5).long()
    >>> table = {"age": torch.rand(200, generator=draw), "refund": torch.where(churn == 1, 30.0, 0.0)}
    >>> giveaways(table, churn)
    [Giveaway(name='refund', score=1.0, measure='balanced accuracy')]

    Reference: S. Kaufman, S. Rosset, C. Perlich, O. Stitelman, 2012, "Leakage in data mining: formulation, detection,
    and avoidance", on detection.
    """
    answers = targets.detach().cpu().numpy()
    answers = answers.reshape(len(answers))
    classes = not np.issubdtype(answers.dtype, np.floating)
    if classes:
        answers = np.unique(answers, return_inverse=True)[1]
        counts = np.bincount(answers)
        too_few = len(counts) < 2 or counts.min() < FEWEST_OF_A_CLASS
    else:
        too_few = float(answers.std()) == 0.0
    if len(answers) < FEWEST or too_few:
        return []
    order = torch.randperm(len(answers), generator=generator(0, "giveaways")).numpy()
    fold = order.argsort() % FOLDS  # (N,)
    found = []
    for name, column in columns.items():
        score = score_of(np.asarray(column), answers, fold, classes, limit)
        if score >= limit:
            found.append(Giveaway(name, round(score, 4), "balanced accuracy" if classes else "R2"))
    return sorted(found, key=lambda one: -one.score)


def score_of(
    column: NDArray[Any], answers: NDArray[Any], fold: NDArray[Any], classes: bool, limit: float = NEARLY
) -> float:
    """Score one column: its predictions for each third of the rows, fitted to the others."""
    texts = column.dtype.kind in "USO"
    values = np.unique(column.astype(str), return_inverse=True)[1] if texts else column.astype(np.float64)
    if best_possible(values, answers, classes) < limit - SLACK:
        return 0.0  # most columns: no tree need be grown
    predicted = np.zeros(len(answers), dtype=answers.dtype)
    for part in range(FOLDS):
        fitted, asked = fold != part, fold == part
        learn = looked_up if texts else by_tree
        predicted[asked] = learn(values[fitted], answers[fitted], values[asked], classes)
    if classes:
        right = predicted == answers
        return float(np.mean([right[answers == one].mean() for one in np.unique(answers)]))
    return max(r_squared(predicted, answers), 0.0 if texts else along_a_line(values, answers))


def best_possible(values: NDArray[Any], answers: NDArray[Any], classes: bool) -> float:
    """Say how well a column could do at most, by the best answer for each of its values, or 256 bins of them.

    >>> best_possible(np.array([1, 1, 2, 2]), np.array([0, 0, 1, 0]), classes=True)  # two thirds of 0, all of 1
    0.8333
    """
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) < 2:
        return 0.0
    if len(distinct) > BINS and not np.issubdtype(values.dtype, np.integer):
        codes = codes * BINS // len(distinct)
    size = int(codes.max()) + 1
    if classes:
        kinds = int(answers.max()) + 1
        table = np.bincount(codes * kinds + answers, minlength=size * kinds).reshape(size, kinds)
        return float((table / table.sum(0)).max(1).sum()) / kinds
    counts = np.bincount(codes, minlength=size)
    means = np.bincount(codes, weights=answers, minlength=size) / np.maximum(counts, 1)
    return float((counts * (means - answers.mean()) ** 2).sum() / np.square(answers - answers.mean()).sum())


def by_tree(seen: NDArray[Any], answers: NDArray[Any], asked: NDArray[Any], classes: bool) -> NDArray[Any]:
    """Fit a small decision tree to one column of numbers, and ask it."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    make = DecisionTreeClassifier if classes else DecisionTreeRegressor
    tree = make(max_leaf_nodes=64, min_samples_leaf=3, random_state=0)
    numbers = np.clip(seen, -1e30, 1e30), np.clip(asked, -1e30, 1e30)  # nan stays nan
    tree.fit(numbers[0][:, None], answers)
    answered: NDArray[Any] = tree.predict(numbers[1][:, None])
    return answered


def looked_up(seen: NDArray[Any], answers: NDArray[Any], asked: NDArray[Any], classes: bool) -> NDArray[Any]:
    """Answer for a category what it most often stood beside (values: on average); a new one gets what all do."""
    size = int(max(seen.max(), asked.max())) + 1
    counts = np.bincount(seen, minlength=size)
    if not classes:
        means = np.bincount(seen, weights=answers, minlength=size) / np.maximum(counts, 1)
        every: NDArray[Any] = np.where(counts > 0, means, answers.mean())
        return every[asked]  # type: ignore[no-any-return]
    pairs, times = np.unique(np.stack([seen, answers], 1), axis=0, return_counts=True)
    best: NDArray[Any] = np.full(size, np.bincount(answers).argmax())
    for (value, answer), _ in sorted(zip(pairs.tolist(), times.tolist(), strict=True), key=lambda one: one[1]):
        best[value] = answer  # the most frequent comes last
    return best[asked]  # type: ignore[no-any-return]


def r_squared(predicted: NDArray[Any], answers: NDArray[Any]) -> float:
    """The share of the answers' variance that predictions explain.

    >>> r_squared(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """
    return 1.0 - float(np.square(answers - predicted).sum() / np.square(answers - answers.mean()).sum())


def along_a_line(values: NDArray[Any], answers: NDArray[Any]) -> float:
    """The squared correlation of a column with the answers, of the numbers or of their ranks, the larger.

    >>> along_a_line(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 10.0, 100.0, 1000.0]))
    1.0
    """
    from scipy.stats import rankdata

    if not np.isfinite(values).all() or len(np.unique(values)) < 3:
        return 0.0
    pairs = ((values, answers), (rankdata(values), rankdata(answers)))
    found = []
    for left, right in pairs:
        a, b = left - left.mean(), right - right.mean()
        length = math.sqrt(float((a**2).sum())) * math.sqrt(float((b**2).sum()))
        found.append(float((a * b).sum()) / length if length > 0 and math.isfinite(length) else 0.0)
    return max(one**2 for one in found)
