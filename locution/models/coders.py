"""Encoders and decoders: from an input to a few numbers, and from a few numbers to an input."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from torch import nn

from locution.errors import UserError, require
from locution.models.activations import activation as activation_named
from locution.models.mlp import MLP

Network = Literal["auto", "mlp", "convolutional"]
NETWORKS = ("auto", "mlp", "convolutional")
SMALLEST, CONVOLVED = 4, 16  # pixels: a side is halved down to the one, pictures are convolved from the other on


def channels_for(shape: tuple[int, ...], network: str, channels: tuple[int, ...]) -> tuple[int, ...]:
    """Choose the channels of a convolutional coder, or none for fully connected layers.

    By itself it convolves pictures of 16 pixels or more, and halves their sides as long as they are even, down to 4.

    >>> channels_for((1, 8, 8), "auto", ()), channels_for((1, 32, 32), "auto", ())
    ((), (32, 32, 32))
    """
    pictures = len(shape) == 3
    if network == "mlp" or (network == "auto" and not (pictures and min(shape[1:]) >= CONVOLVED)):
        return ()
    if not pictures:
        raise UserError(f"model.network is convolutional for inputs {shape}; allowed: pictures (channels, H, W).")
    if not channels:
        side, halvings = math.gcd(*shape[1:]), 0
        while side % 2 == 0 and min(shape[1:]) >> halvings > SMALLEST:
            side, halvings = side // 2, halvings + 1
        channels = (32,) * max(1, halvings)
    parts = 2 ** len(channels)
    if shape[1] % parts or shape[2] % parts:
        raise UserError(
            f"model.channels halves {len(channels)} times a picture of {shape[1]} x {shape[2]}; "
            f"allowed: sides that are multiples of {parts}, or model.network=mlp."
        )
    return channels


def encoder(
    shape: tuple[int, ...], outputs: int, widths: tuple[int, ...], channels: tuple[int, ...], activation: str
) -> nn.Sequential:
    """An encoder turns an input into the few numbers of its code.

    Parameters
    ----------
    shape: of one input. outputs: how many numbers come out. widths: of fully connected hidden layers. channels: of
    convolutions of 4 x 4 pixels before them, each of which halves the sides; none for inputs that are no pictures.

    Shapes: (N, *shape) in, (N, outputs) out.

    >>> import torch
    >>> encoder((1, 16, 16), 3, (8,), (4, 4), "relu")(torch.zeros(5, 1, 16, 16)).shape
    torch.Size([5, 3])

    Reference: G. Hinton, R. Salakhutdinov, 2006, "Reducing the dimensionality of data with neural networks", figure 1.
    """
    layers: list[nn.Module] = []
    size = math.prod(shape)
    if channels:
        for before, after in pairwise((shape[0], *channels)):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), activation_named(activation)]
        size = channels[-1] * (shape[1] >> len(channels)) * (shape[2] >> len(channels))
    return nn.Sequential(*layers, nn.Flatten(), MLP([size, *widths, outputs], activation))


def decoder(
    inputs: int, shape: tuple[int, ...], widths: tuple[int, ...], channels: tuple[int, ...], activation: str
) -> nn.Sequential:
    """A decoder makes an input again from the few numbers of its code.

    It is the encoder of these widths and channels, turned round.

    Shapes: (N, inputs) in, (N, *shape) out.

    >>> import torch
    >>> decoder(3, (1, 16, 16), (8,), (4, 4), "relu")(torch.zeros(5, 3)).shape
    torch.Size([5, 1, 16, 16])

    Reference: G. Hinton, R. Salakhutdinov, 2006, "Reducing the dimensionality of data with neural networks", figure 1.
    """
    if not channels:
        return nn.Sequential(MLP([inputs, *reversed(widths), math.prod(shape)], activation), nn.Unflatten(1, shape))
    start = (channels[-1], shape[1] >> len(channels), shape[2] >> len(channels))
    layers: list[nn.Module] = [MLP([inputs, *reversed(widths), math.prod(start)], activation), nn.Unflatten(1, start)]
    for before, after in pairwise((*reversed(channels), shape[0])):
        layers += [activation_named(activation), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


def check_coders(latents: int, widths: tuple[int, ...], network: str, channels: tuple[int, ...], act: str) -> None:
    """Refuse settings that no coder can have.

    >>> check_coders(0, (), "auto", (), "relu")
    Traceback (most recent call last):
    locution.errors.UserError: model.latents is 0; allowed: a whole number from 1, usually 2 to 32.
    """
    require(latents >= 1, "model.latents", latents, "a whole number from 1, usually 2 to 32")
    require(min(widths, default=1) >= 1, "model.widths", list(widths), "whole numbers from 1")
    require(min(channels, default=1) >= 1, "model.channels", list(channels), "whole numbers from 1")
    require(network in NETWORKS, "model.network", network, ", ".join(NETWORKS))
    require(not (channels and network == "mlp"), "model.channels", list(channels), "none, where model.network is mlp")
    activation_named(act)
