"""A Gaussian over a few unknown numbers whose mean and spread are learnt: what stands in for a posterior."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from locution.errors import require

Covariance = Literal["full", "diagonal"]
COVARIANCES = ("full", "diagonal")


def divergence_between(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence between two Gaussians says how many nats are lost when numbers that come from the
    first are taken to come from the second.

    Shapes: means (D,), covariances (D, D); returns one number, 0 where they are the same.

    >>> one = torch.eye(1)
    >>> divergence_between(torch.tensor([3.0]), one, torch.tensor([0.0]), one)  # 3^2 / 2
    tensor(4.5000)

    Reference: S. Kullback, 1959, "Information theory and statistics", chapter 9.
    """
    root, other = torch.linalg.cholesky(covariance), torch.linalg.cholesky(other_covariance)
    ratio = torch.linalg.solve_triangular(other, root, upper=False)
    away = torch.linalg.solve_triangular(other, (mean - other_mean)[:, None], upper=False)
    volume = root.diagonal().log().sum() - other.diagonal().log().sum()
    divergence: Tensor = 0.5 * (ratio.square().sum() + away.square().sum() - len(mean)) - volume
    return divergence


class GaussianPosterior(nn.Module):
    """A Gaussian posterior says of each unknown number where it probably lies and how sure that is, and of each two,
    unless it is a mean field, whether they would be wrong together.

    Parameters
    ----------
    size: D, how many unknown numbers. covariance: "full", or "diagonal" for a mean field, in which they do not depend
    on each other. spread: of each at first, around 0.

    >>> posterior = GaussianPosterior(2, spread=0.5)
    >>> posterior.covariance().tolist(), posterior.draw(torch.tensor([[2.0, 0.0]])).tolist()
    ([[0.25, 0.0], [0.0, 0.25]], [[1.0, 0.0]])

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 10.1; for the factor, A. Kucukelbir
    et al., 2017, "Automatic differentiation variational inference", section 2.4.
    """

    def __init__(self, size: int, covariance: Covariance = "full", spread: float = 1.0) -> None:
        super().__init__()
        require(size >= 1, "size", size, "a whole number from 1")
        require(covariance in COVARIANCES, "covariance", covariance, " or ".join(COVARIANCES))
        require(spread > 0, "spread", spread, "a number above 0, usually 1")
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_spread = nn.Parameter(torch.full((size,), math.log(spread)))
        below = size * (size - 1) // 2 if covariance == "full" else 0
        self.below = nn.Parameter(torch.zeros(below)) if below else None
        self.size = size

    def factor(self) -> Tensor:
        """Lower triangle L (D, D) of which the covariance is the square, L L^T."""
        root = torch.diag(self.log_spread.exp())
        if self.below is None:
            return root
        rows, columns = torch.tril_indices(self.size, self.size, -1, device=root.device)
        return root.index_put((rows, columns), self.below)

    def covariance(self) -> Tensor:
        """How the unknown numbers vary together: (D, D)."""
        root = self.factor()
        return root @ root.T

    def draw(self, noise: Tensor) -> Tensor:
        """Move and stretch standard noise into draws: (S, D) -> (S, D)."""
        return self.mean + noise @ self.factor().T

    def log_density(self, values: Tensor, *, still: bool = False) -> Tensor:
        """Say how likely values are, (S, D) -> (S,), in nats; still: no gradient reaches mean and spread this way."""
        factor = self.factor().detach() if still else self.factor()
        mean = self.mean.detach() if still else self.mean
        away = torch.linalg.solve_triangular(factor, (values - mean).T, upper=False)  # (D, S)
        constant = factor.diagonal().log().sum() + 0.5 * self.size * math.log(2 * math.pi)
        likely: Tensor = -0.5 * away.square().sum(0) - constant
        return likely

    def divergence(self, prior: float = 1.0) -> Tensor:
        """Measure how far it is from a Gaussian around 0 with one spread, in nats."""
        squares: Tensor = (self.factor().square().sum() + self.mean.square().sum()) / prior**2
        return 0.5 * (squares - self.size) - self.log_spread.sum() + self.size * math.log(prior)

    def forward(self, noise: Tensor) -> Tensor:
        """Draw, as `draw` does."""
        return self.draw(noise)
