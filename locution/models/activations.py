"""Activations: the bends between the layers, by name, with their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.errors import unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def relu(x: Tensor) -> Tensor:
    """The rectified linear unit (ReLU) lets positive numbers through and turns negative ones into zero.

    >>> relu(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0., 0., 3.])

    Reference: V. Nair, G. Hinton, 2010, "Rectified linear units improve restricted Boltzmann machines",
    section 2.
    """
    return functional.relu(x)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """The leaky ReLU lets positive numbers through and shrinks negative ones to a hundredth instead of to
    zero.

    So a unit whose inputs are all negative still has a gradient. `slope` is the hundredth.

    >>> leaky_relu(torch.tensor([-2.0, 3.0]))
    tensor([-0.0200,  3.0000])

    Reference: A. Maas, A. Hannun, A. Ng, 2013, "Rectifier nonlinearities improve neural network acoustic
    models", eq. 2.
    """
    return functional.leaky_relu(x, slope)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """The parametric ReLU (PReLU) is a leaky ReLU that learns how much of a negative number to let through.

    `slope` is a parameter of one number, or one a channel (axis 1).

    >>> prelu(torch.tensor([-2.0, 3.0]), torch.tensor([0.25]))
    tensor([-0.5000,  3.0000])

    Reference: K. He, X. Zhang, S. Ren, J. Sun, 2015, "Delving deep into rectifiers", eq. 1.
    """
    return functional.prelu(x, slope)


def gelu(x: Tensor) -> Tensor:
    """The Gaussian error linear unit (GELU) scales a number by the chance that a standard normal draw lies
    below it.

    >>> gelu(torch.tensor([-1.0, 0.0, 1.0]))  # 1 x P(Z < 1) = 0.8413
    tensor([-0.1587,  0.0000,  0.8413])

    Reference: D. Hendrycks, K. Gimpel, 2016, "Gaussian error linear units", eq. 1.
    """
    return functional.gelu(x)


def silu(x: Tensor) -> Tensor:
    """Swish, or the sigmoid linear unit (SiLU), scales a number by its own sigmoid: smooth, and slightly
    below zero.

    >>> silu(torch.tensor([-1.0, 0.0, 1.0]))  # 1 x 0.7311
    tensor([-0.2689,  0.0000,  0.7311])

    Reference: P. Ramachandran, B. Zoph, Q. Le, 2017, "Searching for activation functions", section 4;
    S. Elfwing, E. Uchibe, K. Doya, 2018, "Sigmoid-weighted linear units", eq. 9.
    """
    return functional.silu(x)


def sigmoid(x: Tensor) -> Tensor:
    """The sigmoid squeezes any number into the range from 0 to 1, so that it can be read as a probability.

    Its derivative is at most 1/4: twenty of them in a row leave next to nothing of a gradient.

    >>> sigmoid(torch.tensor([-1.0, 0.0, 1.0]))  # 1 / (1 + exp(-x))
    tensor([0.2689, 0.5000, 0.7311])

    Reference: P.-F. Verhulst, 1845, "Recherches mathematiques sur la loi d'accroissement de la population".
    """
    return torch.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent (tanh) squeezes any number into the range from -1 to 1, with zero left at zero.

    >>> tanh(torch.tensor([-1.0, 0.0, 1.0]))  # 2 sigmoid(2x) - 1
    tensor([-0.7616,  0.0000,  0.7616])

    Reference: Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller, 1998, "Efficient backprop", section 4.4.
    """
    return torch.tanh(x)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Softmax turns any numbers into probabilities: all positive, adding up to 1, the largest still the
    largest.

    Shapes: x (..., C), the result the same, adding up to 1 over `axis`.

    >>> softmax(torch.tensor([2.0, 1.0, 0.5]))
    tensor([0.63, 0.23, 0.14])

    Reference: J. Bridle, 1990, "Probabilistic interpretation of feedforward classification network outputs",
    eq. 6.
    """
    return torch.softmax(x, axis)


MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": partial(nn.Softmax, dim=-1),
}


def activation(name: str) -> nn.Module:
    """An activation bends what a layer puts out, so that layers in a row can say more than one layer could.

    Without it any stack of linear layers is one linear layer. Errors: UserError for a name that is none.

    >>> activation("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    >>> activation("rellu")
    Traceback (most recent call last):
    locution.errors.UserError: 'rellu' is no activation. Did you mean 'relu'? ...

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", section 6.3.
    """
    if name not in MODULES:
        raise unknown("activation", name, MODULES)
    return MODULES[name]()


def derivative(name: str, x: Tensor) -> Tensor:
    """Compute the slope of an activation at each point, by backpropagation.

    Softmax is taken of the pair (x, 0), which makes it the sigmoid of x.

    >>> derivative("sigmoid", torch.tensor([0.0]))
    tensor([0.2500])
    """
    point = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(curve(name, point).sum(), point)
    return slope


def curve(name: str, x: Tensor) -> Tensor:
    """Compute an activation of single numbers; softmax of the pair (x, 0).

    >>> curve("softmax", torch.tensor([0.0]))
    tensor([0.5000])
    """
    bend = activation(name)
    if name == "softmax":
        pairs: Tensor = bend(torch.stack([x, torch.zeros_like(x)], -1))  # (N, 2)
        return pairs[..., 0]
    bent: Tensor = bend(x)
    return bent


def draw_activations(path: str | Path | None = None, names: Sequence[str] = tuple(MODULES)) -> Figure:
    """Draw each activation and its derivative, one small picture each; write it where `path` says."""
    from matplotlib.figure import Figure

    shown = [name for name in names if name != "swish" or "silu" not in names]  # one curve, two names
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3 * columns, 2.6 * rows), layout="constrained")
    x = torch.linspace(-4, 4, 401)
    for index, name in enumerate(shown):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.axhline(0, color="0.85", linewidth=1)
        axes.axvline(0, color="0.85", linewidth=1)
        axes.plot(x.numpy(), curve(name, x).detach().numpy(), color="C0", label="value")
        axes.plot(x.numpy(), derivative(name, x).numpy(), color="C1", linestyle="--", label="derivative")
        axes.set_title({"silu": "silu (swish)", "softmax": "softmax of (x, 0)"}.get(name, name), fontsize=10)
        axes.set_ylim((-1.2, 1.6) if name in ("sigmoid", "tanh", "softmax") else (-1.2, 4.2))
        if index == 0:
            axes.legend(fontsize=8, loc="upper left")
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
