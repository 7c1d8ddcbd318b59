"""A picture of depth: how large the gradient arrives at each layer of a residual network, with skips and without."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from locution.data.dataset import Dataset, first_batch
from locution.engine.random import reseed, stream_key
from locution.gradients.flow import gradient_flow
from locution.losses.basic import CrossEntropy
from locution.models.resnet import ResNetModel
from locution.reporting.results import Graph

EXAMPLES = 64
LEAST = 1e-12  # smaller gradients are drawn as this


def depth_pictures(part: Any, data: Dataset, seed: int) -> list[Graph]:
    """Draw the gradient's way back through a residual network before it has learnt anything; nothing for others.

    part: what the recipe names as its model. The same first weights are drawn with skip connections and without.

    >>> from locution.data.digits import DigitsData
    >>> (drawn,) = depth_pictures(ResNetModel(layers=8), DigitsData().load(0), seed=0)
    >>> {name: len(xs) for name, (xs, _) in drawn.lines.items()}
    {'with skip connections': 8, 'without': 8}
    """
    if not isinstance(part, ResNetModel) or not data.labels:
        return []
    batch = first_batch(data).rows(0, EXAMPLES)
    lines = {}
    with torch.random.fork_rng(devices=[]):
        for name, residual in (("with skip connections", True), ("without", False)):
            reseed(stream_key(seed, "weights"), torch.device("cpu"))
            model = replace(part, residual=residual).build(data.inputs, data.outputs)
            flow = gradient_flow(model, CrossEntropy(), batch)
            norms = [norm for layer, norm in flow.items() if weighs(model.get_submodule(layer))]
            powers = [math.log10(max(LEAST, norm)) for norm in norms]
            lines[name] = ([float(layer) for layer in range(1, len(powers) + 1)], powers)
    note = "powers of ten of the gradient's norm, before training; layer 1 is next to the picture"
    return [Graph("The gradient's way back", lines, across="layer", note=note)]


def weighs(layer: Any) -> bool:
    """Say whether a layer multiplies by a matrix: a convolution or a fully connected one."""
    return any(one.dim() > 1 for one in layer.parameters(recurse=False))
