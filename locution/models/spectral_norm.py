"""Spectral normalisation: divide a layer's weight by its largest singular value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from locution.engine.method import Method, Plan, Step
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.models.surgery import lean_copy, match_layers

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
START = 50  # iterations when a layer is first measured; then one each step keeps up
WIDTH = 8  # vectors that are followed
TINY = 1e-12  # a weight of zeros stays one


def stretch(weight: Tensor, lead: Tensor) -> tuple[Tensor, Tensor]:
    """Say where a weight takes a direction, and by how much it stretches it on the way.

    >>> stretch(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([1.0, 0.0]))
    (tensor([3., 0.]), tensor(3.))
    """
    image = weight.flatten(1).float() @ lead  # (rows,)
    return image, torch.linalg.vector_norm(image).clamp(min=TINY)


class Divided(torch.autograd.Function):
    """A weight divided by how much it stretches a direction; its gradient in two passes over the weight, not eight."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, lead: Tensor) -> Tensor:
        image, value = stretch(weight, lead)
        ctx.save_for_backward(weight, lead, image, value)
        return weight / value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        weight, lead, image, value = ctx.saved_tensors
        again = torch.is_grad_enabled()  # a gradient of this gradient is wanted
        if again:
            image, value = stretch(weight, lead)
        along = torch.dot(gradient.flatten(), weight.flatten()) / value.square()
        # the value's own gradient is the outer product of where the direction goes, made a unit, and the direction
        rows = gradient.flatten(1)
        if again or gradient.device.type != "cpu":  # where a number that is read makes the device wait
            found = torch.addr(rows / value, -along / value * image, lead)
        else:
            found = torch.addr(rows, image, lead, beta=1 / value.item(), alpha=-(along / value).item())
        return found.view_as(weight), None


class SpectralNorm(nn.Module):
    """SpectralNorm is the layer's weight over its largest singular value, as a parametrization that torch
    applies.

    The singular value is followed by subspace iteration: as training presses the singular values down, many
    come to lie close together, and a single vector would lose the largest one. The subspace is a buffer and
    moves by `advance` alone: every pass of a step, whether of a micro-batch or SAM's second, sees the same
    function.

    >>> weight = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> SpectralNorm(weight, torch.Generator().manual_seed(0))(weight)
    tensor([[1.0000, 0.0000], [0.0000, 0.3333]])

    Reference: Golub, Van Loan, 2013, "Matrix computations", section 8.2.4.
    """

    def __init__(self, weight: Tensor, stream: torch.Generator) -> None:
        super().__init__()
        columns = weight.flatten(1).shape[1]
        start = torch.randn(columns, min(WIDTH, *weight.flatten(1).shape), generator=stream)
        basis = torch.linalg.qr(start).Q.contiguous()  # (columns, width), the first vector leads
        self.basis = nn.Buffer(basis.to(weight.device))
        self.advance(weight, START)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # in bf16 the value would be off by 1 in 256
            lead = self.basis[:, 0].contiguous()  # with a stride the products of it take ten times as long
            special = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
            if weight.dtype == torch.float32 and not special:
                found: Tensor = Divided.apply(weight, lead)  # type: ignore[no-untyped-call]
                return found
            _, value = stretch(weight, lead)
            return weight / value.to(weight.dtype)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight

    @torch.no_grad()
    def advance(self, weight: Tensor, iterations: int = 1) -> None:
        """Follow the weight: find the first singular vectors in the subspace, and turn it towards them."""
        matrix = weight.flatten(1).float()  # (rows, columns)
        basis = self.basis
        for _ in range(iterations):  # the thin matrix stands on the left: the other way round is ten times slower
            image = functional.linear(basis.T, matrix)  # (width, rows)
            turn = torch.linalg.eigh(image @ image.T).eigenvectors.flip(1)  # (width, width), largest first
            basis = torch.linalg.qr((turn.T @ image @ matrix).T).Q  # the first column leads, and the others keep clear
        self.basis.copy_(basis)


def normalised_layers(model: nn.Module) -> list[tuple[nn.Module, SpectralNorm, Tensor]]:
    """List the layers that are normalised: the layer, its norm, and the weight underneath."""
    found = []
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            norms: nn.ModuleList = module.parametrizations.weight  # type: ignore[union-attr, assignment]
            if isinstance(norms[0], SpectralNorm):
                found.append((module, norms[0], norms.original))
    return found  # type: ignore[return-value]


