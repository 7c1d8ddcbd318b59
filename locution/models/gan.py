"""The generative adversarial network: one network makes examples from noise, another tells them from real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

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
    generator: (N, latents) in, (N, *shape) out. critic: (N, *shape) in, (N, 1) out. latents: numbers of noise.

    Shapes: (N, *shape) in; a dict out of "samples" (N, *shape), as many new examples, and what the critic says of both,
    "real" (N,) and "fake" (N,).

    >>> _ = torch.manual_seed(0)
    >>> gan = GAN(nn.Linear(3, 2), nn.Linear(2, 1), latents=3).eval()
    >>> {name: tuple(values.shape) for name, values in gan(torch.zeros(5, 2)).items()}
    {'samples': (5, 2), 'real': (5,), 'fake': (5,)}
    >>> gan.sample(4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 2])

    Reference: I. Goodfellow et al., 2014, "Generative adversarial nets", section 3.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module, latents: int) -> None:
        super().__init__()
        self.generator, self.critic, self.latents = generator, critic, latents

    def forward(self, x: Tensor, draw: torch.Generator | None = None) -> dict[str, Tensor]:
        """Make as many examples as came, and judge both; evaluation draws from `draw`, or always alike."""
        if draw is not None or self.training:
            noise = self.noise(len(x), draw)
        else:  # always as much: few numbers are drawn in another way than many
            noise = self.noise(max(len(x), ALIKE), generator(0, "noise"))[: len(x)]
        samples = self.generator(noise)
        return {"samples": samples, "real": self.score(x), "fake": self.score(samples)}

    def score(self, x: Tensor) -> Tensor:
        """Say how real examples look: (N, *shape) -> (N,)."""
        scores: Tensor = self.critic(x)
        return scores.squeeze(1)

    def noise(self, count: int, draw: torch.Generator | None = None) -> Tensor:
        """Draw what the generator starts from: (count, latents), from torch's own generator if none is handed in."""
        weight = next(self.parameters())
        return torch.randn(count, self.latents, generator=draw).to(weight)  # the same draws in any precision

    def sample(self, count: int, draw: torch.Generator, scale: float = 1.0) -> Tensor:
        """Make new examples (count, *shape); a scale below 1 stays nearer to the middle of the noise."""
        samples: Tensor = self.generator(scale * self.noise(count, draw))
        return samples


@dataclass(frozen=True)
class GANModel:
    """A generative adversarial network (GAN) is two networks that learn against each other: a generator makes examples
    from noise, and a critic (discriminator) learns to tell them from real ones.

    `latents` is how many numbers of noise an example is made from. `widths` are the critic's fully connected hidden
    layers, the generator's in reverse; `network` is mlp or convolutional, of so many `channels`, each of which halves
    the sides (none: chosen by the size of the pictures); auto convolves pictures of 16 pixels or more. `squash` brings
    what is made between 0 and 1: auto does so with pictures. The layers are named generator.* and critic.*.

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

    def __post_init__(self) -> None:
        require(self.latents >= 1, "model.latents", self.latents, "a whole number from 1, usually 2 to 128")
        require(min(self.widths, default=1) >= 1, "model.widths", list(self.widths), "whole numbers from 1")
        require(min(self.channels, default=1) >= 1, "model.channels", list(self.channels), "whole numbers from 1")
        require(self.network in NETWORKS, "model.network", self.network, ", ".join(NETWORKS))
        require(self.squash in SQUASHES, "model.squash", self.squash, ", ".join(SQUASHES))
        activation_named(self.activation)

    def build(self, inputs: tuple[int, ...], outputs: int) -> GAN:
        """Make both networks, their first weights drawn from torch's own generator."""
        if len(inputs) not in (1, 3):
            allowed = "vectors (features,) or pictures (channels, height, width)"
            raise UserError(f"model gan came upon inputs {inputs}; allowed: {allowed}.")
        channels = channels_for(inputs, self.network, self.channels)
        layers = [*decoder(self.latents, inputs, self.widths, channels, self.activation)]
        if self.squash == "sigmoid" or (self.squash == "auto" and len(inputs) == 3):
            layers.append(nn.Sigmoid())
        critic = encoder(inputs, 1, self.widths, channels, self.activation)
        return GAN(nn.Sequential(*layers), critic, self.latents)
