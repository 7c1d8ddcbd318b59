"""The autoencoder: an input squeezed into a few numbers, and made again from them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from locution.errors import UserError
from locution.models.coders import Network, channels_for, check_coders, decoder, encoder


class Autoencoder(nn.Module):
    """An autoencoder squeezes an input into a code of a few numbers, and learns to make the input again from the code.

    Parameters
    ----------
    encoder: (N, *shape) -> (N, D). decoder: (N, D) -> (N, *shape).

    Shapes: (N, *shape) in and out.

    >>> import torch
    >>> halves = nn.Linear(2, 1, bias=False), nn.Linear(1, 2, bias=False)
    >>> for half, weight in zip(halves, ([[1.0, 0.0]], [[1.0], [0.0]])):
    ...     _ = half.weight.data.copy_(torch.tensor(weight))
    >>> Autoencoder(*halves)(torch.tensor([[3.0, 4.0]])).tolist()  # the first number is the code, the second is lost
    [[3.0, 0.0]]

    Reference: G. Hinton, R. Salakhutdinov, 2006, "Reducing the dimensionality of data with neural networks".
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        """Make the input again from its code."""
        return self.decode(self.code(x))

    def code(self, x: Tensor) -> Tensor:
        """Squeeze: (N, *shape) -> (N, D)."""
        found: Tensor = self.encoder(x)
        return found

    def decode(self, code: Tensor) -> Tensor:
        """Make inputs from codes: (N, D) -> (N, *shape)."""
        made: Tensor = self.decoder(code)
        return made


@dataclass(frozen=True)
class AutoencoderModel:
    """An autoencoder squeezes an input into a code of a few numbers, and learns to make the input again from the code.

    `latents` is how many numbers the code has. `widths` are the hidden layers of the encoder, and of the decoder turned
    round; without any it is linear, and learns what principal component analysis finds. `network` is mlp,
    convolutional, or auto, which convolves pictures from 16 pixels on; `channels` are those of the convolutions.

    >>> import torch
    >>> model = AutoencoderModel(latents=2).build(inputs=(1, 8, 8), outputs=10)
    >>> model(torch.zeros(5, 1, 8, 8)).shape, model.code(torch.zeros(5, 1, 8, 8)).shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 2]))

    Reference: G. Hinton, R. Salakhutdinov, 2006, "Reducing the dimensionality of data with neural networks"; P. Baldi,
    K. Hornik, 1989, "Neural networks and principal component analysis" (the linear one).
    """

    latents: int = 8
    widths: tuple[int, ...] = (128,)
    network: Network = "auto"
    channels: tuple[int, ...] = ()
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_coders(self.latents, self.widths, self.network, self.channels, self.activation)

    def build(self, inputs: tuple[int, ...], outputs: int) -> Autoencoder:
        """Make the network; its outputs are of its inputs' shape, however many answers the data have."""
        if not inputs:
            raise UserError("model autoencoder came upon inputs (); allowed: one number or more, in any shape.")
        shape = tuple(inputs)
        channels = channels_for(shape, self.network, self.channels)
        return Autoencoder(
            encoder(shape, self.latents, self.widths, channels, self.activation),
            decoder(self.latents, shape, self.widths, channels, self.activation),
        )
