"""Training in stages: in each of them other parameters train, at a rate of their own, from a fresh optimizer."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from locution.engine.compiled import Closure as Compiled
from locution.engine.method import Method, Optimizer, Plan
from locution.engine.modes import train_mode
from locution.errors import UserError, require
from locution.models.freezing import matching
from locution.optimizers.muon import MuonAndAdamW
from locution.optimizers.one_cycle import put
from locution.optimizers.wrapper import Closure, Wrapper

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A stage of training: which parameters train in it, for what share of the steps, at what highest rate.

    `train` is a pattern on the parameters' names, or several; `share` counts against those of the other stages; `lr`
    is the optimizer's own where none is given.

    >>> Stage("projector.*", share=2).lr is None
    True
    """

    train: str | tuple[str, ...] = "*"
    share: float = 1.0
    lr: float | None = None

    def __post_init__(self) -> None:
        require(bool(self.train), "stages.train", self.train, "a pattern on the parameters' names, such as projector.*")
        require(self.share > 0, "stages.share", self.share, "a number above 0")
        require(self.lr is None or self.lr > 0, "stages.lr", self.lr, "a number above 0, or null for the optimizer's")


def ends(shares: Sequence[float], steps: int) -> list[int]:
    """Divide steps among stages by their shares: the step before which each of them ends.

    >>> ends([2.0, 1.0, 1.0], 10)
    [5, 8, 10]
    """
    done = [sum(shares[: index + 1]) / sum(shares) for index in range(len(shares))]
    found = [round(steps * share + 1e-9) for share in done]
    if any(later <= before for before, later in zip([0, *found], found, strict=False)):
        raise UserError(f"{steps} steps leave no step to one of {len(shares)} stages; allowed: at least one for each.")
    return found


def stage_rate(step: int, steps: int, warmup: float, final: float) -> float:
    """Say what share of its highest rate a stage uses at a step: up in a line, then down along a cosine.

    >>> [round(stage_rate(step, 10, warmup=0.2, final=0.1), 2) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.13]
    """
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    done = min(1.0, (step - rise) / max(1, steps - rise))
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


