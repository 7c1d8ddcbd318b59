"""Gumbel-softmax: samples of a class that a gradient can pass through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require
from locution.models.surgery import lean_copy, replace_layers

TINY = torch.finfo(torch.float32).tiny


def gumbel_noise(shape: Sequence[int], draw: torch.Generator | None = None) -> Tensor:
    """Draw noise whose largest of several, added to logits, falls on each class as often as softmax says.

    It is -ln(-ln u), with u between 0 and 1.

    >>> noise = gumbel_noise((10_000,), torch.Generator().manual_seed(0))
    >>> abs(noise.mean().item() - 0.5772) < 0.05  # Euler's constant
    True
    """
    uniform = torch.rand(tuple(shape), generator=draw).clamp(min=TINY)
    return -(-uniform.log()).clamp(min=TINY).log()


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: float = 1.0, hard: bool = False) -> Tensor:
    """Gumbel-softmax draws a class at random in a way that a gradient can pass through: a soft sample, nearly one-hot.

    Parameters
    ----------
    logits: scores of the classes (..., C). noise: of the same shape, from `gumbel_noise`. temperature: the lower, the
    nearer to one-hot, and the wilder the gradient. hard: hand out the class itself, one-hot, with the gradient of the
    soft sample (straight-through).

    Returns samples (..., C) that sum to 1.

    >>> logits, noise = torch.zeros(2), torch.tensor([1.0, 0.0])
    >>> gumbel_softmax(logits, noise, 1.0), gumbel_softmax(logits, noise, 0.5)  # 1 / (1 + e^-1), 1 / (1 + e^-2)
    (tensor([0.7311, 0.2689]), tensor([0.8808, 0.1192]))
    >>> gumbel_softmax(logits, noise, 1.0, hard=True)
    tensor([1., 0.])

    Reference: E. Jang, S. Gu, B. Poole, 2017, "Categorical reparameterization with Gumbel-softmax", eq. 2 and section
    2.2 (straight-through).
    """
    soft = torch.softmax((logits + noise) / temperature, -1)  # (..., C)
    if not hard:
        return soft
    return one_hot_largest(soft) + (soft - soft.detach())


def one_hot_largest(scores: Tensor) -> Tensor:
    """Put 1 where each row is largest, 0 elsewhere: (..., C) -> (..., C).

    >>> one_hot_largest(torch.tensor([[0.2, 0.8], [3.0, 1.0]]))
    tensor([[0., 1.],
            [1., 0.]])
    """
    return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)


def temperature(share: float, start: float, lowest: float, until: float) -> float:
    """Cool from `start` to `lowest` by equal factors, until a share of training is over; from then on stay.

    >>> [round(temperature(share, 1.0, 0.25, 0.5), 3) for share in (0.0, 0.25, 0.5, 1.0)]
    [1.0, 0.5, 0.25, 0.25]

    Reference: E. Jang, S. Gu, B. Poole, 2017, "Categorical reparameterization with Gumbel-softmax", section 4.1: the
    larger of 0.5 and exp(-rt).
    """
    done = 1.0 if until <= 0 else min(1.0, share / until)
    return float(start * (lowest / start) ** done)


class Rows:
    """Where a layer finds its noise: drawn once a step for the whole batch, of which each pass takes its own rows."""

    def __init__(self, step: Step, stream: str) -> None:
        self.step, self.stream = step, stream
        self.drawn: tuple[Any, Tensor] | None = None

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # a copy of a layer draws the same; the engine behind the step is not copied

    def noise(self, shape: Sequence[int]) -> Tensor:
        """Give the noise of the examples that pass through now: (n, ...)."""
        step, (count, *rest) = self.step, shape
        size = max(len(step.whole), count)  # more pass through where a method asks about others
        key = (step.number, step.epoch, step.plan.seed, size, *rest)
        if self.drawn is None or self.drawn[0] != key:
            self.drawn = key, gumbel_noise((size, *rest), step.generator(self.stream))
        places = (step.first + torch.arange(count)) % size
        return self.drawn[1][places]


class GumbelSoftmax(nn.Module):
    """A Gumbel-softmax layer hands on a soft sample of a class while it trains, and the likeliest class afterwards.

    Shapes: logits (N, ..., C) in, samples of the same shape out; in evaluation the likeliest class, one-hot. `rows` is
    where noise comes from; without it, from torch's own generator.

    >>> layer = GumbelSoftmax(hard=True).train()
    >>> layer(torch.tensor([[-50.0, 50.0]])), layer.eval()(torch.tensor([[-1.0, 1.0]]))
    (tensor([[0., 1.]]), tensor([[0., 1.]]))

    Reference: E. Jang, S. Gu, B. Poole, 2017, "Categorical reparameterization with Gumbel-softmax", section 2.
    """

    def __init__(self, temperature: float = 1.0, hard: bool = False) -> None:
        super().__init__()
        require(temperature > 0, "temperature", temperature, "a number above 0, usually 0.5 to 1")
        self.temperature, self.hard = temperature, hard
        self.rows: Rows | None = None

    def forward(self, logits: Tensor) -> Tensor:
        if not self.training:
            return one_hot_largest(logits)
        noise = gumbel_noise(logits.shape) if self.rows is None else self.rows.noise(logits.shape)
        return gumbel_softmax(logits, noise.to(logits.device), self.temperature, self.hard)  # the noise is fp32


@dataclass
class GumbelSoftmaxMethod(Method):
    """Gumbel-softmax lets a model choose classes inside itself: a softmax layer hands on a random, nearly hard choice.

    A plain softmax hands on a blend of all classes, which tells more than one class could: what comes after it learns
    from the blend, and fails on a true choice. The temperature falls through training, so that samples come nearer to
    one-hot. Noise is drawn once a step for the whole batch: the same for all passes, micro-batches and processes.
    The model that leaves training has its softmax back.

    Settings
    --------
    start, lowest: the temperature at first and at last. until: the share of training after which it is at its lowest.
    hard: hand on the class itself, with the gradient of the soft sample (straight-through). layers: which softmax
    layers, by a pattern on their names, or several.

    Halfway to the lowest, by factors: 1, 0.707, 0.5.

    >>> [round(temperature(share, start=1.0, lowest=0.5, until=0.8), 3) for share in (0.0, 0.4, 0.8)]
    [1.0, 0.707, 0.5]

    Reference: E. Jang, S. Gu, B. Poole, 2017, "Categorical reparameterization with Gumbel-softmax", sections 2 and
    4.1; found at the same time by C. Maddison, A. Mnih, Y. W. Teh, 2017, "The concrete distribution".
    """

    name: ClassVar[str] = "gumbel_softmax"

    start: float = 1.0
    lowest: float = 0.5
    until: float = 0.8
    hard: bool = False
    layers: str | tuple[str, ...] = "*"

    def __post_init__(self) -> None:
        for setting in ("start", "lowest"):
            value = getattr(self, setting)
            require(value > 0, f"gumbel_softmax.{setting}", value, "a number above 0, usually 0.5 to 1")
        require(self.lowest <= self.start, "gumbel_softmax.lowest", self.lowest, f"at most start, {self.start:g}")
        require(0 <= self.until <= 1, "gumbel_softmax.until", self.until, "a share of training, from 0 to 1")
        require(bool(self.layers), "gumbel_softmax.layers", self.layers, "a pattern on the layers' names, such as *")
        self.sampled: list[GumbelSoftmax] = []

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        def make(name: str, layer: nn.Module) -> nn.Module:
            if getattr(layer, "dim", None) != -1:
                raise UserError(f"'gumbel_softmax' came upon a softmax at '{name}' over another axis; allowed: dim=-1.")
            return GumbelSoftmax(self.start, self.hard)

        if not any(isinstance(module, nn.Softmax) for module in model.modules()):
            raise UserError("'gumbel_softmax' came upon a model without a softmax layer; allowed: categorical_vae.")
        model = replace_layers(model, make, self.layers, (nn.Softmax,))
        self.sampled = [module for module in model.modules() if isinstance(module, GumbelSoftmax)]
        return model

    def batch(self, batch: Batch, step: Step) -> Batch:
        if step.plan.steps is None and self.lowest < self.start and self.until > 0:
            raise UserError(
                "'gumbel_softmax' cools through training, whose length nobody knows here; allowed: a number of steps, "
                "or gumbel_softmax.until=0."
            )
        share = 1.0 if step.plan.steps is None else step.number / step.plan.steps
        for number, layer in enumerate(self.sampled):
            layer.temperature = temperature(share, self.start, self.lowest, self.until)
            layer.rows = layer.rows or Rows(step, f"{self.name} {number}")
        return batch

    def trained(self, model: nn.Module) -> nn.Module:
        return replace_layers(lean_copy(model), lambda name, layer: nn.Softmax(-1), "*", (GumbelSoftmax,))
