"""Freezing: which parameters train and which stay as they are, by the patterns of their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from locution.engine.method import Method, Plan
from locution.errors import UserError, nearest
from locution.models.surgery import lies_in


def matching(model: nn.Module, patterns: str | Sequence[str]) -> list[str]:
    """Name the parameters that match a pattern, or one of several; each pattern must match something.

    >>> matching(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), "1.*")
    ['1.weight', '1.bias']
    >>> matching(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), "0")  # a layer's name: all that is in it
    ['0.weight', '0.bias']
    """
    names = [name for name, _ in model.named_parameters()]
    chosen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        found = [name for name in names if lies_in(name, pattern)]
        if not found:
            guess = nearest(pattern, names)
            hint = f" Did you mean '{guess}'?" if guess else ""
            raise UserError(f"'{pattern}' matches no parameter.{hint} There are: {', '.join(names[:8])}.")
        chosen.update(found)
    return [name for name in names if name in chosen]


def set_trained(model: nn.Module, patterns: str | Sequence[str]) -> nn.Module:
    """Let the parameters that match train, and freeze all others.

    >>> net = set_trained(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), "1.*")
    >>> [parameter.requires_grad for parameter in net.parameters()]
    [False, False, True, True]
    """
    chosen = set(matching(model, patterns)) if patterns else set()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return model


def last_layer(model: nn.Module) -> str:
    """Name the last module that holds parameters of its own.

    >>> last_layer(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1), nn.ReLU()))
    '1'
    """
    return [name.rpartition(".")[0] for name, _ in model.named_parameters()][-1]


@dataclass
class FreezeMethod(Method):
    """Freezing keeps some weights as they are while the others are fine-tuned further from where they were.

    What is frozen costs no gradient and no optimizer state, its dropout and its running statistics stay still, and a
    checkpoint does not repeat it.

    Settings
    --------
    layers: patterns on the names of parameters or of layers, of what is frozen; nothing given freezes all but the last
    layer, so that only a new head learns (a linear probe).

    >>> net = FreezeMethod().model(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), Plan())
    >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    ['1.weight', '1.bias']

    Reference: J. Yosinski, J. Clune, Y. Bengio, H. Lipson, 2014, "How transferable are features in deep neural
    networks?", section 2.
    """

    name: ClassVar[str] = "freeze"

    layers: str | tuple[str, ...] = ()

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        parameters = dict(model.named_parameters())
        head = last_layer(model)
        below = [name for name in parameters if name.rpartition(".")[0] != head]
        for name in matching(model, self.layers) if self.layers else below:
            parameters[name].requires_grad_(False)
        return model
