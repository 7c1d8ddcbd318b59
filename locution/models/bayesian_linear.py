"""Bayesian linear regression: a line, or a polynomial, whose weights are known to a spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from locution.errors import UserError, require
from locution.models.gaussian_posterior import COVARIANCES, Covariance, GaussianPosterior

START = 0.1  # the spread of each weight at first: draws from a wide prior would drown what is to be learnt


def powers(x: Tensor, degree: int) -> Tensor:
    """Write numbers with their powers, a one before them: (N, F) -> (N, 1 + degree x F).

    >>> powers(torch.tensor([[3.0]]), 2).tolist()
    [[1.0, 3.0, 9.0]]
    """
    return torch.cat([torch.ones_like(x[:, :1]), *(x**power for power in range(1, degree + 1))], 1)


def exact_posterior(features: Tensor, targets: Tensor, noise: float, prior: float) -> tuple[Tensor, Tensor]:
    """The posterior of a linear model with Gaussian noise is Gaussian again, and known in closed form: the prior is
    conjugate. A prior says how likely weights are before one has looked at data, a posterior how likely afterwards.

    Parameters
    ----------
    features: (N, D). targets: (N,). noise: standard deviation of what the model does not explain. prior: that of each
    weight before one has looked, around 0.

    Returns the mean (D,) and the covariance (D, D) of the weights.

    >>> mean, covariance = exact_posterior(torch.ones(3, 1), torch.tensor([4.0, 5.0, 6.0]), noise=1.0, prior=1.0)
    >>> mean.tolist(), covariance.tolist()  # of three examples and a fourth that the prior is worth: 15 / 4
    ([3.75], [[0.25]])

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", eqs. 3.53 and 3.54.
    """
    precision = features.T @ features / noise**2 + torch.eye(features.shape[1]).to(features) / prior**2
    covariance = torch.linalg.inv(precision)
    return covariance @ features.T @ targets / noise**2, covariance


class BayesianLinear(nn.Module):
    """A Bayesian linear model knows each of its weights to a spread, and so says how sure it is of its answer.

    Parameters
    ----------
    inputs: numbers of an example. degree: the highest power of each that is used. covariance: "full", or "diagonal" for
    a mean field. prior: the spread of each weight before one has looked. examples: how many there are to learn from,
    among whom the divergence from the prior is shared out.

    Shapes: (N, ...) of `inputs` numbers in; a dict out of "outputs" (N, 1), "spread" (N, 1), the standard deviation of
    the answer, and "divergence" (N,), each example's share, in nats. In training each example is answered with weights
    drawn for it from torch's own generator; in evaluation with the mean of the weights.

    >>> model = BayesianLinear(1, prior=0.1).eval()
    >>> answer = model(torch.tensor([[0.0]]))  # nothing learnt yet: weights around 0, spread as this prior has it
    >>> round(answer["outputs"].item(), 4), round(answer["spread"].item(), 4), round(answer["divergence"].item(), 4)
    (0.0, 0.1, 0.0)

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 3.3; for the draws, C. Blundell,
    J. Cornebise, K. Kavukcuoglu, D. Wierstra, 2015, "Weight uncertainty in neural networks", section 3.
    """

    def __init__(
        self, inputs: int, degree: int = 1, covariance: Covariance = "full", prior: float = 1.0, examples: int = 1
    ) -> None:
        super().__init__()
        self.degree, self.prior, self.examples = degree, prior, examples
        self.posterior = GaussianPosterior(1 + degree * inputs, covariance, spread=START)

    def features(self, x: Tensor) -> Tensor:
        """Write examples as the model weighs them: (N, ...) -> (N, D)."""
        return powers(x.flatten(1), self.degree)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Answer, and say how sure the answer is."""
        features = self.features(x)  # (N, D)
        posterior = self.posterior
        if self.training:
            noise = torch.randn(len(features), posterior.size, dtype=features.dtype, device=features.device)
            outputs = (features * posterior.draw(noise)).sum(1, keepdim=True)
        else:
            outputs = (features * posterior.mean).sum(1, keepdim=True)
        spread = (features @ posterior.factor()).square().sum(1, keepdim=True).sqrt()
        share = posterior.divergence(self.prior) / self.examples
        return {"outputs": outputs, "spread": spread, "divergence": share.expand(len(features))}


@dataclass(frozen=True)
class BayesianLinearModel:
    """A Bayesian linear model knows each of its weights to a spread, and so says how sure it is of its answer.

    `degree`, `covariance` ("full", or "diagonal" for a mean field) and `prior` are those of `BayesianLinear`; how many
    `examples` there are the data say.

    >>> model = BayesianLinearModel(degree=2).build(inputs=(1,), outputs=1).eval()
    >>> model(torch.zeros(5, 1))["spread"].shape
    torch.Size([5, 1])

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 3.3.
    """

    degree: int = 1
    covariance: Covariance = "full"
    prior: float = 5.0
    examples: int = 1

    def __post_init__(self) -> None:
        require(1 <= self.degree <= 10, "model.degree", self.degree, "a whole number from 1 to 10")
        require(self.covariance in COVARIANCES, "model.covariance", self.covariance, " or ".join(COVARIANCES))
        require(self.prior > 0, "model.prior", self.prior, "a number above 0, the spread of each weight before looking")
        require(self.examples >= 1, "model.examples", self.examples, "a whole number from 1")

    def build(self, inputs: tuple[int, ...], outputs: int) -> BayesianLinear:
        """Make the model; nothing of it is random."""
        size = math.prod(inputs)
        if not inputs or not 1 <= size <= 200:
            raise UserError(
                f"model bayesian_linear came upon inputs {inputs}; allowed: 1 to 200 numbers, in any shape."
            )
        if outputs != 1:
            raise UserError(f"model bayesian_linear is to answer with {outputs} numbers; allowed: 1.")
        return BayesianLinear(size, self.degree, self.covariance, self.prior, self.examples)
