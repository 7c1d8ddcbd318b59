"""Weight averaging: what leaves training is a mean of the weights along the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from locution.engine.method import Method, Optimizer, Plan, Step
from locution.engine.modes import batch_norms
from locution.errors import LocutionError, UserError, require, unknown
from locution.models.surgery import lean_copy

KINDS = ("ema", "mean")
BUFFERS = ("average", "copy")


def share(count: int, kind: str = "ema", decay: float = 0.999) -> float:
    """Say how much of the mean the newest weights make up, when `count` have gone into it before.

    "mean" counts all alike. "ema" (exponential moving average) forgets old ones: the newest make up 1 -
    decay, more at first, so that the mean does not hang on to where training began.

    >>> [share(n, "mean") for n in (0, 1, 3)]
    [1.0, 0.5, 0.25]
    >>> [round(share(n, "ema", 0.9), 2) for n in (0, 1, 10, 1000)]
    [1.0, 0.82, 0.45, 0.1]

    Reference: mean: Polyak, Juditsky, 1992, "Acceleration of stochastic approximation by averaging",
    equation 3.
    """
    if kind == "mean" or count == 0:
        return 1.0 / (count + 1)
    return 1.0 - min(decay, (1.0 + count) / (10.0 + count))


def tracked(model: nn.Module, buffers: str) -> dict[str, Tensor]:
    """Name what is averaged: the weights that train and, if asked for, the running statistics of batch
    norms."""
    found: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if buffers == "average":
        statistics = {id(b) for norm in batch_norms(model) for b in norm.buffers() if b.is_floating_point()}
        found |= {name: buffer for name, buffer in model.named_buffers() if id(buffer) in statistics}
    return found


class AveragedWeights:
    """AveragedWeights keeps a mean of a model's weights, and hands out a model that has it.

    Parameters
    ----------
    model: the model that trains. kind: "ema" or "mean". decay: how slowly "ema" forgets. buffers: "average"
    treats the running statistics of batch norms like weights, "copy" takes the last ones; `reestimate`
    measures them anew.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> average = AveragedWeights(net, kind="mean")
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = net.weight.data.fill_(value)
    ...     average.update()
    >>> average.apply(net).weight.item(), net.weight.item()
    (3.0, 6.0)
    """

    def __init__(self, model: nn.Module, kind: str = "ema", decay: float = 0.999, buffers: str = "average") -> None:
        check(kind, decay, buffers)
        self.kind, self.decay, self.buffers = kind, decay, buffers
        self.live = tracked(model, buffers)
        self.means: dict[str, Tensor] = {}
        self.count = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of this moment into the mean; call it after each step of the optimizer."""
        if not self.means:  # in fp32 at least: bf16 would lose a change of one in a thousand
            self.means = {
                name: t.detach().to(torch.promote_types(t.dtype, torch.float32), copy=True)
                for name, t in self.live.items()
            }
        else:
            means = list(self.means.values())
            now = [tensor.to(mean.dtype) for tensor, mean in zip(self.live.values(), means, strict=True)]
            torch._foreach_lerp_(means, now, share(self.count, self.kind, self.decay))
        self.count += 1

    @torch.no_grad()
    def apply(self, model: nn.Module) -> nn.Module:
        """Copy a model and give the copy the mean; frozen weights are shared, other buffers are the
        model's."""
        averaged = lean_copy(model)
        for name, tensor in tracked(averaged, self.buffers).items():
            if name in self.means:
                tensor.copy_(self.means[name])
        return averaged

    def state_dict(self) -> dict[str, Any]:
        """The means, and how many weights have gone into them."""
        return {"means": dict(self.means), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        means = state["means"]
        if means and {n: t.shape for n, t in means.items()} != {n: t.shape for n, t in self.live.items()}:
            raise LocutionError(
                "the averaged weights are of another model; allowed: those of the model that is trained."
            )
        self.means = {
            name: means[name].to(t.device, torch.promote_types(t.dtype, torch.float32), copy=True)
            for name, t in self.live.items()
            if means
        }
        self.count = int(state["count"])


def check(kind: str, decay: float, buffers: str) -> None:
    """Refuse settings that average nothing."""
    if kind not in KINDS:
        raise unknown("kind of averaging", kind, KINDS)
    if buffers not in BUFFERS:
        raise unknown("way with buffers in averaging", buffers, BUFFERS)
    require(0 <= decay < 1, "averaging.decay", decay, "a number from 0 to below 1, usually 0.999")


@dataclass
class AveragingMethod(Method):
    """Weight averaging hands out, instead of the last weights, a mean of the weights that training passed
    through.

    The last steps swing around a minimum; their mean lies nearer to its middle. Training itself does not
    notice.

    Settings
    --------
    kind: "ema" forgets old weights exponentially; "mean" counts all alike (Polyak averaging; stochastic
    weight averaging, SWA, with start=0.75). decay: how slowly "ema" forgets. start: the share of the steps
    after which averaging begins. every: steps between two weights that go in. buffers: "average" averages
    the running statistics of batch norms too, "copy" takes the last ones.

    Weights 1, 2 and 6 have the mean 3:

    >>> net, method = nn.Linear(1, 1, bias=False), AveragingMethod(kind="mean")
    >>> for number, value in enumerate((1.0, 2.0, 6.0)):
    ...     _ = net.weight.data.fill_(value)
    ...     method.update(net, Step(number, 0, Plan(), net))
    >>> method.trained(net).weight.item()
    3.0

    Reference: Polyak, Juditsky, 1992, "Acceleration of stochastic approximation by averaging", equation 3;
    SWA: Izmailov, Podoprikhin, Garipov, Vetrov, Wilson, 2018, "Averaging weights leads to wider optima and
    better generalization", algorithm 1.
    """

    name: ClassVar[str] = "averaging"

    kind: Literal["ema", "mean"] = "ema"
    decay: float = 0.999
    start: float = 0.0
    every: int = 1
    buffers: Literal["average", "copy"] = "average"

    def __post_init__(self) -> None:
        check(self.kind, self.decay, self.buffers)
        require(0 <= self.start < 1, "averaging.start", self.start, "a share of the steps, from 0 to below 1")
        require(self.every >= 1, "averaging.every", self.every, "a whole number from 1")
        self.average: AveragedWeights | None = None
        self.loaded: dict[str, Any] | None = None

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.average = self.loaded = None  # a new training begins
        return model

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        if self.start > 0 and plan.steps is None:
            raise UserError(f"averaging.start is {self.start}, a share of steps that nobody can count; allowed: 0.")
        return optimizer

    def update(self, model: nn.Module, step: Step) -> None:
        begin = int(self.start * (step.plan.steps or 0))
        if step.number >= begin and (step.number - begin) % self.every == 0:
            self.follow(model).update()

    def follow(self, model: nn.Module) -> AveragedWeights:
        """Begin to follow a model, from where a checkpoint left off if one was loaded."""
        if self.average is None:
            self.average = AveragedWeights(model, self.kind, self.decay, self.buffers)
            if self.loaded is not None:
                self.average.load_state_dict(self.loaded)
                self.loaded = None
        return self.average

    def trained(self, model: nn.Module) -> nn.Module:
        average = self.follow(model)
        return average.apply(model) if average.count else model

    def state_dict(self) -> dict[str, Any]:
        if self.average is not None:
            return self.average.state_dict()
        return self.loaded if self.loaded is not None else {"means": {}, "count": 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average, self.loaded = None, state_dict or None
