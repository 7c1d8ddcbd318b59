"""What a generator and its critic minimise: the GAN's loss, Wasserstein's with a gradient penalty, and hinges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean
from locution.losses.elbo import full
from locution.models.gan import GAN

Turned = tuple[dict[str, Tensor], Tensor]  # what was made and what the critic said of it, and the loss
STEPS = "a whole number from 1, usually 1 to 5"


def gradient_penalty(score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, blend: Tensor) -> Tensor:
    """The gradient penalty measures how far a critic's slope is from 1, at points between real examples and made ones.

    A critic whose slope is 1 at most wherever it matters cannot exaggerate: its mean difference between the two is then
    no more than their Wasserstein distance.

    Parameters
    ----------
    score: the critic, (N, ...) -> (N,). real, fake: (N, ...). blend: (N,), the share of the real one in each point.
    Returns (N,), the squared distance of each slope from 1.

    >>> real, fake = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> gradient_penalty(lambda x: 3 * x[:, 0], real, fake, torch.tensor([0.5]))  # a slope of 3: (3 - 1)^2
    tensor([4.])

    Reference: I. Gulrajani et al., 2017, "Improved training of Wasserstein GANs", eq. 3 and algorithm 1.
    """
    if real.shape != fake.shape:
        raise UserError(
            f"made examples have shape {tuple(fake.shape)}; allowed: {tuple(real.shape)}, as the real ones."
        )
    share = blend.view(-1, *[1] * (real.dim() - 1)).to(real.dtype)
    with torch.enable_grad():
        between = (share * real.detach() + (1 - share) * fake.detach()).requires_grad_()
        (slope,) = torch.autograd.grad(full(score(between)).sum(), between, create_graph=True)
    steepness: Tensor = torch.linalg.vector_norm(full(slope).flatten(1), dim=1)
    return (steepness - 1).square()


@runtime_checkable
class Adversarial(Protocol):
    """An objective of two sides: what the critic minimises, what the generator minimises, and how often each acts."""

    critic_steps: int

    def critic(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the critic's turn."""
        ...

    def generator(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the generator's turn."""
        ...


def sides(model: nn.Module) -> GAN:
    """Refuse a model that has no two sides."""
    if not isinstance(model, GAN):
        raise UserError(f"the model is a {type(model).__name__}, without a generator and a critic; allowed: model gan.")
    return model


def noise_of(model: GAN, batch: Batch, name: str) -> Tensor:
    """Take the noise that comes beside a batch, or draw it from torch's own generator where none does."""
    noise: Tensor | None = batch.beside.get(name)
    return model.noise(len(batch)) if noise is None else noise


def told(model: GAN, batch: Batch) -> Tensor | None:
    """Take the classes of a batch, whose examples are judged as such; what is made is made of the same ones."""
    label: Tensor | None = batch.targets if model.classes else None
    return label


def twice(label: Tensor | None) -> Tensor | None:
    """Repeat classes for what is made of them: (N, ...) -> (2 N, ...)."""
    return None if label is None else torch.cat([label, label])


def judged(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Let the critic judge real examples and made ones; nothing of it teaches the generator."""
    gan, real = sides(model), batch.inputs
    with torch.no_grad():
        fake = gan.make(noise_of(gan, batch, "noise"), told(gan, batch))
    scores = full(gan.score(torch.cat([real, fake.to(real.dtype)]), twice(told(gan, batch))))  # (2 N,)
    return {"samples": fake, "real": scores[: len(real)], "fake": scores[len(real) :]}


def made(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Let the critic judge what the generator makes, so that the generator learns from it."""
    gan = sides(model)
    label = told(gan, batch)
    samples = gan.make(noise_of(gan, batch, "noise of the generator"), label)
    return {"samples": samples, "fake": full(gan.score(samples, label))}


@dataclass
class GANLoss:
    """The GAN's loss lets the critic learn how likely an example is real, and the generator make what looks real to it.

    The critic minimises the surprise at which examples are real and which were made; the generator the surprise that
    its own are real, which unlike the critic's loss turned round has a slope where the critic is sure (non-saturating).

    Settings
    --------
    critic_steps: how often the critic acts for each time that the generator does.

    A critic that says 0 of everything is right by half: 2 ln 2.

    >>> from locution.models.gan import GANModel
    >>> gan = GANModel().build((2,), 0)
    >>> for weight in gan.critic.parameters():
    ...     _ = nn.init.zeros_(weight)
    >>> [round(turn(gan, Batch(torch.zeros(4, 2)))[1].item(), 4) for turn in (GANLoss().critic, GANLoss().generator)]
    [1.3863, 0.6931]

    Reference: I. Goodfellow et al., 2014, "Generative adversarial nets", eq. 1, algorithm 1 and section 3 (log D).
    """

    critic_steps: int = 1

    def __post_init__(self) -> None:
        require(self.critic_steps >= 1, "objective.critic_steps", self.critic_steps, STEPS)

    def critic(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the critic's turn."""
        said = judged(model, batch)
        return said, weighted_mean(softplus(-said["real"]) + softplus(said["fake"]), batch)

    def generator(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the generator's turn."""
        said = made(model, batch)
        return said, weighted_mean(softplus(-said["fake"]), batch)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Measure the critic."""
        return self.critic(model, batch)


@dataclass
class WassersteinGAN:
    """A Wasserstein GAN lets its critic measure how far the made examples are from the real ones, as sand is carried,
    and the generator bring them nearer.

    The critic is a height whose slope a penalty keeps near 1; the difference of its means over real and made examples
    is then about their Wasserstein distance W (a perfect critic has slopes of 1 + W / (2 penalty)), which has a slope
    for the generator to follow also where the two do not touch.

    Settings
    --------
    penalty: how much a slope other than 1 costs. critic_steps: how often the critic acts for each time that the
    generator does.

    A critic that says 0 of everything sees no distance, and its slope is off by 1:

    >>> from locution.models.gan import GANModel
    >>> gan = GANModel().build((2,), 0)
    >>> for weight in gan.critic.parameters():
    ...     _ = nn.init.zeros_(weight)
    >>> WassersteinGAN(penalty=10.0).critic(gan, Batch(torch.zeros(4, 2)))[1].item()
    10.0

    Reference: M. Arjovsky, S. Chintala, L. Bottou, 2017, "Wasserstein generative adversarial networks", eqs. 2 and 3;
    I. Gulrajani et al., 2017, "Improved training of Wasserstein GANs", eq. 3.
    """

    penalty: float = 10.0
    critic_steps: int = 5

    def __post_init__(self) -> None:
        require(self.penalty >= 0, "objective.penalty", self.penalty, "a number from 0, usually 0.1 to 10")
        require(self.critic_steps >= 1, "objective.critic_steps", self.critic_steps, STEPS)

    def critic(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the critic's turn."""
        said, gan = judged(model, batch), sides(model)
        losses = said["fake"] - said["real"]
        if self.penalty:
            blend = batch.beside.get("blend")
            share = torch.rand(len(batch), device=losses.device) if blend is None else blend
            score = partial(gan.score, label=told(gan, batch))
            losses = losses + self.penalty * gradient_penalty(score, batch.inputs, said["samples"], share)
        return said, weighted_mean(losses, batch)

    def generator(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the generator's turn."""
        said = made(model, batch)
        return said, weighted_mean(-said["fake"], batch)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Measure the critic."""
        return self.critic(model, batch)


@dataclass
class HingeGAN:
    """The hinge loss of a GAN asks the critic for a margin, 1 for real examples and -1 for made ones, and for no more.

    It wants a critic whose slope is bounded, such as by +spectral_norm +spectral_norm.layers=critic.*.

    Settings
    --------
    critic_steps: how often the critic acts for each time that the generator does.

    A critic that says 0 of everything misses both margins by 1:

    >>> from locution.models.gan import GANModel
    >>> gan = GANModel().build((2,), 0)
    >>> for weight in gan.critic.parameters():
    ...     _ = nn.init.zeros_(weight)
    >>> HingeGAN().critic(gan, Batch(torch.zeros(4, 2)))[1].item()
    2.0

    Reference: J. H. Lim, J. C. Ye, 2017, "Geometric GAN", section 3; T. Miyato et al., 2018, "Spectral normalization
    for generative adversarial networks", eqs. 16 and 17.
    """

    critic_steps: int = 1

    def __post_init__(self) -> None:
        require(self.critic_steps >= 1, "objective.critic_steps", self.critic_steps, STEPS)

    def critic(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the critic's turn."""
        said = judged(model, batch)
        return said, weighted_mean(relu(1 - said["real"]) + relu(1 + said["fake"]), batch)

    def generator(self, model: nn.Module, batch: Batch) -> Turned:
        """Take the generator's turn."""
        said = made(model, batch)
        return said, weighted_mean(-said["fake"], batch)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Measure the critic."""
        return self.critic(model, batch)
