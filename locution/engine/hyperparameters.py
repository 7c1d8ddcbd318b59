"""Hyperparameters: what is decided before training begins."""

from __future__ import annotations

import dataclasses
from typing import Any


def hyperparameters(part: Any) -> dict[str, Any]:
    """A hyperparameter is a setting that is decided before training and that training does not move.

    This lists those of a part, or of a kind of part with its usual values; `...` stands for one that must be
    given.

    >>> from locution.optimizers.basic import SGD
    >>> hyperparameters(SGD(lr=0.05))
    {'lr': 0.05, 'momentum': 0.0, 'nesterov': False, 'weight_decay': 0.0}

    Reference: J. Bergstra, Y. Bengio, 2012, "Random search for hyper-parameter optimization", section 1.
    """
    fields = [field for field in dataclasses.fields(part) if field.init]
    if not isinstance(part, type):
        return {field.name: getattr(part, field.name) for field in fields}
    return {field.name: _usual(field) for field in fields}


def _usual(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else ...
