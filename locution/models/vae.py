"""The variational autoencoder: inputs described by hidden causes that are known to a spread, and made again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.elbo import full, gaussian_divergence
from locution.models.coders import Network, channels_for, check_coders, decoder, encoder

BLOCK = 16  # torch draws Gaussian numbers in blocks of this size, and otherwise if there are fewer


def reparameterise(means: Tensor, log_variances: Tensor, noise: Tensor) -> Tensor:
    """The reparameterisation trick draws from a Gaussian by moving and stretching noise, so that a draw has a gradient
    with respect to mean and spread.

    Shapes: all (N, D), and so is the draw: mean + spread x noise.

    >>> mean = torch.tensor([[3.0]], requires_grad=True)
    >>> draw = reparameterise(mean, torch.tensor([[4.0]]).log(), torch.tensor([[-1.0]]))  # 3 - 2
    >>> draw.item(), torch.autograd.grad(draw, mean)[0].item()
    (1.0, 1.0)

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", section 2.4.
    """
    return means + (0.5 * log_variances).exp() * noise


class VAE(nn.Module):
    """A variational autoencoder describes an input by hidden causes, each with a mean and a spread, and makes the input
    again from causes drawn so; new inputs come from causes drawn around 0.

    Parameters
    ----------
    encoder: (N, *shape) -> (N, 2 D): the means of D causes, then the logarithms of their variances. decoder: (N, D) ->
    (N, *shape), before the sigmoid where inputs are from 0 to 1. latents: D.

    Shapes: (N, *shape) in; a dict out of "outputs" (N, *shape), "divergence" (N,) from causes around 0 with spread 1,
    in nats, and "means", "log_variances" and "causes" (N, D). In training causes are drawn from torch's own generator,
    in evaluation from `draw`, or from a stream that is always alike.

    >>> _ = torch.manual_seed(0)
    >>> model = VAEModel(latents=2).build((1, 8, 8), 10).eval()
    >>> answer = model(torch.zeros(5, 1, 8, 8))
    >>> answer["outputs"].shape, answer["causes"].shape, model.sample(3, torch.Generator().manual_seed(0)).shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 2]), torch.Size([3, 1, 8, 8]))

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", section 3.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latents: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.latents = encoder, decoder, latents

    def forward(self, x: Tensor, draw: torch.Generator | None = None) -> dict[str, Tensor]:
        """Describe, draw and make again."""
        means, log_variances = self.posterior(x)
        causes = reparameterise(means, log_variances, self.noise(means, draw))
        divergence = gaussian_divergence(means, log_variances)
        said = {"outputs": self.decode(causes), "divergence": divergence}
        return {**said, "means": means, "log_variances": log_variances, "causes": causes}

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Say where the causes of an input lie, and how surely: means and log variances, both (N, D)."""
        means, log_variances = full(self.encoder(x)).chunk(2, 1)
        return means, log_variances

    def noise(self, like: Tensor, draw: torch.Generator | None) -> Tensor:
        """Draw standard Gaussian noise (N, D); asleep, a row is drawn the same however many follow."""
        if self.training and draw is None:
            return torch.randn_like(like)
        stream, count = draw or generator(0, "causes"), like.numel()
        blocks = -(-max(1, count) // BLOCK) * BLOCK
        flat = torch.randn(blocks, generator=stream, device=stream.device)  # the same draws in any precision
        return flat[:count].view(like.shape).to(like)

    def decode(self, causes: Tensor) -> Tensor:
        """Make inputs from causes: (N, D) -> (N, *shape), before the sigmoid."""
        made: Tensor = self.decoder(causes)
        return made

    def code(self, x: Tensor) -> Tensor:
        """Say where the causes of an input lie: (N, *shape) -> (N, D), the means."""
        return self.posterior(x)[0]

    def sample(self, count: int, draw: torch.Generator, spread: float = 1.0) -> Tensor:
        """Make inputs that nobody has seen, from causes drawn around 0: (count, *shape), before the sigmoid."""
        first = next(self.decoder.parameters())
        causes = spread * torch.randn(count, self.latents, generator=draw, device=draw.device)
        return self.decode(causes.to(first.device, first.dtype))


@dataclass(frozen=True)
class VAEModel:
    """A variational autoencoder describes an input by hidden causes, each with a mean and a spread, and makes the input
    again from causes drawn so; new inputs come from causes drawn around 0.

    `latents` is how many causes there are. `widths`, `network`, `channels` and `activation` are those of encoder and
    decoder, as in an autoencoder.

    >>> model = VAEModel(latents=4, widths=(16,)).build((1, 8, 8), 10)
    >>> model(torch.zeros(2, 1, 8, 8))["outputs"].shape
    torch.Size([2, 1, 8, 8])

    Reference: D. Kingma, M. Welling, 2014, "Auto-encoding variational Bayes", section 3.
    """

    latents: int = 8
    widths: tuple[int, ...] = (128,)
    network: Network = "auto"
    channels: tuple[int, ...] = ()
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_coders(self.latents, self.widths, self.network, self.channels, self.activation)

    def build(self, inputs: tuple[int, ...], outputs: int) -> VAE:
        """Make the network; its outputs are of its inputs' shape, however many answers the data have."""
        if not inputs:
            raise UserError("model vae came upon inputs (); allowed: one number or more, in any shape.")
        shape = tuple(inputs)
        channels = channels_for(shape, self.network, self.channels)
        return VAE(
            encoder(shape, 2 * self.latents, self.widths, channels, self.activation),
            decoder(self.latents, shape, self.widths, channels, self.activation),
            self.latents,
        )
