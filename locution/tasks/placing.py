"""Where inputs lie for a trained model: what a run's examples, or new inputs, become on the way to its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.engine.batch import Batch
from locution.errors import UserError, unknown
from locution.models.features import rows, weighted_layers
from locution.models.mlp import depth
from locution.tasks.abilities import Embedding
from locution.tasks.inputs import EXAMPLE, read_input

PARTS = ("train", "development", "test")


def placed(data: Dataset, inputs: Sequence[str], part: str, place: Callable[[Any], Tensor]) -> Embedding:
    """Place inputs, as `predict` takes them, or without any all examples of a part of the data.

    place: gives inputs (N, ...) their vectors (N, D).

    >>> from locution.data.digits import DigitsData
    >>> found = placed(DigitsData().load(seed=0), ["test:3"], "", lambda rows: rows.flatten(1))
    >>> tuple(found.vectors.shape), found.names, len(found.labels), tuple(found.pictures.shape)
    ((1, 64), ['test:3'], 1, (1, 8, 8))
    """
    if inputs:
        read = torch.stack([read_input(text, data) for text in inputs])
        names, labels = list(inputs), [label_of(text, data) for text in inputs]
    else:
        held = held_part(data, part)
        read, names = held.inputs, [f"{part}:{row}" for row in range(len(held))]
        whole = isinstance(held.targets, Tensor) and not held.targets.is_floating_point()
        labels = [data.labels[int(one)] for one in held.targets] if data.labels and whole else []
    labels = labels if any(labels) else []
    vectors = place(read).float().flatten(1)
    return Embedding(vectors, names, labels, pictures_of(read))


def held_part(data: Dataset, part: str) -> TensorBatches:
    """Take a part of the data whose examples lie in memory."""
    there = [name for name in PARTS if isinstance(getattr(data, name), TensorBatches)]
    if part not in there:
        raise unknown("part of these data", part, there)
    held: TensorBatches = getattr(data, part)
    return held


def label_of(text: str, data: Dataset) -> str:
    """Say the class of an input that is an example of the data; nothing of any other."""
    example = EXAMPLE.match(text)
    if not example or not data.labels:
        return ""
    held: Any = getattr(data, example.group(1))
    return data.labels[int(held.targets[int(example.group(2))])]


def pictures_of(inputs: Any) -> Tensor | None:
    """Take what can be seen of inputs (N, C, H, W): the mean of their channels (N, H, W); nothing of other inputs."""
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or min(inputs.shape[2:]) < 2:
        return None
    return inputs.float().mean(1).cpu()


def is_text(text: str) -> bool:
    """Say whether an input is words: no example of the data, no numbers, no file.

    >>> [is_text(text) for text in ("a bold seven", "test:3", "0.5,1", "picture.png")]
    [True, False, False, False]
    """
    if EXAMPLE.match(text) or Path(text).suffix:
        return False
    return not text.replace(",", "").replace(".", "").replace("-", "").replace("e", "").strip().isdigit()


def before_last(model: nn.Module, inputs: Any, batch_size: int = 256) -> Tensor:
    """An embedding is a vector for each input such that inputs that mean the same lie close together.

    Here it is what a trained network has made of its inputs right before its last layer, which only weighs it: one row
    of features an example, the mean over places or steps where there are several.

    inputs (N, ...); gives (N, D).

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> before_last(net, torch.ones(5, 2, 2)).shape
    torch.Size([5, 3])

    Reference: J. Donahue et al., 2014, "DeCAF: a deep convolutional activation feature for generic visual recognition",
    section 2; T. Mikolov, K. Chen, G. Corrado, J. Dean, 2013, "Efficient estimation of word representations in vector
    space", section 1.
    """
    layers = weighted_layers(model)
    if not layers or depth(model) < 2:  # the cells of a recurrent network have weights, but under names of their own
        raise UserError("the model has not two layers of weights; allowed: two or more, to have features between them.")
    name, last = list(layers.items())[-1]
    came: list[Tensor] = []
    found: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, given: came.append(rows(given[0].detach(), last).cpu()))
    device = next(model.parameters()).device
    training, whole = model.training, Batch(inputs)
    try:
        with torch.no_grad():
            for start in range(0, len(whole), batch_size):
                part = whole.rows(start, min(start + batch_size, len(whole))).to(device)
                came.clear()
                model.eval()(part.inputs)
                if not came or any(len(one) != len(part) for one in came):
                    raise UserError(f"layer '{name}' came upon no row for each input; allowed: a last layer that does.")
                found.append(torch.stack(came).mean(0))  # of a layer that is called at each step, the mean over them
    finally:
        handle.remove()
        model.train(training)
    return torch.cat(found)
