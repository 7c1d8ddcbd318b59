"""What is left of each task after the next ones: average accuracy, forgetting, transfer, with intervals.

All of them are read off a matrix (T, T): in row i and column j the accuracy on task j once task i has been learnt. Of
the functions each takes a batch of matrices too, (..., T, T), and gives a figure for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import UserError, require

Figure = dict[str, float]


def average_accuracy(matrix: Tensor) -> Tensor:
    """Average accuracy says how well a model does on all the tasks that it has met, once it has learnt the last: the
    mean of its accuracies on each.

    matrix: (..., T, T), the accuracy on task j (column) once task i (row) has been learnt.

    >>> average_accuracy(torch.tensor([[0.9, 0.1], [0.5, 0.8]]))  # (0.5 + 0.8) / 2
    tensor(0.6500)

    Reference: D. Lopez-Paz, M. Ranzato, 2017, "Gradient episodic memory for continual learning", equation 2; A.
    Chaudhry et al., 2018, "Riemannian walk for incremental learning", metrics.
    """
    return matrix[..., -1, :].mean(-1)


def forgetting(matrix: Tensor) -> Tensor:
    """Catastrophic forgetting is losing an earlier task by learning a later one: how far the accuracy on the earlier
    tasks fell, from its best after any of the tasks to what is left at the end, on average.

    matrix: (..., T, T), see `average_accuracy`. The best is looked for among all rows but the last; below 0 the later
    tasks helped. Of a single task nothing can be forgotten: 0.

    >>> forgetting(torch.tensor([[0.9, 0.1], [0.5, 0.8]]))  # 0.9 - 0.5
    tensor(0.4000)

    Reference: M. McCloskey, N. Cohen, 1989, "Catastrophic interference in connectionist networks"; A. Chaudhry et al.,
    2018, "Riemannian walk for incremental learning", metrics (the forgetting measure).
    """
    if matrix.shape[-1] < 2:
        return torch.zeros(matrix.shape[:-2], dtype=matrix.dtype)
    best = matrix[..., :-1, :-1].amax(-2)  # (..., T - 1)
    return (best - matrix[..., -1, :-1]).mean(-1)


def backward_transfer(matrix: Tensor) -> Tensor:
    """Backward transfer says what learning the later tasks did to the earlier ones: how much better the model does on
    them at the end than when it had just learnt each, on average; below 0 it forgot.

    matrix: (..., T, T), see `average_accuracy`. Of a single task: 0.

    >>> backward_transfer(torch.tensor([[0.9, 0.1], [0.5, 0.8]]))  # 0.5 - 0.9
    tensor(-0.4000)

    Reference: D. Lopez-Paz, M. Ranzato, 2017, "Gradient episodic memory for continual learning", equation 3.
    """
    if matrix.shape[-1] < 2:
        return torch.zeros(matrix.shape[:-2], dtype=matrix.dtype)
    learnt = matrix.diagonal(dim1=-2, dim2=-1)[..., :-1]
    return (matrix[..., -1, :-1] - learnt).mean(-1)


def learning_accuracy(matrix: Tensor) -> Tensor:
    """Learning accuracy says how well a model does on each task when it has just learnt it: one that holds on to what
    it knows at any price learns nothing new.

    matrix: (..., T, T), see `average_accuracy`.

    >>> learning_accuracy(torch.tensor([[0.9, 0.1], [0.5, 0.8]]))  # (0.9 + 0.8) / 2
    tensor(0.8500)

    Reference: M. Riemer et al., 2019, "Learning to learn without forgetting by maximizing transfer and minimizing
    interference", section 5 (learning accuracy).
    """
    return matrix.diagonal(dim1=-2, dim2=-1).mean(-1)


def matrix_of(right: Sequence[Sequence[Tensor]]) -> Tensor:
    """Make the matrix (T, T) from who was right: right[i][j] is (N_j,), 1 where an example of task j was answered right
    once task i had been learnt.

    >>> one, none = torch.tensor([1, 0]), torch.tensor([0, 0])
    >>> matrix_of([[one, none], [none, one]]).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    tasks = len(right)
    if tasks == 0 or any(len(row) != tasks for row in right):
        raise UserError(f"{[len(row) for row in right]} tasks were judged after {tasks}; allowed: as many, from 1.")
    return torch.stack([torch.stack([column.double().mean() for column in row]) for row in right])


def over_examples(
    right: Sequence[Sequence[Tensor]],
    statistic: Callable[[Tensor], Tensor],
    *,
    paired: bool = False,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Figure:
    """Say how far a figure of tasks would move with other test examples: a percentile bootstrap over those of each.

    right: see `matrix_of`. statistic: one of the functions above. paired: the tasks are judged by the same examples,
    changed in another way in each, so that they are drawn together. Returns value, low and high.

    >>> over_examples([[torch.tensor([1.0] * 90 + [0.0] * 10)]], average_accuracy)
    {'value': 0.9, 'low': 0.84, 'high': 0.95}

    Reference: B. Efron, R. Tibshirani, 1993, "An introduction to the bootstrap", chapter 13.
    """
    value = float(statistic(matrix_of(right)))
    sizes = [len(column) for column in right[0]]
    require(min(sizes) >= 1, "right", sizes, "at least one example a task")
    columns = []
    for task, size in enumerate(sizes):
        stream = generator(seed, "bootstrap tasks", 0 if paired else task)
        drawn = torch.randint(size, (resamples, size), generator=stream)  # (R, N_j)
        table = torch.stack([row[task].float() for row in right])  # (T, N_j)
        columns.append(torch.stack([row[drawn].mean(1) for row in table], 1))  # (R, T)
    figures = statistic(torch.stack(columns, -1)).double()  # (R, T, T) -> (R,)
    tail = (1 - level) / 2
    low, high = torch.quantile(figures, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return {"value": value, "low": min(value, low), "high": max(value, high)}
