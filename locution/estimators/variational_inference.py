"""Variational inference: a posterior that cannot be written down, approached by the nearest Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Turn
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.models.gaussian_posterior import Covariance, GaussianPosterior
from locution.optimizers.one_cycle import OneCycleMethod

Gradient = Literal["path", "score"]
GRADIENTS = ("path", "score")
LogJoint = Callable[[Tensor], Tensor]
JUDGED = 4096  # draws from which the bound is estimated at the end


def path_loss(posterior: GaussianPosterior, log_joint: LogJoint, noise: Tensor) -> Tensor:
    """The path derivative follows draws through the model: the negative ELBO, whose gradient comes by the draws alone.

    How likely the draws were is counted, but not followed, so that nothing is left to chance where the Gaussian is the
    posterior itself. noise: (S, D).

    >>> posterior = GaussianPosterior(1)
    >>> loss = path_loss(posterior, lambda z: -0.5 * z.square().sum(1), torch.tensor([[0.3], [2.0]]))
    >>> loss.item(), torch.autograd.grad(loss, posterior.mean)[0].item()  # -ln(2 pi) / 2, and nowhere to go
    (-0.9189, 0.0)

    Reference: G. Roeder, Y. Wu, D. Duvenaud, 2017, "Sticking the landing", section 3.
    """
    draws = posterior.draw(noise)
    return (posterior.log_density(draws, still=True) - log_joint(draws)).mean()


def score_loss(posterior: GaussianPosterior, log_joint: LogJoint, noise: Tensor) -> Tensor:
    """The score-function gradient (REINFORCE) needs no gradient of the model: draws that turned out better than the
    others are made more likely.

    Each draw is compared with the mean of the others. noise: (S, D), S from 2.

    Of draws at 0 and 1 the second is twice as likely, and both had chances of their own, e^(-0 / 2) and e^(-1 / 2):

    >>> posterior = GaussianPosterior(1)
    >>> loss = score_loss(posterior, lambda z: 0.6931 * z.sum(1), torch.tensor([[0.0], [1.0]]))
    >>> round(torch.autograd.grad(loss, posterior.mean)[0].item(), 3)  # -(ln 2 + 1 / 2) x 1 / 2: the mean moves up
    -0.597

    Reference: R. Ranganath, S. Gerrish, D. Blei, 2014, "Black box variational inference", sections 2 and 3.
    """
    with torch.no_grad():
        draws = posterior.draw(noise)
        worth = log_joint(draws) - posterior.log_density(draws)  # (S,)
        better = worth - (worth.sum() - worth) / (len(worth) - 1)
    surrogate = -(better * posterior.log_density(draws)).mean()
    return surrogate - surrogate.detach() - worth.mean()  # its value is the negative ELBO


@dataclass(frozen=True)
class Approximation:
    """What variational inference found: a Gaussian's mean (D,) and covariance (D, D), and the ELBO there, in nats."""

    mean: Tensor
    covariance: Tensor
    elbo: float


def variational_inference(
    log_joint: LogJoint,
    size: int,
    *,
    covariance: Covariance = "full",
    gradient: Gradient = "path",
    draws: int = 16,
    steps: int = 1000,
    lr: float = 0.1,
    seed: int = 0,
) -> Approximation:
    """Variational inference finds the Gaussian that is nearest to the posterior of a model's unknown numbers, by making
    the evidence lower bound as large as it can be.

    It is a black box: all that it asks is how likely unknown numbers and data are together.

    Parameters
    ----------
    log_joint: (S, D) -> (S,), the logarithm of prior times likelihood for each of S draws. size: D. covariance: "full",
    or "diagonal" for a mean field, which takes the unknown numbers not to depend on each other and is too sure of each
    where they do. gradient: "path" follows draws through log_joint; "score" does without its gradient and needs more
    steps. draws: of each step. lr: the highest learning rate of Adam, which rises and falls in one cycle.

    One number with a standard Gaussian prior, seen three times with noise of 1, has the posterior N(15 / 4, 1 / 4):

    >>> def log_joint(z):
    ...     return -0.5 * z.square().sum(1) - 0.5 * (torch.tensor([4.0, 5.0, 6.0]) - z).square().sum(1)
    >>> found = variational_inference(log_joint, 1, steps=400)
    >>> round(found.mean.item(), 2), round(found.covariance.item(), 2)
    (3.75, 0.25)

    Reference: R. Ranganath, S. Gerrish, D. Blei, 2014, "Black box variational inference", algorithm 1; M. Jordan,
    Z. Ghahramani, T. Jaakkola, L. Saul, 1999, "An introduction to variational methods for graphical models".
    """
    require(gradient in GRADIENTS, "gradient", gradient, " or ".join(GRADIENTS))
    require(draws >= (2 if gradient == "score" else 1), "draws", draws, "a whole number from 1, or 2 where it is score")
    require(steps >= 2, "steps", steps, "a whole number from 2, usually 1000")
    require(lr > 0, "lr", lr, "a number above 0, usually 0.1")
    posterior = GaussianPosterior(size, covariance)
    check_joint(log_joint(torch.zeros(draws, size)), draws)
    loss = path_loss if gradient == "path" else score_loss

    def objective(model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        assert isinstance(model, GaussianPosterior)
        return None, loss(model, log_joint, torch.randn(draws, size))

    turn = Turn(objective, partial(torch.optim.Adam, lr=lr))
    engine = Engine(posterior, turn, [OneCycleMethod()], seed=seed, device="cpu", log_every=steps)
    engine.fit([Batch(torch.zeros(1))], steps=steps)
    with torch.no_grad():
        noise = torch.randn(JUDGED, size, generator=generator(seed, "judged"))
        elbo = -float(path_loss(posterior, log_joint, noise))
    return Approximation(posterior.mean.detach(), posterior.covariance().detach(), elbo)


def check_joint(values: Any, draws: int) -> None:
    """Refuse a log joint that does not answer with one number a draw, or with what is no number."""
    shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    if shape != (draws,):
        raise UserError(f"log_joint answered with {shape} for {draws} draws; allowed: ({draws},), one number a draw.")
    if not bool(torch.isfinite(values).all()):
        raise UserError("log_joint is not finite where all unknown numbers are 0; allowed: a finite number there.")
