"""The reference: what the model thought of all answers, and how it answered itself, before it learnt preferences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.preferences import Pairs
from locution.engine.observer import Observer, Record
from locution.losses.preferences import BETTER, DPO, WORSE, RewardLoss
from locution.models.asleep import asleep
from locution.tasks.answering import answers

if TYPE_CHECKING:
    from locution.engine.loop import Engine

AT_ONCE = 32  # pairs that are judged side by side


def judged(model: nn.Module, objective: DPO | RewardLoss, inputs: Any) -> Tensor:
    """Say what a model thinks of both answers of each pair: (N, 2), on the processor."""
    device = next(model.parameters()).device
    parts = []
    with asleep(model):
        for at in range(0, len(inputs["tokens"]), AT_ONCE):
            some = {name: both[at : at + AT_ONCE].to(device) for name, both in inputs.items()}
            parts.append(objective.judged(model, some).cpu())
    return torch.cat(parts)


@dataclass
class Reference(Observer):
    """Asks the model once, where training begins, what it thinks of all answers; that is what it is measured from.

    The model itself need not be kept beside the one that learns: what it said is in the checkpoint, so that a run that
    goes on measures from the same. With `drawn`, the answers that it gave itself to the questions of the test are kept
    as well.
    """

    data: Dataset
    objective: DPO | RewardLoss
    drawn: bool = True
    name: ClassVar[str] = "reference"
    kept: dict[str, Tensor] = field(default_factory=dict, init=False)

    def start(self, engine: Engine) -> None:
        """Ask, unless a checkpoint knows, and tell the batches."""
        pairs, data = self.data.train, self.data
        assert isinstance(pairs, Pairs)
        if not self.kept:
            held = {"train": pairs, "development": data.development, "test": data.test}
            self.kept = {
                name: judged(engine.model, self.objective, part.inputs)
                for name, part in held.items()
                if part is not None
            }
            if self.drawn:
                with asleep(engine.model):
                    self.kept["answers"] = answers(engine.model, data)
        pairs.reference = self.kept["train"]

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """Say how far the preferred answers of the development pairs are ahead, and how often."""
        if self.data.development is None:
            return {}
        found = judged(model, self.objective, self.data.development.inputs)
        ahead = margins(self.objective.rewards(found, self.kept["development"]))
        return {"margin": float(ahead.mean()), "preferred": float((ahead > 0).float().mean())}

    def state_dict(self) -> dict[str, Any]:
        """What the model said where training began."""
        return {"kept": dict(self.kept)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.kept = dict(state_dict["kept"])


def margins(rewards: Tensor) -> Tensor:
    """The margin says by how much the reward of the preferred answer is above that of the other: (N, 2) -> (N,).

    >>> margins(torch.tensor([[3.0, 1.0], [0.0, 1.0]]))
    tensor([ 2., -1.])

    Reference: R. Rafailov et al., 2023, "Direct preference optimization", section 4.
    """
    return rewards[:, BETTER] - rewards[:, WORSE]
