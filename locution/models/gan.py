"""The generative adversarial network: one network makes examples from noise, another tells them from real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from locution.engine.random import generator
from locution.errors import UserError, require
from locution.models.activations import activation as activation_named
from locution.models.coders import NETWORKS, Network, channels_for, decoder, encoder

Squash = Literal["auto", "sigmoid", "none"]
ALIKE = 64  # examples that begin alike in evaluation, however many are made
SQUASHES = ("auto", "sigmoid", "none")


class GAN(nn.Module):
    """A generative adversarial network (GAN) is two networks that learn against each other: a generator makes examples
    from noise, and a critic (discriminator) learns to tell them from real ones.

    The critic's score is high for what it takes to be real; whether it is read as a probability, before the sigmoid, or
    as a height is the objective's affair. There is no batch normalisation: it would mix the scores of a batch, which a
    gradient penalty must not.

    Parameters
    ----------
    generator: (N, latents + classes) in, (N, *shape) out. critic: (N, *shape) in, (N, 1) out; with classes also told
    (N, classes). latents: numbers of noise. classes: of which both networks are told one; 0 where they are told none.

    Shapes: (N, *shape) in; a dict out of "samples" (N, *shape), as many new examples, and what the critic says of both,
    "real" (N,) and "fake" (N,). A label is None, (N,) whole numbers, or shares (N, classes); None tells of each class
    as little as of any other.

    >>> _ = torch.manual_seed(0)
    >>> gan = GAN(nn.Linear(3, 2), nn.Linear(2, 1), latents=3).eval()
    >>> {name: tuple(values.shape) for name, values in gan(torch.zeros(5, 2)).items()}
    {'samples': (5, 2), 'real': (5,), 'fake': (5,)}
    >>> gan.sample(4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 2])

    Reference: I. Goodfellow et al., 2014, "Generative adversarial nets", section 3; told classes as in
    M. Mirza, S. Osindero, 2014, "Conditional generative adversarial nets", section 3.2.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module, latents: int, classes: int = 0) -> None:
        super().__init__()
        self.generator, self.critic, self.latents, self.classes = generator, critic, latents, classes

    def forward(self, x: Tensor, draw: torch.Generator | None = None, label: Tensor | None = None) -> dict[str, Tensor]:
        """Make as many examples as came, and judge both; evaluation draws from `draw`, or always alike."""
        if draw is not None or self.training:
            noise = self.noise(len(x), draw)
        else:  # always as much: few numbers are drawn in another way than many
            noise = self.noise(max(len(x), ALIKE), generator(0, "noise"))[: len(x)]
        samples = self.make(noise, label)
        return {"samples": samples, "real": self.score(x, label), "fake": self.score(samples, label)}

    def make(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Make examples from noise, and of classes where the networks are told them: (N, latents) -> (N, *shape)."""
        shares = self.told(noise, label)
        samples: Tensor = self.generator(noise if shares is None else torch.cat([noise, shares], 1))
        return samples

    def score(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Say how real examples look, as examples of their class where that is told: (N, *shape) -> (N,)."""
        shares = self.told(x, label)
        scores: Tensor = self.critic(x) if shares is None else self.critic(x, shares)
        return scores.squeeze(1)

    def told(self, like: Tensor, label: Tensor | None) -> Tensor | None:
        """Write classes as shares (N, classes), even ones where nothing is told; None for networks without classes."""
        if not self.classes:
            if label is not None:
                raise UserError("a class is told to a GAN without classes; allowed: none, or model.conditional=true.")
            return None
        if label is None:
            return like.new_full((len(like), self.classes), 1 / self.classes)
        return label.to(like) if label.is_floating_point() else one_hot(label, self.classes).to(like)

    def noise(self, count: int, draw: torch.Generator | None = None) -> Tensor:
        """Draw what the generator starts from: (count, latents), from torch's own generator if none is handed in."""
        weight = next(self.parameters())
        return torch.randn(count, self.latents, generator=draw).to(weight)  # the same draws in any precision

    def sample(self, count: int, draw: torch.Generator, scale: float = 1.0, label: Tensor | None = None) -> Tensor:
        """Make new examples (count, *shape); a scale below 1 stays nearer to the middle of the noise."""
        return self.make(scale * self.noise(count, draw), label)


class ProjectionCritic(nn.Module):
    """A projection critic scores an example as one of its class: by what it is like, and by how well what it is like
    goes with the class, the inner product of both.

    Parameters
    ----------
    body: (N, *shape) -> (N, width), what an example is like. width: as said. classes: how many there are.

    Shapes: (N, *shape) and shares of classes (N, classes) in, (N, 1) out.

    >>> critic = ProjectionCritic(nn.Identity(), 2, 3)
    >>> for layer, rows in ((critic.head, [[1.0, 0.0]]), (critic.classes, [[0.0, 0.0, 0.0], [5.0, 6.0, 7.0]])):
    ...     layer.weight = nn.Parameter(torch.tensor(rows))
    >>> _ = nn.init.zeros_(critic.head.bias)
    >>> critic(torch.tensor([[10.0, 2.0]]), torch.tensor([[0.0, 1.0, 0.0]])).item()  # 10 + 2 x 6
    22.0

    Reference: T. Miyato, M. Koyama, 2018, "cGANs with projection discriminator", eq. 6.
    """

    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, 1)
        self.classes = nn.Linear(classes, width, bias=False)  # a column each

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """Score examples."""
        like = self.body(x)
        score: Tensor = self.head(like) + (like * self.classes(shares)).sum(1, keepdim=True)
        return score


