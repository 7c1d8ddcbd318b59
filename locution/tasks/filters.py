"""A picture of filters: what a convolutional network looks for in pictures, and where it finds it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from locution.models.filters import edges, first_filters
from locution.reporting.results import Gallery

EXAMPLES, MOST, MOST_EDGES = 6, 16, 12


def first_features(model: nn.Module, inputs: Tensor) -> Tensor | None:
    """Say what a model's first convolution puts out for some pictures: (N, filters, H, W), or None without one."""
    found: list[Tensor] = []
    layer = next((one for one in model.modules() if isinstance(one, nn.Conv2d)), None)
    if layer is None:
        return None
    hook = layer.register_forward_hook(lambda _, came, output: found.append(output))
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(inputs.to(layer.weight.device))
    finally:
        hook.remove()
        model.train(training)
    return found[0].float().cpu() if found else None


def filter_pictures(model: nn.Module, inputs: Tensor) -> list[Gallery]:
    """Draw the first filters of a convolutional network, and where they find their patterns in a few pictures.

    The first gallery has a filter in each place (mean over channels, dark where it wants ink); the second has a row for
    each picture: the picture, then what each filter finds in it. Nothing for other networks, or other inputs.

    Shapes: inputs (N, channels, H, W).

    >>> from locution.models.convnet import ConvNet
    >>> drawn = filter_pictures(ConvNet(1, (8, 16), 10), torch.rand(20, 1, 8, 8))
    >>> [one.pictures.shape for one in drawn]
    [(1, 8, 3, 3), (6, 9, 8, 8)]
    """
    weights = first_filters(model)
    if weights is None or inputs.dim() != 4:
        return []
    few = inputs[:EXAMPLES]
    features = first_features(model, few)
    if features is None or len(features) != len(few):
        return []
    shown = weights[:MOST].float().mean(1).cpu()  # (filters, h, w)
    note = f"the first {len(shown)} of {len(weights)} filters; dark: where they want ink, light: where they want none"
    galleries = [Gallery("Filters, as they were learnt", shown[None].numpy(), note)]
    if features.shape[-2:] == few.shape[-2:]:
        scaled = _from_zero_to_one(features[:, :MOST])
        rows = torch.cat([_from_zero_to_one(few.float().mean(1, keepdim=True)), scaled], 1)  # (N, 1 + filters, H, W)
        found = "each row: a picture, then what each of the filters finds in it, dark where most"
        galleries.append(Gallery("What the filters find", rows.numpy(), found))
    return galleries


def edge_pictures(model: nn.Module, inputs: Tensor) -> list[Gallery]:
    """Draw where a few pictures change from bright to dark, which is what many a learnt filter looks for too.

    The pictures stand above, their edges below, dark where they are strong. Nothing for networks without filters.

    Shapes: inputs (N, channels, H, W).

    >>> from locution.models.convnet import ConvNet
    >>> [one.pictures.shape for one in edge_pictures(ConvNet(1, (8, 16), 10), torch.rand(20, 1, 8, 8))]
    [(2, 12, 8, 8)]

    Reference: I. Sobel, G. Feldman, 1968, "A 3x3 isotropic gradient operator for image processing".
    """
    if first_filters(model) is None or inputs.dim() != 4:
        return []
    few = inputs[:MOST_EDGES].float().mean(1)  # (N, H, W)
    rows = torch.stack([_from_zero_to_one(few[:, None]), _from_zero_to_one(edges(few)[:, None])])[:, :, 0]
    note = "above: pictures; below: their edges by Sobel's two filters, dark where they are strong"
    return [Gallery("Edges", rows.cpu().numpy(), note)]


def _from_zero_to_one(pictures: Tensor) -> Tensor:
    """Stretch each picture (..., H, W) from its smallest number to its largest."""
    low, high = pictures.amin((-2, -1), keepdim=True), pictures.amax((-2, -1), keepdim=True)
    return (pictures - low) / (high - low).clamp(min=1e-12)
