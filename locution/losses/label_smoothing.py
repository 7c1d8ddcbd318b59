"""Label smoothing: a little of every target for every class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from locution.data.targets import are_distributions, distributions, require_classes
from locution.engine.batch import Batch
from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require


def smooth(targets: Tensor, amount: float = 0.1, classes: int | None = None) -> Tensor:
    """Take an amount off each target and share it equally among all classes.

    targets: classes (N, ...), which become distributions over `classes`, or distributions (N, ..., C).
    Where a target is below zero there is nothing to learn, and nothing is shared out.

    >>> import torch
    >>> smooth(torch.tensor([1]), 0.1, classes=4)
    tensor([[0.0250, 0.9250, 0.0250, 0.0250]])
    """
    if classes is not None:
        targets = distributions(targets, classes)
    if not targets.is_floating_point():
        raise UserError("smooth came upon classes as targets; allowed: classes=N to make them distributions.")
    share = targets.sum(-1, keepdim=True) * (amount / targets.shape[-1])
    return targets * (1.0 - amount) + share


@dataclass
class LabelSmoothingMethod(Method):
    """Label smoothing moves a little of each target from the right class to all classes alike.

    A model that may never be fully right need not drive its outputs ever further apart: it stays less sure
    of itself, and a wrong label costs it less.

    Settings
    --------
    amount: what is moved. classes: how many there are; asked of the model if it is not given.

    Of 4 classes, with amount 0.1, each gets 0.1 / 4 = 0.025 and the right one keeps 0.9 besides:

    >>> import torch
    >>> smooth(torch.tensor([1]), 0.1, classes=4)
    tensor([[0.0250, 0.9250, 0.0250, 0.0250]])

    Reference: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, 2016, "Rethinking the Inception architecture for
    computer vision", section 7.
    """

    name: ClassVar[str] = "label_smoothing"

    amount: float = 0.1
    classes: int | None = None

    def __post_init__(self) -> None:
        require(
            0 <= self.amount < 1,
            "label_smoothing.amount",
            self.amount,
            "a number from 0 to below 1, usually 0.1",
        )
        known = self.classes is None or self.classes >= 2
        require(known, "label_smoothing.classes", self.classes, "a whole number from 2, or null")
        self.known, self.seen = self.classes, False

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.known, self.seen = self.classes, False  # another model may tell another number of classes apart
        return model

    def batch(self, batch: Batch, step: Step) -> Batch:
        targets = batch.targets
        fine = isinstance(targets, Tensor) and (self.seen or not targets.is_floating_point())
        if not fine and not (isinstance(targets, Tensor) and are_distributions(targets)):  # looked at once: it waits
            raise UserError("label_smoothing came upon targets that are no classes; allowed: classes or distributions.")
        self.seen = True
        if not targets.is_floating_point() and self.known is None:
            self.known = require_classes("label_smoothing.classes", step.model, batch)
        return batch.with_targets(smooth(targets, self.amount, self.known))