@dataclass(frozen=True)
class GANModel:
    """A generative adversarial network (GAN) is two networks that learn against each other: a generator makes examples
    from noise, and a critic (discriminator) learns to tell them from real ones.

    `latents` is how many numbers of noise an example is made from. `widths` are the critic's fully connected hidden
    layers, the generator's in reverse; `network` is mlp or convolutional, of so many `channels`, each of which halves
    the sides (none: chosen by the size of the pictures); auto convolves pictures of 16 pixels or more. `squash` brings
    what is made between 0 and 1: auto does so with pictures. `conditional`: both networks are told the class, the
    generator beside the noise, the critic by a projection. The layers are named generator.* and critic.*.

    >>> gan = GANModel().build((2,), 0)
    >>> gan.sample(3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])

    Reference: I. Goodfellow et al., 2014, "Generative adversarial nets", section 3.
    """

    latents: int = 2
    widths: tuple[int, ...] = (64, 64, 64)
    network: Network = "auto"
    channels: tuple[int, ...] = ()
    activation: str = "relu"
    squash: Squash = "auto"
    conditional: bool = False

    def __post_init__(self) -> None:
        require(self.latents >= 1, "model.latents", self.latents, "a whole number from 1, usually 2 to 128")
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        require(min(self.channels, default=1) >= 1, "model.channels", list(self.channels), "whole numbers from 1")
        require(self.network in NETWORKS, "model.network", self.network, ", ".join(NETWORKS))
        require(self.squash in SQUASHES, "model.squash", self.squash, ", ".join(SQUASHES))
        activation_named(self.activation)

    def build(self, inputs: tuple[int, ...], outputs: int) -> GAN:
        """Make both networks, their first weights drawn from torch's own generator; `outputs` counts the classes."""
        if len(inputs) not in (1, 3):
            allowed = "vectors (features,) or pictures (channels, height, width)"
            raise UserError(f"model gan came upon inputs {inputs}; allowed: {allowed}.")
        classes = outputs if self.conditional else 0
        if self.conditional and not (classes > 1 and self.widths):
            allowed = "two classes or more, and a hidden layer in model.widths"
            raise UserError(
                f"model.conditional is true with {classes} classes, widths {self.widths}; allowed: {allowed}."
            )
        channels = channels_for(inputs, self.network, self.channels)
        layers = [*decoder(self.latents + classes, inputs, self.widths, channels, self.activation)]
        if self.squash == "sigmoid" or (self.squash == "auto" and len(inputs) == 3):
            layers.append(nn.Sigmoid())
        return GAN(nn.Sequential(*layers), self.critic(inputs, channels, classes), self.latents, classes)

    def critic(self, inputs: tuple[int, ...], channels: tuple[int, ...], classes: int) -> nn.Module:
        """Make the critic."""
        if not classes:
            return encoder(inputs, 1, self.widths, channels, self.activation)
        *before, width = self.widths
        body = encoder(inputs, width, tuple(before), channels, self.activation)
        return ProjectionCritic(nn.Sequential(*body, activation_named(self.activation)), width, classes)
