"""Sharpness-aware minimisation: step from the gradient at the worst neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from locution.engine.method import Method, Optimizer, Plan
from locution.errors import UserError, require
from locution.optimizers.wrapper import Closure, Wrapper

TINY = 1e-12  # keeps a gradient of zero from becoming 0 / 0
STABLE = 0.01  # Kwon et al., section 4: added to |w| so that a weight of zero may still move


def perturbation(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], rho: float = 0.05, adaptive: bool = False
) -> list[Tensor]:
    """Find the neighbour within reach rho where the loss is highest, to first order: rho times the
    gradient's direction.

    Adaptive: the reach of each weight is proportional to its size, so that rescaling weights changes nothing.
    Returns the step to that neighbour, one tensor for each weight. No gradient, no step.

    >>> perturbation([torch.tensor([3.0, 4.0])], [torch.tensor([0.6, 0.8])], rho=0.5)
    [tensor([0.3000, 0.4000])]

    Reference: Foret, Kleiner, Mobahi, Neyshabur, 2021, "Sharpness-aware minimization for efficiently
    improving generalization", equation 2. Kwon, Kim, Park, Choi, 2021, "ASAM: adaptive sharpness-aware
    minimization for scale-invariant learning of deep neural networks", equation 8.
    """
    if not gradients:
        return []
    steps = [gradient.clone() for gradient in gradients]
    return list(torch._foreach_mul(steps, direct(weights, steps, rho, adaptive)))


def direct(weights: Sequence[Tensor], gradients: list[Tensor], rho: float, adaptive: bool) -> Tensor:
    """Turn gradients, in their own memory, into the direction of the worst neighbour; say how far along it that is.

    >>> direction = [torch.tensor([0.6, 0.8])]
    >>> direct([torch.tensor([3.0, 4.0])], direction, rho=0.5, adaptive=False), direction
    (tensor(0.5000), [tensor([0.6000, 0.8000])])
    """
    if adaptive:
        sizes = torch._foreach_add(torch._foreach_abs(list(weights)), STABLE)
        torch._foreach_mul_(gradients, sizes)
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if adaptive:
        torch._foreach_mul_(gradients, sizes)
    far: Tensor = rho / norm.clamp_(min=TINY)
    return far


class SAM(Wrapper):
    """SAM climbs to the worst neighbour, takes the gradient there, comes back, and lets the optimizer step
    with it.

    Parameters
    ----------
    optimizer: any optimizer that takes a closure. rho: how far the neighbour is. adaptive: measure the
    distance relative to each weight's size; then rho is usually ten times larger.

    `step` needs the closure, calls it twice, and returns the loss of the first pass. The weights come back
    exactly: they are set aside, not subtracted from, and even when the second pass fails.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = SAM(torch.optim.SGD([weight], lr=0.1), rho=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (weight**2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item(), weight.item()  # gradient at 1.5 is 3: 1 - 0.1 * 3
    (1.0, 0.7)
    """

    def __init__(self, optimizer: Any, rho: float = 0.05, adaptive: bool = False) -> None:
        require(rho > 0, "sam.rho", rho, "a number above 0, usually 0.05, or 0.5 if adaptive")
        super().__init__(optimizer)
        self.rho, self.adaptive = rho, adaptive
        self.places: list[Tensor] = []  # where the neighbours lie, on a processor

    def step(self, closure: Closure | None = None) -> Any:
        """Take one step; the closure must compute the loss and its gradients anew on every call."""
        if closure is None:
            raise UserError("SAM.step() came without a closure; allowed: step(closure), for SAM needs two gradients.")
        return self.optimizer.step(lambda: self.gradient(closure))

    def gradient(self, closure: Closure) -> Tensor:
        """Leave the worst neighbour's gradients in the weights' `.grad`, and return the loss where the
        weights are."""
        with torch.enable_grad():
            loss = closure()
        weights = [weight for weight in self.parameters() if weight.grad is not None]
        kept = [weight.data for weight in weights]
        try:
            self.climb(weights)
            for weight in weights:
                weight.grad = None
            with torch.enable_grad():
                closure()
        finally:
            for weight, own in zip(weights, kept, strict=True):
                weight.data = own
        return loss

    @torch.no_grad()
    def climb(self, weights: list[Tensor]) -> None:
        """Show the weights at their worst neighbour; what they are stays in memory that nobody writes to."""
        if not weights:
            return
        moved = [weight.grad for weight in weights if weight.grad is not None]
        own = [weight.data for weight in weights]
        far = direct(own, moved, self.rho, self.adaptive)
        if far.device.type == "cpu" and not torch.compiler.is_compiling():
            # one pass over large layers instead of two, into memory that is kept: to ask for it anew in each step
            # would cost a tenth of a step
            if [(place.shape, place.dtype) for place in self.places] != [
                (weight.shape, weight.dtype) for weight in own
            ]:
                self.places = [torch.empty_like(weight) for weight in own]
            for place, weight, direction in zip(self.places, own, moved, strict=True):
                torch.add(weight, direction, alpha=far.item(), out=place)
            moved = self.places
        else:  # in the gradients' own memory
            torch._foreach_mul_(moved, far)
            torch._foreach_add_(moved, own)
        for weight, place in zip(weights, moved, strict=True):
            weight.data = place


@dataclass
class SAMMethod(Method):
    """Sharpness-aware minimisation (SAM) looks for weights whose whole neighbourhood has a low loss, not
    only themselves.

    Each step first climbs to the neighbour where the loss is highest, then descends with the gradient found
    there: a minimum that is flat gives way less when data change. It costs two gradients a step instead of
    one.

    Settings
    --------
    rho: how far the neighbour is. adaptive: measure that relative to each weight's size (ASAM; rho is then
    usually 0.5). Under accumulation and data parallel both gradients are those of the whole batch;
    batch-norm statistics move on the first pass only.

    Loss w^2 at w = 1: the gradient 2 points up, the neighbour within 0.5 is 1.5, its gradient is 3, and
    a learning rate of 0.1 leads to 1 - 0.1 * 3 = 0.7, where plain descent goes to 0.8.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = SAMMethod(rho=0.5).optimizer(torch.optim.SGD([weight], lr=0.1), Plan())
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (weight**2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> weight.item()
    0.7

    Reference: Foret, Kleiner, Mobahi, Neyshabur, 2021, "Sharpness-aware minimization for efficiently
    improving generalization", algorithm 1; adaptive: Kwon, Kim, Park, Choi, 2021, "ASAM: adaptive
    sharpness-aware minimization for scale-invariant learning of deep neural networks", algorithm 1.
    """

    name: ClassVar[str] = "sam"

    rho: float = 0.05
    adaptive: bool = False

    def __post_init__(self) -> None:
        require(self.rho > 0, "sam.rho", self.rho, "a number above 0, usually 0.05, or 0.5 if adaptive")

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        return SAM(optimizer, self.rho, self.adaptive)
