"""What watches a policy while it learns: how well the episodes go that it learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from locution.data.episodes import Rollouts
from locution.engine.observer import Observer, Record

if TYPE_CHECKING:
    from locution.engine.loop import Engine


@dataclass
class Acting(Observer):
    """Tells the source of batches who acts, measures the mean return of each rollout, and holds what was tried.

    The mean return is over the episodes that came to an end in the rollout; where none did, there is none.
    """

    rollouts: Rollouts
    name: ClassVar[str] = "acting"
    samples: list[int] = field(default_factory=list, init=False)
    returns: list[float] = field(default_factory=list, init=False)

    def start(self, engine: Engine) -> None:
        """Once everything is built: the model that trains is the one that acts."""
        self.rollouts.model = engine.model

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """Say how the episodes of the last rollout went."""
        finished = self.rollouts.finished
        if not len(finished):
            return {}
        self.samples.append((self.rollouts.number + 1) * len(self.rollouts))
        self.returns.append(float(finished.mean()))
        return {"return": self.returns[-1]}

    def state_dict(self) -> dict[str, Any]:
        """What was tried, and how it went so far."""
        return {"samples": list(self.samples), "returns": list(self.returns), "rollout": self.rollouts.kept()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.samples, self.returns = list(state_dict["samples"]), list(state_dict["returns"])
        self.rollouts.take_back(state_dict["rollout"])
