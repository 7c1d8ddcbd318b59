"""How well vectors retrieve: whether what lies nearest to an example is of its kind."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.errors import require


def relevance(vectors: Tensor, classes: Tensor) -> Tensor:
    """Rank for each example all others by their distance, and say which of them are of its kind.

    vectors (N, D), classes (N,); gives true and false (N, N - 1), the nearest first; of equally near ones the one that
    came first.

    >>> relevance(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 1, 0])).tolist()
    [[False, True], [False, False], [False, True]]
    """
    fits = vectors.dim() == 2 and classes.shape == vectors.shape[:1] and len(vectors) >= 2
    came = (tuple(vectors.shape), tuple(classes.shape))
    require(fits, "shapes of vectors and classes", came, "(N, D) and (N,), two rows or more")
    points = vectors.detach().cpu().double()
    away = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    order = away.argsort(stable=True, dim=1)[:, :-1]  # (N, N - 1)
    kinds = classes.cpu()
    return kinds[order] == kinds[:, None]


def recall_at(relevant: Tensor, count: int) -> Tensor:
    """Recall at k asks of each example whether at least one of the k that lie nearest to it is of its kind.

    relevant (N, M) from `relevance`; gives 1 or 0 (N,). Its mean is the figure that metric learning is compared by.

    >>> recall_at(torch.tensor([[False, True], [True, False]]), 1)
    tensor([0., 1.], dtype=torch.float64)

    Reference: H. Oh Song, Y. Xiang, S. Jegelka, S. Savarese, 2016, "Deep metric learning via lifted structured feature
    embedding", section 5.
    """
    require(1 <= count <= relevant.shape[1], "count", count, f"a whole number from 1 to {relevant.shape[1]}")
    return relevant[:, :count].any(1).double()


def average_precision(relevant: Tensor) -> Tensor:
    """The average precision of a ranking is the mean share of what was wanted, up to each place of what was wanted.

    relevant (N, M), the nearest first; gives (N,), 1 where all that is wanted comes first, 0 where nothing is wanted.
    The mean over queries is the mean average precision (mAP).

    >>> average_precision(torch.tensor([[True, False, True], [False, False, True]]))  # (1 + 2/3) / 2, 1/3
    tensor([0.8333, 0.3333], dtype=torch.float64)

    Reference: C. Manning, P. Raghavan, H. Schuetze, 2008, "Introduction to information retrieval", section 8.4.
    """
    wanted = relevant.double()
    places = torch.arange(1, relevant.shape[1] + 1, dtype=torch.float64, device=relevant.device)
    precision = wanted.cumsum(1) / places  # (N, M)
    return (precision * wanted).sum(1) / wanted.sum(1).clamp(min=1)
