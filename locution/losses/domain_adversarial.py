"""Domain-adversarial training: learn features that do not tell where an example comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from locution.engine.batch import examples
from locution.engine.method import Method, Plan, Step
from locution.engine.random import generator
from locution.errors import UserError, require
from locution.losses.coral import SURGERY, other_domain
from locution.models.features import features_of, overhear, unheard


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Gradient reversal hands its input on as it is, and its gradient back with the sign turned round.

    What comes after it learns to lower a loss; what comes before it learns to raise the same loss.

    >>> import torch
    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> y = reverse_gradient(x, strength=0.5)
    >>> y.item(), torch.autograd.grad(y, x)[0].item()
    (3.0, -0.5)

    Reference: Y. Ganin et al., 2016, "Domain-adversarial training of neural networks", section 4.2 (the
    gradient reversal layer).
    """
    still = x.detach()
    return still - strength * (x - still)  # the bracket is zero: the value stays to the bit


def strength_at(progress: float, gamma: float = 10.0) -> float:
    """Say how strong the reversal is after a share of training: none at first, nearly 1 in the end.

    >>> [round(strength_at(share), 3) for share in (0.0, 0.1, 0.5, 1.0)]
    [0.0, 0.462, 0.987, 1.0]

    Reference: Y. Ganin et al., 2016, "Domain-adversarial training of neural networks", section 5.2.2.
    """
    return 2 / (1 + math.exp(-gamma * progress)) - 1


def domain_classifier(inputs: int, width: int, draw: Generator) -> nn.Sequential:
    """Make a small network that says by its score which of two domains features are from.

    >>> domain_classifier(4, 3, Generator().manual_seed(0))
    Sequential( (0): Linear(in_features=4, out_features=3, ...) (1): ReLU() (2): Linear(in_features=3, ...) )
    """
    layers: list[nn.Module] = []
    for before, after in ((inputs, width), (width, 1)):
        layer = nn.Linear(before, after, device="meta").to_empty(device="cpu")  # torch's own generator is left alone
        for parameter in (layer.weight, layer.bias):
            nn.init.uniform_(parameter, -(before**-0.5), before**-0.5, generator=draw)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def domain_losses(scores: Tensor, target: bool) -> Tensor:
    """The domain loss is the surprise of the domain classifier at where an example really comes from.

    scores (N,), above zero for the target domain. Gives a loss an example (N,).

    >>> import torch
    >>> domain_losses(torch.tensor([0.0, 2.0]), target=True)  # ln 2, and ln(1 + e^-2)
    tensor([0.6931, 0.1269])

    Reference: Y. Ganin et al., 2016, "Domain-adversarial training of neural networks", section 4.1.
    """
    return softplus(-scores.float() if target else scores.float())


@dataclass
class DANNMethod(Method):
    """Domain-adversarial training (DANN) learns features that serve the task and do not tell which domain they are of.

    A small network beside the last layer learns to tell the features of the labelled examples from those that come
    beside the batch as "target", without labels; the gradient that it sends down is reversed, so that the features
    become such that it cannot. What is learnt from the one domain then holds for the other. The small network learns
    at full strength from the first step on, and is gone from what leaves training. Batch norm sees each domain by
    itself, and its running statistics follow both. Beside coral both must be weak: together they match domains too hard
    and mix up classes.

    Settings
    --------
    weight: how strong the reversal is in the end. gamma: how fast it grows to that from zero; null for full strength
    from the start, which also does without a known number of steps. features: the layer whose input is compared, by
    its name; the last if it is not given; of pictures and sequences it is the mean over their places. width: of the
    hidden layer of the small network.

    The domain loss of a score of 0 is ln 2; turned round by half it pushes features the other way:

    >>> import torch
    >>> x = torch.tensor([0.0], requires_grad=True)
    >>> torch.autograd.grad(domain_losses(reverse_gradient(x, 0.5), target=True).sum(), x)[0]  # -0.5 x -0.5
    tensor([0.2500])

    Reference: Y. Ganin et al., 2016, "Domain-adversarial training of neural networks", sections 4.2 and
    5.2.2.
    """

    name: ClassVar[str] = "dann"
    after: ClassVar[tuple[str, ...]] = ("coral", "distillation", *SURGERY)

    weight: float = 1.0
    gamma: float | None = 10.0
    features: str = ""
    width: int = 64

    def __post_init__(self) -> None:
        require(self.weight > 0, "dann.weight", self.weight, "a number above 0, usually 0.1 to 1")
        gamma = self.gamma
        require(gamma is None or gamma > 0, "dann.gamma", gamma, "a number above 0, usually 10, or null")
        require(self.width >= 1, "dann.width", self.width, "a whole number from 1, usually 64")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        model, self.heard = overhear(model, self.name, self.features)
        weight = self.heard.weight  # (out, in, ...)
        head = domain_classifier(weight.shape[1], self.width, generator(plan.seed, self.name))
        self.heard.beside = head.to(weight.device)
        return model

    def strength(self, step: Step) -> float:
        """Say how strong the reversal is at a step."""
        if self.gamma is None:
            return self.weight
        if step.plan.steps is None:
            raise UserError("dann.gamma needs to know how long training lasts; allowed: steps=N, or dann.gamma=null.")
        return self.weight * strength_at(min(1.0, step.number / step.plan.steps), self.gamma)

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        count, strength = examples(other_domain(self.name, step)), self.strength(step)
        loss = loss + step.mean(self.losses(self.heard.take(), strength, target=False), len(step.whole))
        inputs = step.batch.beside["target"]
        if not examples(inputs):
            return loss  # this micro-batch brings none
        features = features_of(step.model, inputs, self.heard)
        return loss + step.mean(self.losses(features, strength, target=True), count)

    def losses(self, features: Tensor, strength: float, target: bool) -> Tensor:
        """Let the small network judge features (N, d), their gradient turned round."""
        assert self.heard.beside is not None
        scores: Tensor = self.heard.beside(reverse_gradient(features, strength))  # (N, 1)
        return domain_losses(scores.squeeze(1), target)

    def trained(self, model: nn.Module) -> nn.Module:
        return unheard(model)
