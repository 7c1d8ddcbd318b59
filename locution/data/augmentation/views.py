"""Views: what a model is shown of one example while it is augmented."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.method import Method, Plan, Step, ordered
from locution.errors import require


def views(example: Tensor, methods: Sequence[Method], count: int, seed: int = 0) -> Tensor:
    """Data augmentation makes new examples of old ones by changes that leave their meaning as it is.

    This shows what becomes of one example in the first steps of training, to look at before one trains on it: a leaf
    in a mirror is a leaf, but a mirrored 2 is no digit.

    Shapes: example (...), such as a picture (C, H, W) or ids of words (T,); returns (count, ...).

    >>> from locution.data.augmentation.image.shift import ShiftMethod
    >>> views(torch.tensor([[[0.0, 1.0, 0.0]]]), [ShiftMethod()], count=3).flatten(1)
    tensor([[0., 0., 1.], [0., 1., 0.], [0., 0., 1.]])

    Reference: C. Shorten, T. Khoshgoftaar, 2019, "A survey on image data augmentation for deep learning", Journal of
    Big Data 6.
    """
    require(count >= 1, "count", count, "a whole number from 1")
    plan, shown = Plan(seed=seed), []
    for number in range(count):
        batch = Batch(example[None], torch.zeros(1, dtype=torch.int64))
        for method in ordered(methods):
            batch = method.batch(batch, Step(number, 0, plan, nn.Identity()))
        shown.append(batch.inputs[0])
    return torch.stack(shown)
