"""How good a learner without gradients is: its answers, its map, and what its index misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.errors import UserError
from locution.estimators.neighbours import NearestNeighbours
from locution.estimators.som import SelfOrganisingMap, quantisation_error, topographic_error
from locution.evaluation.intervals import bootstrap
from locution.evaluation.metrics import accuracy, confusion, macro_f1
from locution.reporting.map_picture import labelled_map, map_picture
from locution.reporting.recall_curve import recall_and_speed
from locution.reporting.results import Confusion, Drawing, Metric, RunResults, WrongAnswer
from locution.tasks.contrast_judged import metric

EFFORTS = {"hnsw": (1, 4, 16, 64, 128), "ivf_pq": (1, 2, 4, 8, 16)}
ASKED = 10
Floats = NDArray[np.float64]
Classes = NDArray[np.int64]


def judge_estimator(results: RunResults, estimator: Any, data: Dataset, train: Floats, held: TensorBatches) -> None:
    """Judge what was learnt, in the way of its kind, and add the figures and pictures to the results."""
    rows = held.inputs.detach().cpu().double().flatten(1).numpy()
    learnt: Any = data.train
    if isinstance(estimator, SelfOrganisingMap):
        classes = learnt.targets.cpu().numpy() if data.labels else None
        judge_map(results, estimator, data, (train, classes), (rows, held.targets))
    elif data.labels and estimator.__sklearn_tags__().estimator_type == "classifier":
        judge_answers(results, estimator, data, rows, held)
        if isinstance(estimator, NearestNeighbours):
            judge_search(results, estimator, train, learnt.targets.cpu().numpy(), rows)
    elif data.labels and callable(getattr(estimator, "transform", None)):
        voters = NearestNeighbours().fit(np.asarray(estimator.transform(train)), learnt.targets.cpu().numpy())
        answers = torch.as_tensor(voters.predict(np.asarray(estimator.transform(rows))))
        note = f"{len(rows)} test examples, answered by the 5 nearest of what it makes of those to learn from"
        figure = accuracy(answers, held.targets)
        results.metrics.append(metric("neighbour_accuracy", "k-NN accuracy", figure, note))
    else:
        raise UserError(f"{type(estimator).__name__} and these data cannot be judged; allowed: classes to answer with.")


def judge_answers(results: RunResults, estimator: Any, data: Dataset, rows: Floats, held: TensorBatches) -> None:
    """Judge answers that are classes."""
    answers, note = torch.as_tensor(estimator.predict(rows)), f"{len(rows)} examples: held-out test set"
    results.metrics += [
        metric("accuracy", "accuracy", accuracy(answers, held.targets), note),
        metric("macro_f1", "macro F1", macro_f1(answers, held.targets), note),
    ]
    counts = confusion(answers, held.targets, len(data.labels)).tolist()
    results.confusion = Confusion(list(data.labels), counts)
    if held.inputs.dim() == 4 and held.inputs.shape[-2] > 1:
        missed = (answers != held.targets).nonzero().flatten().tolist()[:24]
        results.wrong = [
            WrongAnswer(
                held.inputs[row, 0].numpy(),
                data.labels[int(held.targets[row])],
                data.labels[int(answers[row])],
                name=f"test:{row}",
            )
            for row in missed
        ]


def judge_search(results: RunResults, found: NearestNeighbours, train: Floats, classes: Classes, rows: Floats) -> None:
    """Hold neighbours to scikit-learn's, and draw what indexes find of them against how fast they answer."""
    from sklearn.neighbors import KNeighborsClassifier

    vote = "distance" if found.vote == "distance" else "uniform"
    plain = KNeighborsClassifier(min(found.neighbours, len(train)), weights=vote).fit(train, classes)
    same = torch.as_tensor(found.predict(rows) == plain.predict(rows)).double()
    note = f"{len(rows)} answers of scikit-learn's KNeighborsClassifier"
    agreed = Metric("same_as_scikit_learn", float(same.mean()), label="same answers", better="higher", note=note)
    results.metrics.append(agreed)
    count = min(ASKED, len(train))
    if find_spec("faiss") is None:
        results.notes.append("Indexes were not compared: they need faiss, pip install 'locution[neighbours]'.")
        return
    truth = NearestNeighbours().fit(train).kneighbors(rows, count)[1]
    for name, label in (("hnsw", "HNSW"), ("ivf_pq", "IVF-PQ")):
        places = NearestNeighbours(index=name).fit(train).kneighbors(rows, count)[1]
        each = torch.as_tensor((places[:, :, None] == truth[:, None, :]).any(1).mean(1))  # (N,)
        said = f"{len(rows)} test examples, at its defaults, of the {count} that are truly nearest"
        results.metrics.append(metric(f"recall_of_{name}", f"recall@{count} of {label}", bootstrap(each), said))
    results.graphs.append(recall_and_speed(train, rows, EFFORTS, count))


