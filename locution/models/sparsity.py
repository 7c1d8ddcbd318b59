"""Sparsity: which weights are zero, and which should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.models.surgery import match_layers

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def sparsity(model: nn.Module) -> float:
    """The sparsity of a network is the share of its weights that are zero, and so could be left out.

    Weights are the parameters with two axes or more: biases and the scales of normalisation do not count.

    >>> net = nn.Linear(4, 1)
    >>> net.weight.data = torch.tensor([[0.0, 2.0, 0.0, 0.0]])
    >>> sparsity(net)
    0.75

    Reference: Y. LeCun, J. Denker, S. Solla, 1989, "Optimal brain damage", section 1.
    """
    weights = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / max(1, sum(weight.numel() for weight in weights))


def prunable(model: nn.Module, pattern: str | Sequence[str] = "*") -> dict[str, nn.Parameter]:
    """Name the weights that train in the linear and convolution layers whose names match a pattern, or several.

    >>> list(prunable(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))))
    ['0.weight', '2.weight']
    """
    found = {}
    for layer, module in match_layers(model, pattern, KINDS).items():
        for name, parameter in module.named_parameters(layer):
            if parameter.dim() >= 2 and parameter.requires_grad:
                found[name] = parameter
    if not found:
        raise UserError(f"'{pattern}' matches frozen layers only; allowed: a pattern that matches layers that train.")
    return found


def magnitude_masks(
    weights: Mapping[str, Tensor], keep: float, scope: str = "global", masks: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Magnitude pruning keeps the share of the weights that lie furthest from zero, and gives up the others.

    weights: tensors by name. keep: the share of all of them that is kept, at least one weight. scope: "global" ranks
    all weights together, "layer" those of each tensor for themselves. masks: what is still there; what is gone stays
    gone. Returns a mask for each tensor, true where a weight is kept; of equal ones the first are.

    >>> weights = {"a": torch.tensor([0.1, -5.0]), "b": torch.tensor([3.0, 0.2])}
    >>> [mask.tolist() for mask in magnitude_masks(weights, keep=0.5).values()]
    [[False, True], [True, False]]
    >>> [mask.tolist() for mask in magnitude_masks(weights, 0.5, masks={"a": torch.tensor([True, False])}).values()]
    [[False, False], [True, True]]

    Reference: S. Han, J. Pool, J. Tran, W. Dally, 2015, "Learning both weights and connections for efficient neural
    networks", section 3; globally: J. Frankle, M. Carbin, 2019, "The lottery ticket hypothesis", section 2.
    """
    if scope == "layer":
        alone = [magnitude_masks({name: weight}, keep, masks=masks) for name, weight in weights.items()]
        return {name: mask for one in alone for name, mask in one.items()}
    sizes = []
    for name, weight in weights.items():
        size = weight.detach().abs().float()
        gone = masks is not None and name in masks
        sizes.append((torch.where(masks[name], size, -1.0) if gone and masks else size).flatten())
    whole = torch.cat(sizes)  # (all weights,)
    count = max(1, round(keep * len(whole)))
    kept = torch.zeros_like(whole, dtype=torch.bool)
    kept[whole.sort(descending=True, stable=True).indices[:count]] = True
    pieces = torch.split(kept, [len(size) for size in sizes])
    return {name: piece.view_as(weight) for (name, weight), piece in zip(weights.items(), pieces, strict=True)}
