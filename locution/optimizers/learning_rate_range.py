"""The learning-rate range test: which learning rates learn, found in one short training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from locution.engine import Batch, Engine, Method, Observer, Optimizer, Plan, Record, Step, Stop, Turn
from locution.errors import LocutionError, UserError, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RangeTest:
    """What a range test found: the rates that were tried, the loss at each, and the rate it suggests."""

    rates: list[float]
    losses: list[float]
    smooth: list[float]
    suggestion: float

    def draw(self, path: str | Path | None = None) -> Figure:
        """Draw loss against learning rate; write it where `path` says."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.rates, self.losses, color="0.75", linewidth=1, label="loss of each step")
        axes.plot(self.rates, self.smooth, color="C0", label="smoothed")
        axes.axvline(self.suggestion, color="C1", linestyle="--", label=f"suggested: {self.suggestion:.2g}")
        axes.set_xscale("log")
        low, high = min(self.smooth), self.smooth[0]
        room = abs(high - low) or 1.0
        axes.set_ylim(low - 0.1 * room, high + 0.6 * room)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend(fontsize=9)
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure


def rate_at(step: int, steps: int, lowest: float, highest: float) -> float:
    """Raise the rate by the same factor each step, from the lowest to the highest.

    >>> [rate_at(step, 5, 0.001, 10.0) for step in range(5)]
    [0.001, 0.01, 0.1, 1.0, 10.0]
    """
    factor: float = (highest / lowest) ** (step / max(1, steps - 1))
    return lowest * factor


def smoothed(losses: list[float], reach: int = 4) -> list[float]:
    """Average each loss with its neighbours, up to `reach` on either side, so that the curve is not moved.

    Losses above twice the first count as twice the first: an explosion does not hide what came before it.

    >>> smoothed([1.0, 1.0, 4.0], reach=1)  # 4 counts as 2
    [1.0, 1.33, 1.5]
    """
    cut = [min(loss, losses[0] + abs(losses[0])) for loss in losses]
    windows = [cut[max(0, i - reach) : i + reach + 1] for i in range(len(cut))]
    return [sum(window) / len(window) for window in windows]


def suggest(rates: list[float], losses: list[float]) -> float:
    """Suggest a rate: where the loss falls fastest, or a tenth of where it is lowest, whichever is less.

    Next to the lowest point is the cliff, and on a short test the steepest place is often next to it too.

    >>> suggest([0.001, 0.01, 0.1, 1.0, 10.0], [2.0, 1.0, 0.9, 0.8, 5.0])  # half way from 0.001 to 0.01
    0.00316
    >>> suggest([0.001, 0.01, 0.1, 1.0, 10.0], [2.0, 1.9, 1.8, 0.8, 5.0])  # a tenth of 1
    0.1
    """
    lowest = min(range(len(losses)), key=losses.__getitem__)
    if lowest == 0:
        return rates[0]
    drop = [losses[i] - losses[i + 1] for i in range(lowest)]
    fastest = max(range(lowest), key=drop.__getitem__)
    return min(float((rates[fastest] * rates[fastest + 1]) ** 0.5), rates[lowest] / 10)


@dataclass
class _Ramp(Method):
    """Sets the rate of each step before it is taken."""

    lowest: float
    highest: float
    steps: int
    groups: list[dict[str, Any]] = field(default_factory=list)
    name: ClassVar[str] = "learning_rate_range"

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        self.groups += optimizer.param_groups
        return optimizer

    def batch(self, batch: Batch, step: Step) -> Batch:
        for group in self.groups:
            group["lr"] = rate_at(step.number, self.steps, self.lowest, self.highest)
        return batch


@dataclass
class _Losses(Observer):
    """Notes the loss of each step, and stops when three in a row are above twice the first."""

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    name: ClassVar[str] = "learning_rate_range"

    def watch(self, record: Record) -> Stop | None:
        if record.kind != "step":
            return None
        self.rates.append(record.learning_rate)
        self.losses.append(record.loss)
        gone = min(self.losses[-3:]) > self.losses[0] + abs(self.losses[0])
        return Stop("the loss exploded") if gone else None


def learning_rate_range(
    model: nn.Module,
    objective: Callable[[nn.Module, Batch], tuple[Any, torch.Tensor]],
    optimizer: Callable[[list[nn.Parameter]], Any],
    batches: Any,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    seed: int = 0,
    device: str = "auto",
) -> RangeTest:
    """A learning-rate range test raises the rate at each step and watches where the loss falls and where it
    explodes.

    Parameters
    ----------
    model: stays as it is; a copy is trained. objective, optimizer, batches: as the engine takes them. lowest,
    highest: the first and last rate. steps: how many rates are tried; fewer where the loss explodes before.

    The suggestion is where the loss fell fastest, or a tenth of where it was lowest, whichever is less: a
    rate to start from, or the top of a one-cycle schedule.

    >>> from functools import partial
    >>> x = torch.arange(5.0)[:, None]
    >>> def mse(model, batch):
    ...     return None, ((model(batch.inputs) - batch.targets) ** 2).mean()
    >>> _ = torch.manual_seed(0)
    >>> found = learning_rate_range(nn.Linear(1, 1), mse, partial(torch.optim.SGD, lr=1), [(x, 2 * x + 1)])
    >>> 0.001 < found.suggestion < 0.149  # above 0.149 gradient descent on this line diverges
    True

    Reference: L. Smith, 2017, "Cyclical learning rates for training neural networks", section 3.3.
    """
    require(0 < lowest < highest, "lowest", lowest, f"a number above 0 and below highest, {highest}")
    require(steps >= 5, "steps", steps, "a whole number from 5, usually 100")
    watcher = _Losses()
    engine = Engine(
        copy.deepcopy(model),
        Turn(objective, optimizer),
        [_Ramp(lowest, highest, steps)],
        observers=[watcher],
        seed=seed,
        device=device,
        log_every=1,
    )
    try:
        engine.fit(batches, steps=steps)
    except LocutionError as error:
        if isinstance(error, UserError) or len(watcher.losses) < 5:
            raise
        # otherwise the loss became infinite: the test is over, and what it noted holds
    smooth = smoothed(watcher.losses)
    return RangeTest(watcher.rates, watcher.losses, smooth, suggest(watcher.rates, smooth))
