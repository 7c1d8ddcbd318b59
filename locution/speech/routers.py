"""What a projector's router does while it learns: who gets the frames, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from locution.engine.batch import Batch
from locution.engine.observer import Observer, Record
from locution.errors import UserError
from locution.models.routing import Routing
from locution.reporting.routing import ENTROPY, ENTROPY_SHARE, EXPERT
from locution.speech.recogniser import Recogniser


def is_routed(projector: Any) -> bool:
    """Say whether a projector has a router.

    >>> from locution.speech.projectors import build_projector
    >>> is_routed(build_projector("mosa", 6, 8, gain=1.0)), is_routed(build_projector("mlp", 6, 8, gain=1.0))
    (True, False)
    """
    return callable(getattr(projector, "routing", None))


def routed_values(routing: Routing) -> dict[str, float]:
    """Expert utilisation is the share of the work that each expert of a mixture gets.

    Beside it stands the router's entropy: in nats a frame, and as a share of the largest there can be. Shares near
    1/E with an entropy share near 1: the router does not choose. One share near 1: it has collapsed, the others idle.

    >>> sure = torch.eye(2)[None]
    >>> values = routed_values(Routing(sure, sure, torch.ones(1, 2, dtype=torch.bool)))
    >>> {name: round(value, 2) for name, value in values.items()}
    {'router/expert_1': 0.5, 'router/expert_2': 0.5, 'router/entropy': 0.0, 'router/entropy_share': 0.0}

    Reference: W. Fedus, B. Zoph, N. Shazeer, 2021, "Switch Transformers", section 2.2.
    """
    shares = {f"{EXPERT}{i}": share for i, share in enumerate(routing.share().tolist(), 1)}
    return shares | {ENTROPY: routing.entropy().item(), ENTROPY_SHARE: routing.entropy_share().item()}


class Routers(Observer):
    """Watches on one batch which share of the frames each expert gets, and how undecided the router is.

    Measures "router/expert_1" to "router/expert_E" (1 in sum), "router/entropy" (nats a frame) and
    "router/entropy_share" (of the largest there can be), at the end of each epoch or every `measure_every` steps.
    A projector without a router is refused: ask `is_routed` first.
    """

    name: ClassVar[str] = "routers"

    def __init__(self, batch: Batch) -> None:
        if not len(batch):
            raise UserError("routers.batch is empty; allowed: one utterance or more.")
        self.batch = batch

    @torch.no_grad()
    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """Route the batch."""
        assert isinstance(model, Recogniser)
        projector: Any = model.projector
        if not is_routed(projector):
            raise UserError(f"the projector {projector.kind} has no router; allowed: mosa, shared_moe.")
        weight = next(projector.parameters())
        frames, lengths = model.hear(self.batch.to(weight.device).inputs)
        return routed_values(projector.routing(frames.to(weight.dtype), lengths))
