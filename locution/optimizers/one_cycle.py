"""The one-cycle policy: the learning rate rises once and falls once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from locution.engine.method import Method, Optimizer, Plan
from locution.errors import UserError, require, unknown
from locution.optimizers.wrapper import Closure, Wrapper

ANNEALS = ("cos", "linear")


def anneal(start: float, end: float, share: float, shape: str = "cos") -> float:
    """Go from one number to another, a share of the way, along half a cosine or a line.

    >>> anneal(1.0, 3.0, 0.5), anneal(1.0, 3.0, 0.25, "linear")
    (2.0, 1.5)
    """
    if shape == "linear":
        return (end - start) * share + start
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def one_cycle(
    step: int,
    total: int,
    low: float,
    high: float,
    end: float,
    pct_start: float = 0.3,
    shape: str = "cos",
    three_phase: bool = False,
) -> float:
    """Say what a number that rises from low to high and falls to end is at a step of a cycle.

    Steps count from 0 to total - 1, `pct_start` is the share of them that rises; past the last, it stays at
    the end. With `three_phase` it falls back to low as long as it has risen, and from there to the end. Give the
    momentum's high and low the other way round: it falls while the learning rate rises.

    >>> [round(one_cycle(n, 11, 0.001, 0.01, 0.001, pct_start=0.55, shape="linear"), 4) for n in (0, 5, 10)]
    [0.001, 0.0099, 0.001]

    Reference: Smith, Topin, 2018, "Super-convergence: very fast training of neural networks using large
    learning rates", section 4; cosine shape and defaults as in torch.optim.lr_scheduler.OneCycleLR.
    """
    last, peak = float(total - 1), pct_start * total - 1.0
    now = min(float(step), last)
    if now <= peak:
        return anneal(low, high, now / peak if peak > 0 else 1.0, shape)
    if not three_phase:
        return anneal(high, end, (now - peak) / (last - peak), shape)
    if now <= 2 * peak:
        return anneal(high, low, (now - peak) / peak, shape)
    return anneal(low, end, (now - 2 * peak) / (last - 2 * peak), shape)


class OneCycle(Wrapper):
    """OneCycle sets the learning rate before each step of an optimizer, and its momentum the opposite way.

    Parameters
    ----------
    optimizer: any optimizer with a learning rate. total_steps: how long the cycle lasts. max_lr: the
    highest rate; the optimizer's own, group by group, if it is not given. pct_start: the share of the steps
    that rises. div: highest over first rate. final_div: first over last rate. shape: "cos" or "linear".
    cycle_momentum: move the momentum (or Adam's first beta) from max_momentum to base_momentum and back;
    plain SGD, which has none, keeps none. three_phase: fall back to the first rate as long as it has risen, then lower.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.01)
    >>> optimizer = OneCycle(sgd, 10, div=10, final_div=1)
    >>> rates = []
    >>> for _ in range(10):
    ...     optimizer.step()
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 4))
    >>> rates[0], rates[2], rates[9]
    (0.001, 0.01, 0.001)
    """

    def __init__(
        self,
        optimizer: Any,
        total_steps: int,
        max_lr: float | None = None,
        pct_start: float = 0.3,
        div: float = 25.0,
        final_div: float = 1e4,
        shape: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        three_phase: bool = False,
    ) -> None:
        require(total_steps >= 1, "one_cycle.total_steps", total_steps, "a whole number from 1")
        self.cycle = OneCycleMethod(
            max_lr, pct_start, div, final_div, shape, cycle_momentum, base_momentum, max_momentum, three_phase
        )
        super().__init__(optimizer)
        self.total, self.count = total_steps, 0
        self.peaks = [float(group["lr"]) if max_lr is None else max_lr for group in optimizer.param_groups]
        self.set()

    def set(self) -> None:
        """Set the rates and momenta of the step that comes."""
        cycle = self.cycle
        momentum = self.at(cycle.max_momentum, cycle.base_momentum, cycle.max_momentum)
        for group, peak in zip(self.param_groups, self.peaks, strict=True):
            low = peak / cycle.div
            put(group, "lr", self.at(low, peak, low / cycle.final_div))
            if cycle.cycle_momentum and "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif cycle.cycle_momentum and group.get("momentum"):
                put(group, "momentum", momentum)

    def at(self, low: float, high: float, end: float) -> float:
        """Say what a number is at the step that comes."""
        cycle = self.cycle
        return one_cycle(self.count, self.total, low, high, end, cycle.pct_start, cycle.shape, cycle.three_phase)

    def step(self, closure: Closure | None = None) -> Any:
        """Step with this moment's rate and momentum; they stay readable in the groups until the next step."""
        self.set()
        loss = self.optimizer.step(closure)
        self.count += 1
        return loss

    def lasts(self, steps: int) -> None:
        self.total = steps
        super().lasts(steps)

    def own_state(self) -> dict[str, Any]:
        return {"count": self.count, "peaks": list(self.peaks)}

    def load_own_state(self, state: dict[str, Any]) -> None:
        self.count, self.peaks = int(state["count"]), [float(peak) for peak in state["peaks"]]


