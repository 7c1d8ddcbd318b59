"""The trapezoid: a learning rate that rises, stays, and falls to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from locution.engine.method import Method, Optimizer, Plan
from locution.errors import UserError, require
from locution.optimizers.wrapper import Closure, Wrapper


def trapezoid(step: int, steps: int, warmup: int, decay: float) -> float:
    """The trapezoid schedule raises the step size evenly, keeps it level, and lowers it evenly to nothing.

    step: from 0; steps: of the whole training; warmup: steps of the rise; decay: share of the steps that
    fall. Returns the factor of the step size.

    >>> [round(trapezoid(step, 10, 2, 0.4), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]

    Reference: Hägele et al., 2024, "Scaling laws and compute-optimal training beyond fixed training
    durations", 3.
    """
    rise = (step + 1) / warmup if step < warmup else 1.0
    fall = (steps - step) / (decay * steps) if decay else 1.0
    return max(0.0, min(1.0, rise, fall))


class Trapezoid(Wrapper):
    """An optimizer around an optimizer that sets its learning rates by the trapezoid before each step.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    >>> wrapped = Trapezoid(sgd, steps=10, warmup=2)
    >>> _ = wrapped.step(lambda: torch.tensor(0.0))
    >>> wrapped.param_groups[0]["lr"]
    0.05
    """

    def __init__(self, optimizer: Any, steps: int, warmup: int = 100, decay: float = 0.3) -> None:
        super().__init__(optimizer)
        self.steps, self.warmup, self.decay, self.number = steps, warmup, decay, 0
        self.peaks = [float(group["lr"]) for group in self.param_groups]

    def step(self, closure: Closure | None = None) -> Any:
        """Set the learning rates, then take the step."""
        factor = trapezoid(self.number, self.steps, self.warmup, self.decay)
        for group, peak in zip(self.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        loss = super().step(closure)
        self.number += 1  # now: a step that did not fit into memory is taken again
        return loss

    def lasts(self, steps: int) -> None:
        """Stretch over so many steps."""
        self.steps = steps
        super().lasts(steps)

    def own_state(self) -> dict[str, Any]:
        """The step's number, and the learning rates at the top."""
        return {"number": self.number, "peaks": self.peaks}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Take back what `own_state` gave."""
        self.number, self.peaks = int(state["number"]), list(state["peaks"])


@dataclass
class TrapezoidMethod(Method):
    """The trapezoid schedule as a method: warm up for some steps, stay level, fall to nothing over the last
    share.

    >>> TrapezoidMethod(warmup=10, decay=0.2)
    TrapezoidMethod(warmup=10, decay=0.2)

    Reference: Hägele et al., 2024, "Scaling laws and compute-optimal training beyond fixed training
    durations", section 3.
    """

    name: ClassVar[str] = "trapezoid"
    warmup: int = 100
    decay: float = 0.3

    def __post_init__(self) -> None:
        require(self.warmup >= 0, "trapezoid.warmup", self.warmup, "a whole number from 0")
        require(0 <= self.decay <= 1, "trapezoid.decay", self.decay, "a share from 0 to 1")

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        """Wrap the optimizer of a turn; the number of steps must be known."""
        if plan.steps is None:
            raise UserError(
                "'trapezoid' must know how long training lasts; give steps, or epochs of a known length."
            )
        return Trapezoid(optimizer, plan.steps, self.warmup, self.decay)
