"""FactorVAE: hidden causes that do not depend on each other, kept so by a critic that looks for dependence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from locution.engine.batch import Batch
from locution.engine.turn import Turn
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean
from locution.losses.elbo import ELBO, full


def permuted(causes: Tensor) -> Tensor:
    """Permuting each column of a table by itself keeps what every number is like alone, and cuts what ties them.

    Shapes: (N, D) in and out; the orders are drawn from torch's own generator.

    >>> _ = torch.manual_seed(0)
    >>> permuted(torch.tensor([[1, 10], [2, 20], [3, 30]])).sort(0).values.tolist()
    [[1, 10], [2, 20], [3, 30]]

    Reference: H. Kim, A. Mnih, 2018, "Disentangling by factorising", algorithm 1.
    """
    orders = torch.rand(causes.shape, device=causes.device).argsort(0)  # (N, D): an order for each column
    return causes.gather(0, orders)


def total_correlation(scores: Tensor) -> Tensor:
    """Total correlation says how much numbers depend on each other: what they would need, in nats, to be named one by
    one beyond what they need together.

    scores: (N, 2), a critic's for causes as they come and for permuted ones, before softmax; a critic that knows the
    truth scores them by the ratio of their probabilities. Returns (N,), one an example; the estimate is the mean.

    >>> total_correlation(torch.tensor([[0.75, 0.25]]).log())  # 3 times as likely as if they did not depend: ln 3
    tensor([1.0986])

    Reference: H. Kim, A. Mnih, 2018, "Disentangling by factorising", eq. 3; S. Watanabe, 1960, "Information
    theoretical analysis of multivariate correlation".
    """
    return scores[:, 0] - scores[:, 1]


class Criticised(nn.Module):
    """A variational autoencoder beside the critic that judges whether its causes depend on each other.

    Parameters
    ----------
    vae: answers with a dict that holds "causes" (N, D). latents: D. layers, width: of the critic.

    Shapes: those of the VAE; the critic takes causes (N, D) and gives scores (N, 2).

    >>> from locution.models.vae import VAEModel
    >>> both = Criticised(VAEModel(latents=3).build((1, 8, 8), 10), 3)
    >>> both(torch.zeros(5, 1, 8, 8))["outputs"].shape, both.critic(torch.zeros(5, 3)).shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 2]))
    """

    def __init__(self, vae: nn.Module, latents: int, layers: int = 4, width: int = 128) -> None:
        super().__init__()
        self.vae = vae
        parts: list[nn.Module] = []
        for before in (latents, *[width] * (layers - 1)):
            parts += [nn.Linear(before, width), nn.LeakyReLU(0.2)]
        self.critic = nn.Sequential(*parts, nn.Linear(width, 2))

    def forward(self, x: Tensor, draw: torch.Generator | None = None) -> Any:
        """Describe and make again, as the VAE does."""
        return self.vae(x) if draw is None else self.vae(x, draw)


@dataclass
class FactorVAE:
    """FactorVAE adds to a variational autoencoder's loss how much its hidden causes depend on each other, as a critic
    estimates it, and leaves the divergence as cheap as it was.

    Two turns share each batch. The critic learns to tell causes as they come from causes of which each number was taken
    from another example; the autoencoder minimises the negative ELBO plus `gamma` times the total correlation that the
    critic sees.

    Settings
    --------
    gamma: how much the total correlation counts. critic_lr: learning rate of the critic, which has Adam with betas 0.5
    and 0.9. layers, width: of the critic. likelihood, spread: those of `ELBO`.

    >>> _ = torch.manual_seed(0)
    >>> from locution.models.vae import VAEModel
    >>> both = FactorVAE(gamma=10.0).beside(VAEModel(latents=3).build((1, 8, 8), 10))
    >>> _, loss = FactorVAE(gamma=10.0)(both, Batch(torch.zeros(4, 1, 8, 8)))
    >>> loss.shape
    torch.Size([])

    Reference: H. Kim, A. Mnih, 2018, "Disentangling by factorising", eq. 2 and algorithm 2 (there the critic has a
    second batch; here both turns learn from the same one).
    """

    gamma: float = 10.0
    critic_lr: float = 0.0001
    layers: int = 4
    width: int = 128
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    spread: float = 1.0

    def __post_init__(self) -> None:
        self.elbo = ELBO(self.likelihood, spread=self.spread)
        require(self.gamma >= 0, "objective.gamma", self.gamma, "a number from 0, usually 5 to 40")
        require(self.critic_lr > 0, "objective.critic_lr", self.critic_lr, "a number above 0, usually 0.0001")
        require(self.layers >= 1, "objective.layers", self.layers, "a whole number from 1, usually 4 to 6")
        require(self.width >= 1, "objective.width", self.width, "a whole number from 1, usually 100 to 1000")

    def beside(self, vae: nn.Module) -> Criticised:
        """Set a critic beside a VAE, its first weights drawn from torch's own generator."""
        latents = getattr(vae, "latents", None)
        if not isinstance(latents, int):
            raise UserError("objective factor_vae came upon a model without Gaussian causes; allowed: model.name=vae.")
        return Criticised(vae, latents, self.layers, self.width)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Take the autoencoder's turn: (output, negative ELBO + gamma x total correlation)."""
        assert isinstance(model, Criticised)
        output = model(batch.inputs)
        surprise, divergence = self.elbo.parts(output, batch.inputs)
        dependence = total_correlation(full(model.critic(output["causes"])))
        return output, weighted_mean(surprise + divergence + self.gamma * dependence, batch)

    def criticise(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Take the critic's turn: (scores, surprise at which causes come as they are and which are permuted)."""
        assert isinstance(model, Criticised)
        with torch.no_grad():
            causes = model(batch.inputs)["causes"]
        mixed = permuted(causes)
        scores = full(model.critic(torch.cat([causes, mixed])))  # (2 N, 2)
        right, wrong = torch.split(total_correlation(scores), len(causes))
        return scores, weighted_mean(0.5 * (softplus(-right) + softplus(wrong)), batch)

    def turns(self, optimizer: Any) -> list[Turn]:
        """Name the two turns: the critic's, then the autoencoder's with the optimizer of the recipe."""
        critic = partial(torch.optim.Adam, lr=self.critic_lr, betas=(0.5, 0.9))
        first = Turn(self.criticise, critic, of_critic, name="critic")
        return [first, Turn(self, optimizer, of_vae, name="autoencoder")]  # the loss of a record is the last one's


def of_critic(model: nn.Module) -> Iterable[nn.Parameter]:
    """Pick what the critic's turn trains."""
    assert isinstance(model, Criticised)
    return model.critic.parameters()


def of_vae(model: nn.Module) -> Iterable[nn.Parameter]:
    """Pick what the autoencoder's turn trains."""
    assert isinstance(model, Criticised)
    return model.vae.parameters()
