"""Elastic weight consolidation: weights that earlier tasks depend on are held, those that they do not are free."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from locution.engine import Method, Plan, Step, TaskSequence
from locution.engine.batch import Batch
from locution.errors import require
from locution.losses.fisher import fisher_information

log = logging.getLogger(__name__)
Tensors = dict[str, Tensor]


def elastic_penalty(
    weights: Mapping[str, Tensor], importance: Mapping[str, Tensor], centre: Mapping[str, Tensor]
) -> Tensor:
    """Hold weights to where they were, each by a spring as strong as the weight is important: half the sum of
    importance times squared distance.

    >>> one = {"w": torch.tensor([1.0, 5.0])}
    >>> elastic_penalty(one, {"w": torch.tensor([2.0, 0.0])}, {"w": torch.tensor([0.0, 0.0])})
    tensor(1.)

    Reference: J. Kirkpatrick et al., 2017, "Overcoming catastrophic forgetting in neural networks", equation 3.
    """
    parts = [(importance[name] * (weights[name] - centre[name]).square()).sum() for name in importance]
    return torch.stack(parts).sum() / 2


def joined_springs(importance: Tensor, centre: Tensor, other: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Put two springs on each weight together into one: of both strengths, centred between, with what stays stretched.

    The sum of the penalties of all tasks is so kept in the room of one: F (w - a)^2 / 2 + G (w - b)^2 / 2 is
    (F + G) (w - c)^2 / 2 and a number that no weight changes.

    >>> one, at, rest = joined_springs(*[torch.tensor(v) for v in (1.0, 0.0, 3.0, 4.0)])
    >>> one, at, rest  # 1 w^2 / 2 + 3 (w - 4)^2 / 2
    (tensor(4.), tensor(3.), tensor(6.))

    Reference: F. Huszar, 2018, "Note on the quadratic penalties in elastic weight consolidation", equation 1.
    """
    both = importance + other
    known = torch.where(both > 0, both, torch.ones_like(both))
    middle = torch.where(both > 0, centre + (weights - centre) * (other / known), weights)
    rest = (importance * other / known * (weights - centre).square()).sum() / 2
    return both, middle, rest


@dataclass
class EWCMethod(Method):
    """Elastic weight consolidation (EWC) lets a model learn a new task while it holds the weights that earlier tasks
    depend on.

    At the end of each task the Fisher information says how much its answers depend on each weight. From then on
    strength / 2 x information x (weight - where it was)^2 is added to the loss, summed over the weights.

    Settings
    --------
    strength: the lambda of the paper, how much remembering counts beside learning; the loss and the information are
    means over the examples. Under SGD the springs overshoot where strength x information x learning rate comes to 2;
    Adam bounds its steps. tasks: "sum" keeps a spring to the weights at the end of each task; "online" keeps only
    one, to the weights at the end of the last task, with the information of all. decay: by how much "online" lets the
    information of earlier tasks fade at each new one; 1 keeps it whole. information: "exact" asks for the model's own
    answers, "empirical" for the targets. examples: how many it is measured on, 0 for all.

    >>> from locution.engine import TensorBatches
    >>> coin = nn.Linear(1, 2, bias=False)
    >>> _ = coin.weight.data.zero_()
    >>> method = EWCMethod(strength=10.0)
    >>> method.finish(coin, None, [Batch(torch.tensor([[2.0]]), torch.tensor([0]))])  # the information is 1, 1
    >>> _ = coin.weight.data.fill_(0.3)
    >>> method.loss(torch.tensor(0.0), Step(0, 0, Plan(), coin)).item()  # 10 / 2 x (0.09 + 0.09)
    0.9

    Reference: J. Kirkpatrick et al., 2017, "Overcoming catastrophic forgetting in neural networks", equation 3; J.
    Schwarz et al., 2018, "Progress & compress", section 3.2 (online).
    """

    name: ClassVar[str] = "ewc"
    after: ClassVar[tuple[str, ...]] = ("distillation",)  # it weighs the loss against a teacher's, and no penalty

    strength: float = 200.0
    tasks: Literal["sum", "online"] = "sum"
    decay: float = 1.0
    information: Literal["exact", "empirical"] = "exact"
    examples: int = 1024

    def __post_init__(self) -> None:
        require(self.strength >= 0, "ewc.strength", self.strength, "a number from 0, usually 100 to 1000")
        require(self.tasks in ("sum", "online"), "ewc.tasks", self.tasks, "sum or online")
        require(0 <= self.decay <= 1, "ewc.decay", self.decay, "a number from 0 to 1, usually 0.9 to 1")
        fading = self.tasks == "online" or self.decay == 1.0
        require(fading, "ewc.decay", self.decay, "1, unless ewc.tasks is online")
        kinds = ("exact", "empirical")
        require(self.information in kinds, "ewc.information", self.information, "exact or empirical")
        require(self.examples >= 0, "ewc.examples", self.examples, "a whole number from 1, or 0 for all")
        self.forget()

    def forget(self) -> None:
        """Begin with no task behind."""
        self.importance: Tensors = {}
        self.centre: Tensors = {}
        self.rest = torch.zeros(())

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.forget()
        return model

    def data(self, batches: Any, plan: Plan) -> Any:
        if not isinstance(batches, TaskSequence) and not self.importance:
            log.warning("ewc holds nothing before a second task, and these data are one: see digits/permuted.")
        return batches

    def move(self, device: torch.device) -> None:
        """Bring what is remembered to the device on which the model learns."""
        self.importance = {name: tensor.to(device) for name, tensor in self.importance.items()}
        self.centre = {name: tensor.to(device) for name, tensor in self.centre.items()}
        self.rest = self.rest.to(device)

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        if not self.importance:
            return loss
        if self.rest.device != loss.device:  # taken back from a checkpoint
            self.move(loss.device)
        # the same for every micro-batch: their shares of the loss add up to one
        weights = dict(step.model.named_parameters())
        return loss + self.strength * (elastic_penalty(weights, self.importance, self.centre) + self.rest)

    def finish(self, model: nn.Module, objective: Any, batches: Iterable[Batch]) -> None:
        empirical = self.information == "empirical"
        found = fisher_information(model, batches, empirical=empirical, examples=self.examples)
        weights = {name: p.detach().clone() for name, p in model.named_parameters() if name in found}
        if not self.importance:
            self.importance, self.centre = found, weights
            self.rest = torch.zeros((), device=next(iter(found.values())).device)
        elif self.tasks == "online":
            self.importance = {name: self.decay * old + found[name] for name, old in self.importance.items()}
            self.centre = weights
        else:
            for name, old in self.importance.items():
                springs = joined_springs(old, self.centre[name], found[name], weights[name])
                self.importance[name], self.centre[name] = springs[:2]
                self.rest = self.rest + springs[2]

    def state_dict(self) -> dict[str, Any]:
        return {"importance": dict(self.importance), "centre": dict(self.centre), "rest": self.rest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.forget()
        self.importance, self.centre = dict(state_dict.get("importance", {})), dict(state_dict.get("centre", {}))
        self.rest = state_dict.get("rest", self.rest)
