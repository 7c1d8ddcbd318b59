"""Virtual adversarial training: the answer shall not change in the direction in which it changes most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from locution.engine.batch import Batch, Tree
from locution.engine.method import Method, Plan, Step
from locution.engine.modes import batch_norms, frozen_statistics
from locution.errors import UserError, require
from locution.losses.divergence import are_classes, distance, entropy, per_example

UNLABELLED = "unlabelled"
AWAKE = (_BatchNorm, nn.RNNBase)  # these answer otherwise asleep, or cannot be differentiated there


def unit(direction: Tensor) -> Tensor:
    """Shrink or stretch each example's direction (N, ...) to length 1; a direction of zero stays zero.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000], [0.0000, 0.0000]])
    """
    flat = direction.flatten(1)
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=1e-30)  # first, or the squares of small numbers vanish
    found: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return found.view_as(direction)


def adversarial_direction(
    change: Callable[[Tensor], Tensor], start: Tensor, xi: float = 0.1, iterations: int = 1
) -> Tensor:
    """Power iteration finds the direction in which a matrix stretches most, by applying the matrix again and again.

    Here the matrix is the curvature of how much an answer changes when its input does; it is never built: the gradient
    of the change, a small step away, is its product with the step.

    Parameters
    ----------
    change: takes steps (N, ...) of the inputs, returns how much each answer changes, (N,). start: random directions
    (N, ...). xi: the length of the small step. iterations: one brings the direction close, more bring it closer.

    Returns directions of length 1, (N, ...).

    >>> curvature = torch.tensor([9.0, 1.0])
    >>> change = lambda step: 0.5 * (curvature * step**2).sum(1)
    >>> adversarial_direction(change, torch.tensor([[1.0, 1.0]]), iterations=1)  # (9, 1), to length 1
    tensor([[0.9939, 0.1104]])

    Reference: T. Miyato, S. Maeda, M. Koyama, S. Ishii, 2018, "Virtual adversarial training: a regularization method
    for supervised and semi-supervised learning", section 3.3.
    """
    found = unit(start)
    for _ in range(iterations):
        step = (xi * found).requires_grad_()
        (gradient,) = torch.autograd.grad(change(step).sum(), step)
        found = unit(gradient)
    return found


@contextmanager
def resting(model: nn.Module) -> Iterator[None]:
    """Let a model answer the same twice: what draws at random sleeps; batch norms stay awake, and keep no statistics.

    >>> net = nn.Sequential(nn.Dropout(0.5))
    >>> with resting(net):
    ...     net(torch.ones(3))
    tensor([1., 1., 1.])
    >>> net[0].training
    True
    """
    asleep = [module for module in model.modules() if module.training and not isinstance(module, AWAKE)]
    with frozen_statistics(batch_norms(model)):
        for module in asleep:
            module.training = False
        try:
            yield
        finally:
            for module in asleep:
                module.training = True


@dataclass
class VATMethod(Method):
    """Virtual adversarial training (VAT) asks that a model's answer stay the same in the direction in which it would
    change most.

    That direction is found for each example by power iteration, without its label: examples that nobody has labelled
    teach as well, and push the border between classes to where no examples lie. The term is the mean over the labelled
    examples and those beside the batch under "unlabelled". It costs one pass for the answer, one with its gradient for
    each iteration, and one that is learnt from.

    While it looks, dropout and all else that draws at random sleeps, so that two answers differ by the step alone;
    batch norms work with the batch's own statistics and keep none. The direction is sought in full precision.

    Settings
    --------
    epsilon: how far the step goes, in the inputs' units. weight: how much the term counts. xi: the length of the step
    by which the direction is sought; small against epsilon. iterations: of the power iteration. entropy: how much the
    entropy of each answer counts besides, to make answers sure (0: not at all). kind: classes (Kullback-Leibler
    divergence), values (squared error), or auto, by the targets.

    On classes with scores +x and -x the border runs at 0; seen from 0.1 a step of 1 across it changes most:

    >>> scores = lambda x: torch.cat([x, -x], 1)
    >>> x = torch.tensor([[0.1]])
    >>> change = lambda step: distance(scores(x), scores(x + step), classes=True)
    >>> direction = adversarial_direction(change, torch.tensor([[-1.0]]))
    >>> direction, change(direction)
    (tensor([[-1.]]), tensor([0.4545]))

    Reference: T. Miyato, S. Maeda, M. Koyama, S. Ishii, 2018, "Virtual adversarial training: a regularization method
    for supervised and semi-supervised learning", section 3.2, equations 5 to 8, and section 4 (entropy).
    """

    name: ClassVar[str] = "vat"
    after: ClassVar[tuple[str, ...]] = ("distillation",)  # which weighs the loss of the targets alone

    epsilon: float = 1.0
    weight: float = 1.0
    xi: float = 0.1
    iterations: int = 1
    entropy: float = 0.0
    kind: Literal["auto", "classes", "values"] = "auto"

    def __post_init__(self) -> None:
        require(self.epsilon > 0, "vat.epsilon", self.epsilon, "a number above 0, about how far unlike examples lie")
        require(self.weight >= 0, "vat.weight", self.weight, "a number from 0, usually 1")
        require(self.xi > 0, "vat.xi", self.xi, "a number above 0, usually a tenth of vat.epsilon")
        require(self.iterations >= 1, "vat.iterations", self.iterations, "a whole number from 1, usually 1")
        require(self.entropy >= 0, "vat.entropy", self.entropy, "a number from 0, usually 0 or 1")
        kinds = ("auto", "classes", "values")
        require(self.kind in kinds, "vat.kind", self.kind, "auto, classes or values")
        self.classes: bool | None = None
        self.starts: list[Tensor] = []

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.classes = None if self.kind == "auto" else self.kind == "classes"
        return model

    def batch(self, batch: Batch, step: Step) -> Batch:
        draw = step.generator(self.name)
        self.starts = [torch.randn(part.shape, generator=draw).to(part) for part in shown(batch)]
        return batch

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        parts, firsts = shown(step.batch), (step.first, step.first_of(UNLABELLED))
        starts = zip(self.starts, parts, firsts, strict=False)  # of what is beside, where it is
        cuts = [start[first : first + len(part)] for start, part, first in starts]
        if not isinstance(step.output, Tensor):
            raise UserError(f"vat came upon answers of {type(step.output).__name__}; allowed: a tensor.")
        if self.classes is None:
            self.classes = are_classes(step.batch.targets, step.output)
        if self.entropy and not self.classes:
            raise UserError(
                f"vat.entropy is {self.entropy} and the targets are values; allowed: 0, for they have none."
            )
        terms = self.terms(step.model, torch.cat(parts), torch.cat(cuts))
        return loss + step.mean(terms, sum(len(start) for start in self.starts))

    def terms(self, model: nn.Module, inputs: Tensor, start: Tensor) -> Tensor:
        """Say what each example adds to the loss, (N,): how far its answer can be turned, and how unsure it is."""
        classes = bool(self.classes)
        with resting(model):
            with torch.autocast(inputs.device.type, enabled=False):  # a small step is lost in bf16
                with torch.set_grad_enabled(self.entropy > 0):
                    answer = model(inputs)
                fixed = answer.detach()
                found = adversarial_direction(
                    lambda step: distance(fixed, model(inputs + step), classes), start, self.xi, self.iterations
                )
            turned = distance(fixed, model(inputs + self.epsilon * found), classes)
        unsure = self.entropy * per_example(entropy(answer)) if self.entropy else 0.0
        return self.weight * turned + unsure


def shown(batch: Batch) -> list[Tensor]:
    """List the inputs that are looked at, labelled and not; refuse what cannot be moved by a small step."""
    trees: list[Tree] = [batch.inputs, *([batch.beside[UNLABELLED]] if UNLABELLED in batch.beside else [])]
    for tree in trees:
        if not isinstance(tree, Tensor) or not tree.is_floating_point():
            came = str(tree.dtype).removeprefix("torch.") if isinstance(tree, Tensor) else type(tree).__name__
            raise UserError(f"vat came upon inputs of {came}; allowed: a tensor of floating-point numbers to be moved.")
    return trees
