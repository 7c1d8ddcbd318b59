"""The contract of an observer: it watches training and may ask it to stop, and touches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from locution.engine.method import Step

if TYPE_CHECKING:
    from locution.engine.loop import Engine


@dataclass(frozen=True)
class Stop:
    """The wish of an observer that training end after this step, and why."""

    reason: str


@dataclass(frozen=True)
class Record:
    """What a moment of training looked like.

    `kind` is "step" or "epoch"; `step` and `epoch` count what is finished; `loss` is the mean over the examples of
    the last step (kind "step") or of the epoch so far (kind "epoch"); `seconds` have passed since the start.
    `values` holds what observers measured, by name, for instance "gradient_norm" or "development_loss".
    """

    kind: str
    step: int
    epoch: int
    loss: float
    learning_rate: float
    examples: int
    seconds: float
    values: Mapping[str, float] = field(default_factory=dict)


class Observer:
    """An observer only watches: a progress bar, a tracker, a checkpoint, a question such as "is it listening?".

    It never touches a batch, a loss or a weight: with any observers the final weights are the same to the bit.
    """

    name: ClassVar[str] = ""

    def start(self, engine: Engine) -> None:
        """Once, when everything is built and, if the run was resumed, loaded."""

    def gradient(self, model: nn.Module, step: Step) -> Mapping[str, float]:
        """At steps that are logged, after the backward pass and before any method corrects the gradients: measure."""
        return {}

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """At the end of each epoch (or each `measure_every` steps), with the model in eval mode: measure."""
        return {}

    def watch(self, record: Record) -> Stop | None:
        """At every record, complete with all that was measured: look at it, and perhaps ask to stop."""
        return None

    def finish(self, record: Record, reason: str) -> None:
        """Once, at the end: the last record, and why training ended."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold for this observer to go on."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
