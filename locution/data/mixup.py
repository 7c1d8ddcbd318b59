"""Mixup: train on blends of two examples and of their targets."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from locution.data.targets import distributions, require_classes
from locution.engine.batch import Batch, Tree, map_tensors
from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require


def blend(tensor: Tensor, weight: float, permutation: Tensor) -> Tensor:
    """Blend each row of a tensor with another row: weight times itself, the rest the other.

    >>> blend(torch.tensor([1.0, 0.0]), 0.7, torch.tensor([1, 0]))
    tensor([0.7000, 0.3000])
    """
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UserError(f"mixup came upon inputs of {kind}; allowed: floating-point numbers, for words do not blend.")
    other = tensor.index_select(0, permutation.to(tensor.device, non_blocking=True))
    return other.lerp_(tensor, weight)  # in the memory of the rows just picked


def mixup(
    inputs: Tree, targets: Tensor, weight: float, permutation: Tensor, classes: int | None = None
) -> tuple[Tree, Tensor]:
    """Blend each example with another one, and their targets in the same proportion.

    inputs: tensor (N, ...), or a dict or tuple of such. targets: classes (N,), which become distributions
    over `classes`, or distributions (N, C), or values. permutation (N,): which example blends with each.
    weight: the share of the example itself.

    >>> swap = torch.tensor([1, 0])
    >>> inputs, targets = mixup(torch.tensor([[1.0], [0.0]]), torch.tensor([0, 1]), 0.7, swap, classes=2)
    >>> inputs
    tensor([[0.7000], [0.3000]])
    >>> targets
    tensor([[0.7000, 0.3000], [0.3000, 0.7000]])

    Reference: Zhang, Cisse, Dauphin, Lopez-Paz, 2018, "mixup: beyond empirical risk minimization", equation
    1.
    """
    if classes is not None:
        targets = distributions(targets, classes)
    if not targets.is_floating_point():
        raise UserError("mixup came upon classes as targets; allowed: classes=N to make them distributions.")

    def mix(tensor: Tensor) -> Tensor:
        return blend(tensor, weight, permutation)

    return map_tensors(mix, inputs), mix(targets)


@dataclass
class MixupMethod(Method):
    """Mixup trains on blends: 0.7 of one example and 0.3 of another, with 0.7 of the one target and 0.3 of
    the other.

    Between the examples the model then learns to change its mind gradually, and is less sure where it knows
    little. One weight is drawn for each batch, from Beta(alpha, alpha); the blends are drawn once a step,
    so that every pass of the step sees the same. Each example's count in the loss's mean is blended too.

    Settings
    --------
    alpha: small for blends near one of the two, 1 for any blend alike. classes: how many there are, if the
    targets are classes; asked of the model if it is not given. Values as targets blend as they are.

    >>> from locution.engine.batch import Batch
    >>> inputs, targets = mixup(torch.eye(2), torch.eye(2), 0.7, torch.tensor([1, 0]))
    >>> inputs[0], targets[0]
    (tensor([0.7000, 0.3000]), tensor([0.7000, 0.3000]))
    >>> step = Step(0, 0, Plan(seed=0), torch.nn.Identity())
    >>> batch = MixupMethod(alpha=1.0).batch(Batch(torch.eye(2), torch.eye(2)), step)
    >>> torch.equal(batch.inputs, batch.targets)
    True

    Reference: Zhang, Cisse, Dauphin, Lopez-Paz, 2018, "mixup: beyond empirical risk minimization", equation
    1.
    """

    name: ClassVar[str] = "mixup"
    after: ClassVar[tuple[str, ...]] = ("label_smoothing", "flip", "rotation", "shift", "brightness", "cutout")

    alpha: float = 0.2
    classes: int | None = None

    def __post_init__(self) -> None:
        require(self.alpha > 0, "mixup.alpha", self.alpha, "a number above 0, usually 0.2")
        require(
            self.classes is None or self.classes >= 2,
            "mixup.classes",
            self.classes,
            "a whole number from 2, or null",
        )
        self.known = self.classes

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.known = self.classes  # another model may tell another number of classes apart
        return model

    def batch(self, batch: Batch, step: Step) -> Batch:
        weight, permutation = draw(self.alpha, len(batch), step)
        targets: Any = batch.targets
        if not isinstance(targets, Tensor):
            raise UserError("mixup came upon targets that are no tensor; allowed: classes, distributions or values.")
        if not targets.is_floating_point() and self.known is None:
            self.known = require_classes("mixup.classes", step.model, batch)
        inputs, targets = mixup(batch.inputs, targets, weight, permutation, self.known)
        weights = None if batch.weights is None else blend(batch.weights.float(), weight, permutation)
        return replace(batch, inputs=inputs, targets=targets, weights=weights)


def draw(alpha: float, count: int, step: Step) -> tuple[float, Tensor]:
    """Draw a step's weight and permutation from its own random stream."""
    stream = step.generator(MixupMethod.name)
    weight = random.Random(stream.initial_seed()).betavariate(alpha, alpha)
    return weight, torch.randperm(count, generator=stream)