def spectral_norm(model: nn.Module, pattern: str | Sequence[str] = "*", seed: int = 0) -> nn.Module:
    """Normalise every layer whose name matches, in place; frozen layers and layers of other kinds stay as
    they are.

    In a loop of one's own, call `advance(model)` after each step of the optimizer.

    >>> layer = spectral_norm(nn.Linear(3, 3))
    >>> torch.linalg.svdvals(layer.weight.detach())[0]
    tensor(1.0000)

    Reference: Miyato, Kataoka, Koyama, Yoshida, 2018, "Spectral normalization for generative adversarial
    networks", equations 5 to 8 and algorithm 1.
    """
    for name, layer in match_layers(model, pattern, KINDS).items():
        weight: Tensor = layer.weight  # type: ignore[assignment]
        if weight.requires_grad and not parametrize.is_parametrized(layer):
            stream = generator(seed, f"spectral_norm {name}")
            parametrize.register_parametrization(layer, "weight", SpectralNorm(weight.detach(), stream))
    if not normalised_layers(model):
        raise UserError(f"'{pattern}' matches frozen layers only; allowed: a pattern that matches layers that train.")
    return model


def advance(model: nn.Module, iterations: int = 1) -> None:
    """Let every normalised layer follow its weight after a step of the optimizer."""
    for _, norm, weight in normalised_layers(model):
        norm.advance(weight, iterations)


def plain(model: nn.Module) -> nn.Module:
    """Copy a model with its normalised weights as plain weights, divided by the exact singular value.

    >>> layer = spectral_norm(nn.Linear(3, 2))
    >>> sorted(plain(layer).state_dict()), type(plain(layer)).__name__
    (['bias', 'weight'], 'Linear')
    """
    model = lean_copy(model)
    for layer, _, weight in normalised_layers(model):
        exact = weight.detach() / torch.linalg.matrix_norm(weight.detach().flatten(1).float(), ord=2)
        # by hand: torch's own removal takes the property off the class, which the model in training shares
        del layer._modules["parametrizations"]
        layer.__class__ = type(layer).__bases__[0]
        rest = dict(layer._parameters)
        layer._parameters.clear()
        layer.register_parameter("weight", nn.Parameter(exact.to(weight.dtype)))
        layer._parameters.update(rest)
    return model


def lipschitz_bound(model: nn.Module) -> float:
    """Bound how much a model's output can move for each unit that its input moves: the product of its
    layers' norms.

    Holds for a chain of linear and convolution layers with activations that stretch nothing (ReLU, tanh,
    ...). A convolution counts its matrix's norm times the square root of how many windows an input can be
    part of.

    >>> net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    >>> for layer, value in ((net[0], 2.0), (net[2], -3.0)):
    ...     _ = layer.weight.data.fill_(value)
    >>> lipschitz_bound(net), lipschitz_bound(spectral_norm(net))
    (6.0, 1.0)

    Reference: Szegedy, Zaremba, Sutskever, Bruna, Erhan, Goodfellow, Fergus, 2014, "Intriguing properties
    of neural networks", section 4.3.
    """
    bound = 1.0
    for layer in model.modules():
        if isinstance(layer, KINDS):
            bound *= float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1).float(), ord=2))
        if isinstance(layer, KINDS[1:]):
            windows = zip(layer.kernel_size, layer.stride, strict=True)
            bound *= math.sqrt(math.prod(-(-size // stride) for size, stride in windows))
    return bound


@dataclass
class SpectralNormMethod(Method):
    """Spectral normalisation divides a layer's weight by its largest singular value, so that the layer
    stretches nothing.

    A chain of such layers and of activations like ReLU then moves its output no further than its input
    moves: a GAN's critic stays smooth. The singular value is followed as the weight moves; what
    leaves training has plain weights whose largest singular value is 1. `lipschitz_bound` reports the bound
    of a whole model.

    Settings
    --------
    layers: which linear and convolution layers, by a pattern on their names, or several: [body.*, head].
    iterations: power iterations a step.

    A classifier all of whose layers are normalised cannot be sure of itself: leave its last layer out.

    Singular values 3 and 1 become 1 and 1/3:

    >>> layer = nn.Linear(2, 2, bias=False)
    >>> layer.weight.data = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> SpectralNormMethod().model(layer, Plan()).weight.detach()
    tensor([[1.0000, 0.0000], [0.0000, 0.3333]])

    Reference: Miyato, Kataoka, Koyama, Yoshida, 2018, "Spectral normalization for generative adversarial
    networks", equations 5 to 8 and algorithm 1.
    """

    name: ClassVar[str] = "spectral_norm"
    after: ClassVar[tuple[str, ...]] = ("averaging",)  # the averaged weights are what is divided at the end

    layers: str | tuple[str, ...] = "*"
    iterations: int = 1

    def __post_init__(self) -> None:
        require(
            bool(self.layers),
            "spectral_norm.layers",
            self.layers,
            "a pattern on the layers' names, such as *",
        )
        require(self.iterations >= 1, "spectral_norm.iterations", self.iterations, "a whole number from 1")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        return spectral_norm(model, self.layers, plan.seed)

    def update(self, model: nn.Module, step: Step) -> None:
        advance(model, self.iterations)

    def trained(self, model: nn.Module) -> nn.Module:
        return plain(model)