def put(group: dict[str, Any], key: str, value: float) -> None:
    """Set a number of a group, in place where it is a tensor, so that a compiled step sees it."""
    if isinstance(group[key], Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


@dataclass
class OneCycleMethod(Method):
    """The one-cycle policy starts with a low learning rate, rises to a high one, and falls to almost
    nothing at the end.

    The momentum goes the opposite way. The high middle crosses the landscape fast and skips narrow minima;
    the low end settles. It needs to know how many steps training lasts.

    Settings
    --------
    max_lr: the highest rate; the optimizer's own if it is not given. pct_start: the share of the steps that
    rises. div: highest over first rate. final_div: first over last rate. shape: "cos" or "linear".
    cycle_momentum: move momentum (Adam's first beta) from max_momentum to base_momentum and back.
    three_phase: fall from the highest rate to the first in as many steps as it rose, and lower in those that are left.

    From 0.001 to 0.01 and back in 10 steps:

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.01)
    >>> optimizer = OneCycleMethod(div=10, final_div=1).optimizer(sgd, Plan(steps=10))
    >>> rates = []
    >>> for _ in range(10):
    ...     optimizer.step(None)
    ...     rates.append(round(sgd.param_groups[0]["lr"], 4))
    >>> rates[0], max(rates), rates[-1]
    (0.001, 0.01, 0.001)

    Reference: Smith, 2018, "A disciplined approach to neural network hyper-parameters: part 1", section 4;
    Smith, Topin, 2018, "Super-convergence: very fast training of neural networks using large learning
    rates".
    """

    name: ClassVar[str] = "one_cycle"
    after: ClassVar[tuple[str, ...]] = ("sam", "lookahead")
    excludes: ClassVar[dict[str, str]] = {"trapezoid": "both set the learning rate: keep one of them"}

    max_lr: float | None = None
    pct_start: float = 0.3
    div: float = 25.0
    final_div: float = 1e4
    shape: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = True
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    three_phase: bool = False

    def __post_init__(self) -> None:
        peak, share = self.max_lr, self.pct_start
        require(
            peak is None or peak > 0,
            "one_cycle.max_lr",
            peak,
            "a number above 0, or null for the optimizer's own",
        )
        require(0 < share < 1, "one_cycle.pct_start", share, "a number between 0 and 1, usually 0.3")
        fits = share <= 0.5 or not self.three_phase  # to rise and to fall again
        require(fits, "one_cycle.pct_start", share, "a number up to 0.5 with three_phase, usually 0.3")
        require(self.div >= 1, "one_cycle.div", self.div, "a number from 1, usually 25")
        require(self.final_div > 0, "one_cycle.final_div", self.final_div, "a number above 0, usually 10000")
        for name in ("base_momentum", "max_momentum"):
            require(
                0 <= getattr(self, name) < 1,
                f"one_cycle.{name}",
                getattr(self, name),
                "a number from 0 to below 1",
            )
        if self.shape not in ANNEALS:
            raise unknown("shape of one_cycle", self.shape, ANNEALS)

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        if plan.steps is None:
            raise UserError("one_cycle.steps is unknown; allowed: steps=N, or epochs=N on data whose length is known.")
        return OneCycle(optimizer, plan.steps, **vars(self))
