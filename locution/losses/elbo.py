"""The evidence lower bound: what a model that describes its inputs by hidden causes is trained by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean

LIKELIHOODS = ("bernoulli", "gaussian")
EXPLAINED = ("inputs", "targets")


def bernoulli_surprise(logits: Tensor, x: Tensor) -> Tensor:
    """Measure how surprising pixels of 0 or 1 are to a model that says how likely each is 1: (N, ...) -> (N,), in nats.

    >>> bernoulli_surprise(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 1.0]]))  # 3 ln 2
    tensor([2.0794])
    """
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gaussian_surprise(means: Tensor, x: Tensor, spread: float = 1.0) -> Tensor:
    """Measure how surprising numbers are to a model that says their mean, at one spread: (N, ...) -> (N,), in nats.

    >>> gaussian_surprise(torch.zeros(1, 1), torch.tensor([[2.0]]))  # 2^2 / 2 + ln(2 pi) / 2
    tensor([2.9189])
    """
    squares = 0.5 * ((x - means) / spread).square()
    return (squares + 0.5 * math.log(2 * math.pi) + math.log(spread)).flatten(1).sum(1)


def categorical_divergence(logits: Tensor) -> Tensor:
    """Measure how far choices among C classes are from even ones, added over K variables: (N, K, C) -> (N,), in nats.

    It is the Kullback-Leibler divergence from the uniform distribution: ln C less the entropy.

    >>> categorical_divergence(torch.tensor([[[0.0, 0.0]], [[50.0, 0.0]]]))  # nothing known; one of two, ln 2
    tensor([0.0000, 0.6931])
    """
    logs = functional.log_softmax(full(logits), -1)
    return ((logs.exp() * logs).sum(-1) + math.log(logits.shape[-1])).flatten(1).sum(1)


def gaussian_divergence(means: Tensor, log_variances: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of a Gaussian from the standard one says what it costs to name causes drawn from
    it to somebody who expects numbers around 0, of spread 1.

    Shapes: means and logarithms of variances (N, D), of D causes that do not depend on each other; returns (N,), in
    nats: half the sum of variance + mean^2 - 1 - ln variance.

    >>> gaussian_divergence(torch.tensor([[0.0, 3.0]]), torch.zeros(1, 2))  # 3^2 / 2
    tensor([4.5000])

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", appendix B.
    """
    means, logs = full(means), full(log_variances)
    return 0.5 * (logs.exp() + means.square() - 1 - logs).flatten(1).sum(1)


def reconstruction_surprise(outputs: Tensor, x: Tensor, likelihood: str = "bernoulli", spread: float = 1.0) -> Tensor:
    """Measure how surprising inputs are to what a model reconstructs of them: (N, ...), (N, ...) -> (N,), in nats."""
    if outputs.shape != x.shape:
        raise UserError(f"outputs have shape {tuple(outputs.shape)}; allowed: {tuple(x.shape)}, that of the inputs.")
    return bernoulli_surprise(outputs, x) if likelihood == "bernoulli" else gaussian_surprise(outputs, x, spread)


def beta_bound(surprise: Tensor, divergence: Tensor, beta: float) -> Tensor:
    """The beta-VAE counts the divergence of the hidden causes beta times: above 1 each cause must earn its place, and
    causes that change by themselves in the world tend to be named by themselves.

    Shapes: surprise and divergence (N,), in nats; returns (N,), what is minimised. At beta = 1 it is the negative ELBO.

    >>> beta_bound(torch.tensor([50.0]), torch.tensor([10.0]), beta=4.0)
    tensor([90.])

    Reference: I. Higgins et al., 2017, "beta-VAE: learning basic visual concepts with a constrained variational
    framework", eq. 4.
    """
    return surprise + beta * divergence


@dataclass
class ELBO:
    """The evidence lower bound (ELBO) says how well hidden causes explain an input, less what it costs to name them.

    The loss is its negative, a mean over `batch.weight()`: the surprise at the input, given what was reconstructed,
    plus the divergence of the causes from what is expected of them before one has looked. Both are in nats. No model
    needs more than this to describe its inputs, on average, so lower is better. The model answers a batch of inputs
    with "outputs" (N, ...), of their shape, and "divergence" (N,).

    Settings
    --------
    likelihood: bernoulli for inputs from 0 to 1, of which outputs are the logits; gaussian for others, of which outputs
    are the means, of one spread. beta: how much the divergence counts; 1 for the bound itself. explains: the inputs, or
    the targets of a model that answers, and has weights for its hidden causes.

    >>> class Guess(nn.Module):
    ...     def forward(self, x): return {"outputs": torch.zeros_like(x), "divergence": torch.ones(len(x))}
    >>> _, loss = ELBO()(Guess(), Batch(torch.tensor([[1.0, 0.0, 1.0]])))
    >>> round(loss.item(), 4)  # 3 ln 2 + 1
    3.0794

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", eq. 3; `beta` from I. Higgins et al.,
    2017, "beta-VAE", eq. 4.
    """

    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    beta: float = 1.0
    spread: float = 1.0
    explains: Literal["inputs", "targets"] = "inputs"

    def __post_init__(self) -> None:
        require(self.likelihood in LIKELIHOODS, "objective.likelihood", self.likelihood, "bernoulli or gaussian")
        require(self.beta >= 0, "objective.beta", self.beta, "a number from 0, usually 1")
        require(self.spread > 0, "objective.spread", self.spread, "a number above 0, the noise's standard deviation")
        require(self.explains in EXPLAINED, "objective.explains", self.explains, " or ".join(EXPLAINED))

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (output, loss)."""
        output = model(batch.inputs)
        surprise, divergence = self.parts(output, batch.inputs if self.explains == "inputs" else batch.targets)
        return output, weighted_mean(beta_bound(surprise, divergence, self.beta), batch)

    def parts(self, output: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Measure the two terms of each example: the surprise (N,), and the divergence (N,)."""
        if not isinstance(output, dict) or not {"outputs", "divergence"} <= set(output):
            kind = type(output).__name__
            raise UserError(f"the model answered with {kind}; allowed for elbo: a dict of outputs and divergence.")
        outputs, divergence = (full(output[name]) for name in ("outputs", "divergence"))
        return reconstruction_surprise(outputs, x, self.likelihood, self.spread), divergence


def full(values: Tensor) -> Tensor:
    """Go on in fp32 where the network computed in less: sums over all pixels want it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def bound(surprise: Tensor, divergence: Tensor) -> Tensor:
    """Add the two terms of each draw to the negative bound: (S, N), (N,) -> (N,), a mean over S draws of the causes.

    >>> bound(torch.tensor([[2.0], [4.0]]), torch.tensor([1.0]))
    tensor([4.])
    """
    return surprise.mean(0) + divergence
