"""Load balancing by a loss: a mixture's experts should all have work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require
from locution.models.mixture_of_experts import mixtures
from locution.models.routing import balance_loss, z_loss

OTHERS = "both pass other inputs through the router; leave one of them out"


def listen(model: nn.Module, method: str) -> nn.Module:
    """Listen to the routers of a model's mixtures; refuse a model that has none."""
    found = mixtures(model)
    if not found:
        came = f"'{method}' came upon a model without experts"
        raise UserError(f"{came}; allowed: such as model.name=mixture_of_experts.")
    for layer in found.values():
        layer.listened = True
    return model


@dataclass
class LoadBalancingMethod(Method):
    """Load balancing adds to the loss what a mixture of experts would pay for sending everything to a few of them.

    Without it a router that happens to like an expert trains that one, and likes it all the more, and others may idle.
    For each mixture, over all places of the batch: E x sum over experts of f_i P_i, where f_i is the share of places
    whose first choice is expert i and P_i its mean probability; 1 where all is even, E where one has all. Shares of a
    part of the batch are not those of the whole, so that batches must not be cut.

    Settings
    --------
    weight: of this, next to the objective. z: of the router z-loss, which keeps the router's scores small.

    >>> from locution.models.mixture_of_experts import MixtureOfExperts
    >>> layer = MixtureOfExperts(2, hidden=3, experts=4)
    >>> _ = layer.router.data.copy_(torch.tensor([[50.0, 0.0], [0.0, 50.0], [0.0, 0.0], [0.0, 0.0]]))
    >>> method, plan = LoadBalancingMethod(weight=1.0), Plan()
    >>> _ = method.model(layer, plan)(torch.eye(2))  # two of four experts have all the work
    >>> method.loss(torch.tensor(0.0), Step(0, 0, plan, layer))
    tensor(2., grad_fn=<AddBackward0>)

    Reference: W. Fedus, B. Zoph, N. Shazeer, 2021, "Switch Transformers", eqs. 4 to 6; z: B. Zoph et al., 2022,
    "ST-MoE: designing stable and transferable sparse expert models", eq. 5.
    """

    name: ClassVar[str] = "load_balancing"
    after: ClassVar[tuple[str, ...]] = ("distillation",)
    excludes: ClassVar[dict[str, str]] = {"coral": OTHERS, "dann": OTHERS}
    whole_batch: ClassVar[bool] = True

    weight: float = 0.01
    z: float = 0.0

    def __post_init__(self) -> None:
        require(self.weight > 0, "load_balancing.weight", self.weight, "a number above 0, usually 0.01")
        require(self.z >= 0, "load_balancing.z", self.z, "a number from 0, usually 0.001")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        return listen(model, self.name)

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        for layer in mixtures(step.model).values():
            logits = layer.take()[None]  # (1, M, E)
            counted = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
            loss = loss + self.weight * balance_loss(logits, counted)[0]
            if self.z:
                loss = loss + self.z * z_loss(logits, counted)[0]
        return loss
