"""torch's own optimizers by name, as settings that are checked, in their fastest form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import require

FUSED = ("cpu", "cuda", "mps")


def gradient_descent(weights: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
    """Gradient descent moves the weights a little against the gradient, downhill on the loss, again and
    again.

    Shapes: weights and gradient the same; so is what comes back, weights - learning_rate x gradient.

    >>> gradient_descent(torch.tensor([0.0, 0.0]), torch.tensor([-28.0, -10.0]), 0.05)  # a line's first step
    tensor([1.4000, 0.5000])

    Reference: A. Cauchy, 1847, "Methode generale pour la resolution des systemes d'equations simultanees".
    """
    return weights - learning_rate * gradient


def largest_learning_rate(curvature: Tensor) -> float:
    """The learning rate says how far each update moves the weights along the gradient: too far, and the loss
    grows.

    On a loss that is a bowl with second derivatives `curvature` (P, P), gradient descent comes to rest only
    below 2 / (the largest eigenvalue): this bound is returned.

    >>> largest_learning_rate(torch.tensor([[12.0, 4.0], [4.0, 2.0]]))  # of the line through x = 0..4
    0.149

    Reference: Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller, 1998, "Efficient backprop", section 5.1.
    """
    return 2.0 / float(torch.linalg.eigvalsh(curvature)[-1])


def fastest(parameters: Sequence[Tensor], plain: bool = False) -> dict[str, Any]:
    """Choose the form of an optimizer that is fastest for these parameters: fused, or torch's own choice.

    Fused updates all weights in one pass over memory. Plain SGD on the processor has so little to do that
    one tensor after the other is fastest (`plain`); everything else is fused wherever torch can.

    >>> fastest([torch.zeros(2)]), fastest([torch.zeros(2)], plain=True)
    ({'fused': True}, {})
    """
    fits = all(p.is_floating_point() and p.device.type in FUSED for p in parameters)
    little = plain and all(p.device.type == "cpu" for p in parameters)
    return {"fused": True} if fits and parameters and not little else {}


def _range(setting: str, value: float, low: float, high: float, allowed: str) -> None:
    require(low <= value < high, f"optimizer.{setting}", value, allowed)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent (SGD) moves the weights against the gradient of a few examples at a time.

    Parameters
    ----------
    lr: the learning rate. momentum: how much of the last move is kept in the next, 0 for none, usually 0.9.
    nesterov: look ahead along the momentum. weight_decay: how strongly weights are pulled to zero.

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = SGD(lr=0.1).build([weight])
    >>> weight.grad = torch.tensor([2.0])
    >>> optimizer.step()
    >>> round(weight.item(), 4)  # 1 - 0.1 x 2
    0.8

    Reference: H. Robbins, S. Monro, 1951, "A stochastic approximation method", eq. 8;
    I. Sutskever et al., 2013, "On the importance of initialization and momentum in deep learning", eqs. 1-4.
    """

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _range("lr", self.lr, 0.0, float("inf"), "a number from 0, usually 0.001 to 0.5")
        _range("momentum", self.momentum, 0.0, 1.0, "a number from 0 up to, not with, 1, usually 0.9")
        _range("weight_decay", self.weight_decay, 0.0, float("inf"), "a number from 0, usually 0.0001")
        require(
            not self.nesterov or self.momentum > 0,
            "optimizer.nesterov",
            True,
            "true only with a momentum above 0",
        )

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
        """Make torch's optimizer for these parameters."""
        chosen = list(parameters)
        form = fastest(chosen, plain=self.momentum == 0)
        return torch.optim.SGD(
            chosen, self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov, **form
        )


@dataclass(frozen=True)
class Momentum(SGD):
    """Momentum lets the weights roll: each move keeps nine tenths of the last one and adds the new gradient.

    SGD with `momentum` 0.9 unless it is set; the other settings are SGD's.

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Momentum(lr=0.1).build([weight])
    >>> for _ in range(2):
    ...     weight.grad = torch.tensor([1.0])
    ...     optimizer.step()
    >>> round(weight.item(), 4)  # 1 - 0.1 x 1 - 0.1 x (0.9 + 1)
    0.71

    Reference: B. Polyak, 1964, "Some methods of speeding up the convergence of iteration methods", eq. 9.
    """

    momentum: float = 0.9


@dataclass(frozen=True)
class Adam:
    """Adam gives every weight a step of its own: the average gradient divided by its usual size.

    Parameters
    ----------
    lr: the learning rate, about the distance a weight moves a step. beta1, beta2: how slowly the averages of
    the gradient and of its square forget. eps: keeps the division apart from zero. weight_decay: added to the
    gradient.

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Adam(lr=0.1).build([weight])
    >>> weight.grad = torch.tensor([50.0])
    >>> optimizer.step()
    >>> round(weight.item(), 4)  # the first step is lr, whatever the gradient's size
    0.9

    Reference: D. Kingma, J. Ba, 2015, "Adam: a method for stochastic optimization", algorithm 1.
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _range("lr", self.lr, 0.0, float("inf"), "a number from 0, usually 0.0001 to 0.01")
        _range("beta1", self.beta1, 0.0, 1.0, "a number from 0 up to, not with, 1, usually 0.9")
        _range("beta2", self.beta2, 0.0, 1.0, "a number from 0 up to, not with, 1, usually 0.999")
        _range("eps", self.eps, 0.0, float("inf"), "a number from 0, usually 1e-8")
        _range("weight_decay", self.weight_decay, 0.0, float("inf"), "a number from 0, usually 0.01")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        """Make torch's optimizer for these parameters."""
        chosen = list(parameters)
        betas = (self.beta1, self.beta2)
        return torch.optim.Adam(chosen, self.lr, betas, self.eps, self.weight_decay, **fastest(chosen))


@dataclass(frozen=True)
class AdamW(Adam):
    """AdamW is Adam with the pull of the weights to zero kept apart from the gradient, so that it is the same
    for all.

    The settings are Adam's, with a `weight_decay` of 0.01.

    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = AdamW(lr=0.1, weight_decay=0.5).build([weight])
    >>> weight.grad = torch.tensor([50.0])
    >>> optimizer.step()
    >>> round(weight.item(), 4)  # 1 - 0.1 x 0.5 x 1 - 0.1
    0.85

    Reference: I. Loshchilov, F. Hutter, 2019, "Decoupled weight decay regularization", algorithm 2.
    """

    weight_decay: float = 0.01

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
        """Make torch's optimizer for these parameters."""
        chosen = list(parameters)
        betas = (self.beta1, self.beta2)
        return torch.optim.AdamW(chosen, self.lr, betas, self.eps, self.weight_decay, **fastest(chosen))
