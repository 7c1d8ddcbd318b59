"""Load balancing without a loss: whoever has too much work is chosen less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.engine.distributed import Group
from locution.engine.method import Method, Plan, Step
from locution.errors import require
from locution.losses.load_balancing import OTHERS, listen
from locution.models.mixture_of_experts import mixtures


def corrected(correction: Tensor, load: Tensor, rate: float) -> Tensor:
    """Shift by a fixed step each expert that had less than the mean load up, and each that had more down: (E,).

    >>> corrected(torch.zeros(3), torch.tensor([6.0, 3.0, 0.0]), rate=0.5).tolist()
    [-0.5, 0.0, 0.5]
    """
    return correction + rate * torch.sign(load.mean() - load)


@dataclass
class BiasBalancingMethod(Method):
    """Loss-free load balancing shifts whom a router chooses, step by step, toward experts that had little to do.

    Each expert has a correction that is added to its probability where experts are chosen and nowhere else: behind each
    step it falls for those who had more than an even share, and rises for the others. The gradient knows nothing of
    it, so that no part of the model pays for the balance. What counts is the work in the whole batch, in however many
    parts it came.

    Settings
    --------
    rate: how far a correction moves at a step.

    >>> from locution.models.mixture_of_experts import MixtureOfExperts
    >>> layer = MixtureOfExperts(2, hidden=3, experts=2)
    >>> _ = layer.router.data.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    >>> method, step = BiasBalancingMethod(rate=0.1), Step(0, 0, Plan(), layer)
    >>> _ = method.model(layer, Plan())(torch.eye(2)), method.loss(torch.tensor(0.0), step)  # the first expert has all
    >>> method.update(layer, step)
    >>> layer.correction
    tensor([-0.1000,  0.1000])

    Reference: L. Wang, H. Gao, C. Zhao, X. Sun, D. Dai, 2024, "Auxiliary-loss-free load balancing strategy for
    mixture-of-experts", algorithm 1.
    """

    name: ClassVar[str] = "bias_balancing"
    after: ClassVar[tuple[str, ...]] = ("distillation",)
    excludes: ClassVar[dict[str, str]] = {
        "coral": OTHERS,
        "dann": OTHERS,
        "load_balancing": "both balance the same load; leave one of them out",
    }

    rate: float = 0.01

    def __post_init__(self) -> None:
        require(self.rate > 0, "bias_balancing.rate", self.rate, "a number above 0, usually 0.001 to 0.01")
        self.loads: dict[str, dict[int, Tensor]] = {}  # of the step that is being taken: mixture, first row, (E,)

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        return listen(model, self.name)

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        for name, layer in mixtures(step.model).items():  # by the row it begins at: a second pass counts once
            self.loads.setdefault(name, {})[step.first] = layer.dispatch(layer.take().detach()).sum(0)
        return loss

    def update(self, model: nn.Module, step: Step) -> None:
        for name, layer in mixtures(model).items():
            counted = self.loads.pop(name, {})
            load = torch.stack(list(counted.values())).sum(0) if counted else torch.zeros_like(layer.correction)
            layer.correction.copy_(corrected(layer.correction, Group.current().add(load), self.rate))