class Staged(Wrapper):
    """An optimizer around an optimizer that lets only the parameters of the present stage learn.

    Between two steps everything counts as training, so that a checkpoint holds all that any stage has trained; within
    one the others are frozen, their dropout asleep. Where a stage begins, the optimizer forgets.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> _ = [weight.data.fill_(1.0) for weight in net.parameters()]
    >>> staged = Staged(torch.optim.SGD(net.parameters(), lr=0.1), net, [Stage("0.*"), Stage("1.*")], 2, warmup=0.0)
    >>> for _ in range(2):
    ...     _ = staged.step(lambda: net(torch.ones(1)).sum().backward())
    >>> [round(weight.item(), 2) for weight in net.parameters()]  # 1 - 0.1 x 1, then 1 - 0.1 x 0.9
    [0.9, 0.91]
    """

    def __init__(
        self,
        optimizer: Any,
        model: nn.Module,
        stages: Sequence[Stage],
        steps: int,
        warmup: float = 0.05,
        final: float = 0.1,
    ) -> None:
        super().__init__(optimizer)
        self.model, self.stages, self.warmup, self.final = model, list(stages), warmup, final
        self.ends = ends([stage.share for stage in stages], steps)
        self.count = self.stage = 0  # steps that are done, and the stage in which the last of them was
        self.own = [float(group["lr"]) for group in self.param_groups]
        self.rest: list[Tensor] = []
        self.asleep: list[nn.Module] | None = None
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.names = [names.get(id(parameter), "") for parameter in self.parameters()]

    def begin(self) -> None:
        """Find what rests in this stage: its parameters, and the modules that hold no others."""
        stage = self.stages[self.stage]
        chosen = set(matching(self.model, stage.train))
        together = list(zip(self.names, self.parameters(), strict=True))
        self.rest = [parameter for name, parameter in together if name not in chosen]
        if len(self.rest) == len(together):
            raise UserError(f"stage {self.stage + 1} trains nothing: '{stage.train}' matches frozen parameters only.")
        train_mode(self.model)
        resting = {id(parameter) for parameter in self.rest}
        self.asleep = []
        for module in self.model.modules():
            inside = [p for p in module.parameters() if p.requires_grad]
            if inside and all(id(p) in resting for p in inside):
                self.asleep += [part for part in module.modules() if part.training]
        log.info("stage %d of %d: %s trains", self.stage + 1, len(self.stages), stage.train)

    def forget(self) -> None:
        """Let the optimizer that moves the weights begin anew."""
        inner = self.optimizer
        while isinstance(inner, Wrapper):
            inner = inner.optimizer
        for part in inner.parts if isinstance(inner, MuonAndAdamW) else [inner]:
            part.state.clear()

    def set(self) -> None:
        """Enter the stage of the step that comes, if it is another, and set its rates."""
        stage = next(index for index, end in enumerate(self.ends) if self.count < end or end == self.ends[-1])
        if stage != self.stage:
            self.forget()
            self.stage, self.asleep = stage, None
        if self.asleep is None:
            self.begin()
        start = self.ends[stage - 1] if stage else 0
        factor = stage_rate(self.count - start, self.ends[stage] - start, self.warmup, self.final)
        peak = self.stages[stage].lr
        for group, own in zip(self.param_groups, self.own, strict=True):
            put(group, "lr", factor * (own if peak is None else peak))

    def step(self, closure: Closure | None = None) -> Any:
        """Step with this stage's parameters alone."""
        if closure is None or isinstance(closure, Compiled):
            raise UserError("stages changes from step to step what trains; allowed: step(closure), and compile=false.")
        self.set()
        for module in self.asleep or []:
            module.training = False

        def alone() -> Tensor:
            loss = closure()
            for parameter in self.rest:
                parameter.grad = None  # data parallel fills in zeros, with which momentum or decay would move it
            return loss

        for parameter in self.rest:
            parameter.requires_grad_(False)
        try:
            loss = self.optimizer.step(alone)
        finally:
            for parameter in self.rest:
                parameter.requires_grad_(True)
        self.count += 1
        return loss

    def own_state(self) -> dict[str, Any]:
        return {"count": self.count, "stage": self.stage}

    def load_own_state(self, state: dict[str, Any]) -> None:
        self.count, self.stage, self.asleep = int(state["count"]), int(state["stage"]), None


@dataclass
class StagesMethod(Method):
    """Training in stages lets one part of a model settle before another joins it, each at its own learning rate.

    Each stage names the parameters that train in it; all others are frozen meanwhile, and the optimizer begins anew.
    The rate rises over the first steps of a stage and falls along a cosine to its end.

    Settings
    --------
    plan: the stages in their order, such as [{train: projector.*, lr: 0.001}, {train: "*", share: 2}]; share divides
    the run's steps among them. warmup: the share of a stage's steps over which its rate rises. final: the share of it
    that is left at the stage's end.

    >>> StagesMethod(plan=(Stage("head.*"), Stage(share=3.0))).plan[1].train
    '*'

    Reference: J. Howard, S. Ruder, 2018, "Universal language model fine-tuning for text classification", section 3.3
    (gradual unfreezing).
    """

    name: ClassVar[str] = "stages"
    after: ClassVar[tuple[str, ...]] = ("lora", "sam")
    excludes: ClassVar[dict[str, str]] = {
        "one_cycle": "stages has a schedule for each stage: set stages.warmup and stages.final",
        "trapezoid": "stages has a schedule for each stage: set stages.warmup and stages.final",
        "lookahead": "it would pull what a stage keeps frozen to older weights",
    }

    plan: tuple[Stage, ...] = (Stage(),)
    warmup: float = 0.05
    final: float = 0.1

    def __post_init__(self) -> None:
        require(bool(self.plan), "stages.plan", self.plan, "a list of at least one stage")
        require(0 <= self.warmup < 1, "stages.warmup", self.warmup, "a share from 0 up to, not with, 1")
        require(0 <= self.final <= 1, "stages.final", self.final, "a share from 0 to 1")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self._model = model
        return model

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        if plan.steps is None:
            raise UserError(
                "stages.plan divides steps that nobody can count; allowed: steps=N, or epochs=N of known data."
            )
        return Staged(optimizer, self._model, self.plan, plan.steps, self.warmup, self.final)
