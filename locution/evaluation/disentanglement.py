"""Disentanglement: whether each number of a code follows one cause of the data, and no other."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import UserError, require

COLLAPSED = 0.05  # of the spread of the liveliest number: a number that moves less says nothing


def check_factors(codes: Tensor, factors: Tensor) -> None:
    """Refuse codes and causes that do not belong together."""
    if codes.dim() != 2 or factors.dim() != 2 or len(codes) != len(factors) or not len(codes):
        came = f"codes {tuple(codes.shape)} and factors {tuple(factors.shape)}"
        raise UserError(f"{came} do not belong together; allowed: (N, D) and (N, K).")


def votes(codes: Tensor, factors: Tensor, count: int, batch: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Find out which number of a code stays the same while one cause is held still: (count,) numbers, (count,) causes.

    For each vote a cause and one of its values are drawn, then `batch` examples that have this value; the vote goes to
    the number of their codes that varies least, against how much it varies over all.
    """
    spread = codes.std(0, correction=0)
    alive = spread > COLLAPSED * spread.max()
    scaled = codes / spread.clamp(min=1e-12)  # (N, D)
    causes = torch.randint(factors.shape[1], (count,), generator=draw)
    groups = [
        [(factors[:, k] == value).nonzero().flatten() for value in torch.unique(factors[:, k])]
        for k in range(factors.shape[1])
    ]
    found = []
    for cause in causes.tolist():
        group = groups[cause][int(torch.randint(len(groups[cause]), (), generator=draw))]
        rows = group[torch.randint(len(group), (batch,), generator=draw)]
        found.append(scaled[rows].var(0).masked_fill(~alive, torch.inf).argmin())
    return torch.stack(found), causes


def majority_vote(numbers: Tensor, causes: Tensor, latents: int, factors: int) -> Tensor:
    """Count how often each number was voted for while each cause was still: (D, K).

    >>> majority_vote(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), 2, 2)
    tensor([[0., 2.],
            [1., 0.]])
    """
    counts = torch.zeros(latents * factors).index_add_(0, numbers * factors + causes, torch.ones(len(numbers)))
    return counts.view(latents, factors)


def factor_vae_score(
    codes: Tensor, factors: Tensor, *, seed: int = 0, learnt: int = 800, judged: int = 800, batch: int = 64
) -> Tensor:
    """A disentangled representation names each cause of the data by a number of its own: one moves, the others rest.

    The FactorVAE score says how often the cause that was held still can be told from which number of the code then
    varies least.

    Parameters
    ----------
    codes: (N, D). factors: (N, K), the known causes of each example as whole numbers. learnt: votes from which each
    number of the code is given the cause that it most often stands for. judged: fresh votes, which fall on the right
    cause or do not. batch: examples a vote. seed: of all draws.

    Returns which of the judged votes were right (judged,), 1 or 0; the score is their mean: 1 where each cause moves a
    number of its own, 1 / K by chance.

    >>> factors = torch.tensor([[a, b] for a in range(4) for b in range(4)])
    >>> factor_vae_score(factors.float(), factors).mean().item()
    1.0

    Reference: H. Kim, A. Mnih, 2018, "Disentangling by factorising", section 4.
    """
    check_factors(codes, factors)
    require(min(learnt, judged) >= 1, "votes", min(learnt, judged), "a whole number from 1, usually 800")
    require(batch >= 2, "batch", batch, "a whole number from 2, usually 64")
    codes = codes.detach().double().cpu()
    seen = votes(codes, factors.cpu(), learnt, batch, generator(seed, "votes learnt"))
    table = majority_vote(*seen, codes.shape[1], factors.shape[1])
    numbers, causes = votes(codes, factors.cpu(), judged, batch, generator(seed, "votes judged"))
    return (table.argmax(1)[numbers] == causes).double()


def in_bins(values: Tensor, bins: int) -> Tensor:
    """Sort numbers into so many bins of equal width, from the smallest number to the largest: (N,) whole numbers.

    >>> in_bins(torch.tensor([0.0, 0.4, 0.6, 1.0]), 2)
    tensor([0, 0, 1, 1])
    """
    low, high = values.min(), values.max()
    return ((values - low) / (high - low).clamp(min=1e-12) * bins).long().clamp(0, bins - 1)


def mutual_information(first: Tensor, second: Tensor) -> float:
    """Mutual information says how many nats one of two things tells about the other.

    Shapes: (N,) each, whole numbers from 0 that were seen together.

    >>> round(mutual_information(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 0])), 4)  # all of it, ln 2
    0.6931

    Reference: C. Shannon, 1948, "A mathematical theory of communication", section 12.
    """
    table = majority_vote(first, second, int(first.max()) + 1, int(second.max()) + 1).double() / len(first)
    alone = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    return float((table * (table / alone).log()).nan_to_num().sum())


def mutual_information_gap(codes: Tensor, factors: Tensor, bins: int = 20) -> Tensor:
    """The mutual information gap (MIG) says of each cause how much more one number of the code tells of it than any
    other number does.

    Parameters
    ----------
    codes: (N, D), each number sorted into `bins` of equal width. factors: (N, K), whole numbers.

    Returns the gap of each cause (K,), as a share of what there is to tell; the score is their mean: 1 where each cause
    has a number of its own, 0 where two numbers tell the same.

    >>> factors = torch.tensor([[a, b] for a in range(4) for b in range(4)])
    >>> mutual_information_gap(factors.float(), factors).tolist()
    [1.0, 1.0]
    >>> both = torch.stack([factors[:, 0], factors[:, 0], factors[:, 1]], 1)  # of the first cause two tell the same
    >>> mutual_information_gap(both.float(), factors).tolist()
    [0.0, 1.0]

    Reference: R. Chen, X. Li, R. Grosse, D. Duvenaud, 2018, "Isolating sources of disentanglement in variational
    autoencoders", eq. 6.
    """
    check_factors(codes, factors)
    require(bins >= 2, "bins", bins, "a whole number from 2, usually 20")
    binned = [in_bins(column, bins) for column in codes.detach().double().cpu().unbind(1)]
    if len(binned) == 1:
        binned.append(torch.zeros_like(binned[0]))  # a second number that tells nothing
    gaps = []
    for cause in factors.cpu().long().unbind(1):
        cause = torch.unique(cause, return_inverse=True)[1]
        told = sorted((mutual_information(number, cause) for number in binned), reverse=True)
        whole = mutual_information(cause, cause)
        gaps.append((told[0] - told[1]) / whole if whole > 1e-9 else 0.0)  # of a cause that never moves nothing is told
    return torch.tensor(gaps, dtype=torch.float64)
