"""Surgery on models: find layers by name, put others in their place, copy what trains."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from locution.errors import UserError, nearest


def lies_in(name: str, pattern: str) -> bool:
    """Say whether a parameter, or a layer that holds it, has a name that fits a pattern.

    >>> [lies_in("layers.0.weight", pattern) for pattern in ("layers.0", "*.weight", "layers", "0")]
    [True, True, True, False]
    """
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:depth]), pattern) for depth in range(1, len(parts) + 1))


def match_layers(
    model: nn.Module, pattern: str | Sequence[str] = "*", kinds: tuple[type[nn.Module], ...] = (nn.Linear,)
) -> dict[str, nn.Module]:
    """Find the layers of some kinds whose names match a pattern, such as "encoder.*", or one of several.

    Raises UserError when none does, with the name that is nearest.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> list(match_layers(net)), list(match_layers(net, ["2", "4"]))
    (['0', '2'], ['2'])
    """
    there = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    found = {name: module for name, module in there.items() if any(fnmatchcase(name, part) for part in patterns)}
    if not found:
        guess = nearest(patterns[0], there) if patterns else None
        hint = f" Did you mean '{guess}'?" if guess else ""
        listed = ", ".join(list(there)[:8]) or "none, this model has no layer of that kind"
        raise UserError(f"'{', '.join(patterns)}' matches no layer.{hint} There are: {listed}.")
    return found


def replace_layers(
    model: nn.Module,
    make: Callable[[str, nn.Module], nn.Module],
    pattern: str | Sequence[str] = "*",
    kinds: tuple[type[nn.Module], ...] = (nn.Linear,),
) -> nn.Module:
    """Put another layer in the place of each one that matches, and hand the model back.

    `make` gets a layer's name and the layer. The model itself is replaced where its own kind and name ""
    match.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> replace_layers(net, lambda name, layer: nn.Identity())
    Sequential( (0): Identity() (1): ReLU() )
    """
    for name, layer in match_layers(model, pattern, kinds).items():
        if not name:
            return make(name, layer)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, make(name, layer))
    return model


def lean_copy(model: nn.Module) -> nn.Module:
    """Copy a model, but share the weights that are frozen: they are the same in both, and may be large.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> _ = net[0].requires_grad_(False)
    >>> other = lean_copy(net)
    >>> other[0].weight is net[0].weight, other[1].weight is net[1].weight
    (True, False)
    """
    return copy.deepcopy(model, {id(p): p for p in model.parameters() if not p.requires_grad})
