"""The two losses that most training starts with: cross-entropy and mean squared error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine.batch import Batch
from locution.errors import UserError, require

IGNORED = -100  # torch's own mark for a target that does not count


def weighted_mean(losses: Tensor, batch: Batch) -> Tensor:
    """The loss is one number that says how wrong a model is on a batch: the mean over the batch's weight.

    Shapes: losses (N,), one an example. Each counts once, or `batch.weights` times. The reduction is this
    mean and no other, so that the losses of the parts of a batch, by their shares, add up to the loss of the
    whole.

    >>> batch = Batch(torch.zeros(2), weights=torch.tensor([2.0, 1.0]))
    >>> weighted_mean(torch.tensor([1.0, 4.0]), batch).item()
    2.0

    Reference: V. Vapnik, 1991, "Principles of risk minimization for learning theory", eq. 3.
    """
    if batch.weights is None:
        return losses.mean()
    return (losses * batch.weights).sum() / batch.weights.sum()


def cross_entropy(outputs: Tensor, targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy is the surprise at the right answer: minus the logarithm of the probability that it was
    given.

    Parameters
    ----------
    outputs: scores before softmax (N, C), or (N, T, C). targets: classes (N,) or (N, T), of which -100 does
    not count; or distributions, of the shape of outputs. class_weights: (C,), how much each class counts.

    Returns the loss of each example (N,), over T a mean of those that count; class weights multiply, and do
    not enter what is divided by.

    >>> cross_entropy(torch.tensor([[2.0, 1.0, 0.5]]), torch.tensor([0]))  # -ln 0.6285
    tensor([0.4644])

    Reference: J. Bridle, 1990, "Probabilistic interpretation of feedforward classification network outputs",
    eq. 8.
    """
    classes = outputs.shape[-1]
    if targets.is_floating_point():
        _same_shape(outputs, targets)
        logs = functional.log_softmax(outputs, -1)
        weighted = targets if class_weights is None else targets * class_weights
        return -(weighted * logs).sum(-1).flatten(1).mean(1) if logs.dim() > 2 else -(weighted * logs).sum(-1)
    if targets.shape != outputs.shape[:-1]:
        wanted = tuple(outputs.shape[:-1])
        raise UserError(
            f"targets have shape {tuple(targets.shape)}; allowed: {wanted}, a class for each row of scores."
        )
    flat = functional.cross_entropy(outputs.reshape(-1, classes), targets.reshape(-1), class_weights, reduction="none")
    if targets.dim() == 1:
        return flat
    losses, counted = flat.view(len(targets), -1), (targets != IGNORED).flatten(1)
    return losses.sum(1) / counted.sum(1).clamp(min=1)  # what is ignored has a loss of zero


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean squared error is the average of the squared distances between what came out and what should
    have.

    Shapes: outputs and targets (N, ...), the same. Returns the error of each example (N,), a mean over its
    numbers.

    >>> mean_squared_error(torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [2.0]]))
    tensor([1., 9.])

    Reference: C. F. Gauss, 1809, "Theoria motus corporum coelestium", section 179.
    """
    _same_shape(outputs, targets)
    squares = (outputs - targets).square()
    return squares.flatten(1).mean(1) if squares.dim() > 1 else squares


def _same_shape(outputs: Tensor, targets: Tensor) -> None:
    # broadcasting (N, 1) against (N,) would compare every output with every target, and train in silence
    if outputs.shape != targets.shape:
        came, wanted = tuple(targets.shape), tuple(outputs.shape)
        raise UserError(f"targets have shape {came}; allowed: {wanted}, the shape of the model's outputs.")


@dataclass
class CrossEntropy:
    """Cross-entropy is the surprise at the right answer: minus the logarithm of the probability that it was
    given.

    `class_weights` says how much each class counts, empty for once each. The loss is the mean over
    `batch.weight()`; class weights do not change what is divided by (torch divides by them when targets are
    classes, not when they are distributions; here both are alike).

    >>> outputs = torch.tensor([[2.0, 1.0, 0.5]])
    >>> _, loss = CrossEntropy()(nn.Identity(), Batch(outputs, torch.tensor([0])))
    >>> round(loss.item(), 4)  # -ln 0.6285
    0.4644

    Reference: J. Bridle, 1990, "Probabilistic interpretation of feedforward classification network outputs",
    eq. 8.
    """

    class_weights: tuple[float, ...] = ()
    _tensors: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fine = min(self.class_weights, default=0.0) >= 0.0
        require(fine, "objective.class_weights", list(self.class_weights), "numbers from 0, one a class")

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (output, loss)."""
        output = model(batch.inputs)
        plain = not self.class_weights and batch.weights is None and output.dim() == 2
        if plain and batch.targets.shape in (output.shape[:1], output.shape):
            return output, functional.cross_entropy(output, batch.targets)  # the same, in one call
        losses = cross_entropy(output, batch.targets, self._weights(output))
        return output, weighted_mean(losses, batch)

    def _weights(self, output: Tensor) -> Tensor | None:
        if not self.class_weights:
            return None
        if len(self.class_weights) != output.shape[-1]:
            count = len(self.class_weights)
            raise UserError(f"objective.class_weights has {count} numbers; allowed: {output.shape[-1]}, one a class.")
        if output.device not in self._tensors:  # made once: a step waits for no copy
            self._tensors[output.device] = torch.tensor(self.class_weights, device=output.device)
        return self._tensors[output.device]


@dataclass
class MSE:
    """The mean squared error is the average of the squared distances between what came out and what should
    have.

    The loss is the mean over `batch.weight()` of each example's mean over its numbers. Outputs and targets
    must have one shape: nothing is broadcast.

    >>> inputs, targets = torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [2.0]])
    >>> _, loss = MSE()(nn.Identity(), Batch(inputs, targets))
    >>> loss.item()  # (1 + 9) / 2
    5.0

    Reference: C. F. Gauss, 1809, "Theoria motus corporum coelestium", section 179.
    """

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (output, loss)."""
        output = model(batch.inputs)
        if batch.weights is None and output.shape == batch.targets.shape:
            return output, functional.mse_loss(output, batch.targets)  # the same, in one call
        return output, weighted_mean(mean_squared_error(output, batch.targets), batch)
