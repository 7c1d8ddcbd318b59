"""What a model takes: the shape of an example is looked at before anything is built."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from locution.errors import UserError


def accept(model: str, inputs: Sequence[int], allowed: str, axes: Collection[int] = range(1, 9)) -> None:
    """Refuse a shape of examples that a model cannot read: of another number of axes, or with nothing along one.

    >>> accept("mlp", (1, 8, 8), "numbers of any shape")
    >>> accept("convnet", (64,), "pictures (channels, height, width)", axes=[3])
    Traceback (most recent call last):
    locution.errors.UserError: model convnet came upon inputs (64,); allowed: pictures (channels, height, width).
    """
    if len(inputs) not in axes or min(inputs, default=0) < 1:
        raise UserError(f"model {model} came upon inputs {tuple(inputs)}; allowed: {allowed}.")