def judge_map(
    results: RunResults,
    learnt: SelfOrganisingMap,
    data: Dataset,
    train: tuple[Floats, Classes | None],
    held: tuple[Floats, Any],
) -> None:
    """Judge a map by what it leaves out, by where it is torn, and by who lies beside whom; and draw it."""
    rows, truth = held
    note = f"{len(rows)} examples: held-out test set"
    away = np.sqrt(((rows - learnt.weights_.reshape(-1, rows.shape[1])[learnt.predict(rows)]) ** 2).sum(1))
    results.metrics += [
        metric("quantisation_error", "quantisation error", bootstrap(torch.as_tensor(away)), note, better="lower"),
        Metric(
            "topographic_error",
            topographic_error(rows, learnt.weights_, learnt.places_),
            label="topographic error",
            better="lower",
            note=note,
        ),
        Metric(
            "training_quantisation_error",
            quantisation_error(train[0], learnt.weights_),
            label="quantisation error, learnt",
            better="lower",
            note="the examples learnt from",
        ),
    ]
    names = units_named(learnt, train[0], train[1], data.labels)
    if train[1] is not None:
        right = [names[unit] == data.labels[int(true)] for unit, true in zip(learnt.predict(rows), truth, strict=True)]
        figure = bootstrap(torch.tensor(right).double())
        said = f"{note}, each by what most of its unit, or of the nearest one that has any, are"
        results.metrics.insert(0, metric("map_accuracy", "accuracy by unit", figure, said))
    results.drawings.append(draw_map(learnt, data.inputs, names))


def units_named(learnt: SelfOrganisingMap, rows: Floats, classes: Classes | None, labels: Sequence[str]) -> list[str]:
    """Name each unit of a map by what most of those are that fell on it; one that nothing met, by the nearest that was.

    >>> learnt = SelfOrganisingMap(rows=1, columns=3).fit([[0.0], [0.1], [2.0]])
    >>> units_named(learnt, np.array([[0.0], [0.1], [2.0]]), np.array([0, 0, 1]), ["low", "high"])
    ['low', 'low', 'high']
    """
    count = learnt.rows * learnt.columns
    if classes is None or not labels:
        return [""] * count
    fell = [Counter[int]() for _ in range(count)]
    for unit, kind in zip(learnt.predict(rows), classes, strict=True):
        fell[int(unit)][int(kind)] += 1
    met = np.array([unit for unit in range(count) if fell[unit]])
    flat = learnt.weights_.reshape(count, -1)
    names = []
    for unit in range(count):
        near = met[((flat[met] - flat[unit]) ** 2).sum(1).argmin()]
        most = max(fell[near].values())
        names.append(labels[min(kind for kind, times in fell[near].items() if times == most)])
    return names


def draw_map(learnt: SelfOrganisingMap, shape: tuple[int, ...], names: Sequence[str]) -> Drawing:
    """Draw a map: as pictures where examples are grey pictures, else by the names of its units."""
    title = "The map, and the walls between its units"
    note = "left: what each unit stands for; right: how far it is from its neighbours (U-matrix)"
    note += ", and what most that fall there are" if any(names) else ""
    if len(shape) == 3 and shape[0] == 1 and min(shape[1:]) > 1:
        height, width = shape[1:]
        drawn = map_picture(learnt.weights_, learnt.places_, (height, width), alt=title, words=names)
    else:
        drawn = labelled_map(learnt.weights_, learnt.places_, names, alt=title)
    return Drawing(title, drawn, note)
