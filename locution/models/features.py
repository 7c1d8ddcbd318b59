"""Features: what goes into a layer of a model, overheard there so that a loss may look at it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Tree
from locution.errors import UserError, unknown
from locution.models.surgery import lean_copy


class Overheard(nn.Module):
    """An overheard layer does what the layer did, and remembers what came into it last while gradients were wanted.

    layer: any layer with a weight. by: the name of the method that listens. beside: modules that train along with the
    layer, such as a second head.

    >>> layer = Overheard(nn.Linear(2, 1), by="coral")
    >>> _ = layer(torch.ones(3, 2))
    >>> layer.take().shape
    torch.Size([3, 2])
    """

    def __init__(self, layer: nn.Module, by: str, beside: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.by, self.beside = layer, by, beside
        self.came: Tensor | None = None  # no buffer: it belongs to the pass that is being made

    @property
    def weight(self) -> Tensor:
        """The weight of the layer inside."""
        return self.layer.weight  # type: ignore[return-value]

    @property
    def bias(self) -> Tensor | None:
        """The bias of the layer inside."""
        return self.layer.bias  # type: ignore[return-value]

    def forward(self, x: Tensor, *rest: Any, **named: Any) -> Any:
        if torch.is_grad_enabled():
            self.came = x
        return self.layer(x, *rest, **named)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "came": None}  # a copy of the layer has heard nothing yet

    def take(self) -> Tensor:
        """Hand out what came last as one row of features an example (N, d), and forget it."""
        came, self.came = self.came, None
        if came is None:
            raise UserError(f"'{self.by}' overheard nothing: the model does not call that layer; name another one.")
        return rows(came, self.layer)


def rows(features: Tensor, layer: nn.Module) -> Tensor:
    """Make one row of features an example: the mean over the places of a picture or the steps of a sequence.

    >>> rows(torch.ones(5, 3, 8, 8), nn.Conv2d(3, 1, 3)).shape, rows(torch.ones(5, 7, 3), nn.Linear(3, 1)).shape
    (torch.Size([5, 3]), torch.Size([5, 3]))
    """
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if weight.dim() > 2:
        return features.flatten(2).mean(2)  # (N, d, ...) -> (N, d)
    return features.flatten(1, -2).mean(1) if features.dim() > 2 else features  # (N, ..., d) -> (N, d)


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """List the layers with a weight matrix, in order, whatever they were wrapped in; none that is within another.

    >>> list(weighted_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), Overheard(nn.Linear(2, 1), by="coral"))))
    ['0', '2']
    """
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(not outer or name.startswith(f"{outer}.") for outer in found)
        weight = getattr(module, "weight", None)
        if not inside and isinstance(weight, Tensor) and weight.dim() >= 2:
            found[name] = module
    return found


def overhear(model: nn.Module, by: str, name: str = "", beside: nn.Module | None = None) -> tuple[nn.Module, Overheard]:
    """Put an overheard layer in the place of a named one, or of the last, and hand out the model and that layer.

    >>> net, heard = overhear(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), by="coral")
    >>> _ = net(torch.zeros(5, 4))
    >>> heard.take().shape
    torch.Size([5, 3])
    """
    layers = weighted_layers(model)
    if name and name not in layers:
        raise unknown(f"layer with a weight ({by}.features)", name, layers)
    last = name or next(reversed(layers), "")
    if not last:
        raise UserError(f"'{by}' came upon a model of a single layer; allowed: two or more, to have features between.")
    heard = Overheard(layers[last], by, beside)
    parent, _, child = last.rpartition(".")
    setattr(model.get_submodule(parent), child, heard)
    return model, heard


def features_of(model: nn.Module, inputs: Tree, heard: Overheard) -> Tensor:
    """Run a model on other inputs and hand out their features (N, d); what was overheard before stays for others.

    >>> net, heard = overhear(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), by="coral")
    >>> _ = net(torch.zeros(5, 4))
    >>> features_of(net, torch.zeros(7, 4), heard).shape, heard.take().shape
    (torch.Size([7, 3]), torch.Size([5, 3]))
    """
    kept = [(module, module.came) for module in model.modules() if isinstance(module, Overheard)]
    model(inputs)
    found = heard.take()
    for module, came in kept:
        module.came = came
    return found


def unheard(model: nn.Module) -> nn.Module:
    """Copy a model with its layers as they were before, and nothing beside them.

    >>> net, _ = overhear(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), by="dann", beside=nn.Linear(3, 1))
    >>> list(unheard(net).state_dict())
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """
    model = lean_copy(model)
    for name, layer in weighted_layers(model).items():
        inner = layer
        while isinstance(inner, Overheard):
            inner = inner.layer
        if inner is not layer:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, inner)
    return model
