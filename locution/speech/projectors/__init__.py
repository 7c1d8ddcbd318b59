"""Projectors: from an encoder's frames to a language model's embeddings, one file a kind.

Each is a module built with (inputs, outputs, *, gain, ...), called with frames (B, T, D) and lengths (B,),
and gives embeddings (B, T', H) and their lengths. Its settings stand in `settings`, its name in `kind`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from torch import nn

from locution.errors import unknown


def projector_kinds() -> dict[str, type[nn.Module]]:
    """List the projectors there are: every class of this folder's files that states its `kind`.

    >>> sorted(projector_kinds())
    ['linear', 'mlp'...]
    """
    found: dict[str, type[nn.Module]] = {}
    for file in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{file.name}")
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "kind"):
                found[value.kind] = value
    return found


def build_projector(kind: str, inputs: int, outputs: int, *, gain: float, **settings: Any) -> nn.Module:
    """A projector is the trained piece between two frozen models: it turns what the one gives into what the
    other reads.

    Built here by the name of its kind, for an encoder's width, a language model's width, and the scale (root
    mean square) of the language model's token embeddings.

    >>> build_projector("mlp", 6, 8, gain=0.02, stack=2).settings
    {'stack': 2, 'hidden': 8}
    >>> build_projector("mpl", 6, 8, gain=0.02)
    Traceback (most recent call last):
    locution.errors.UserError: 'mpl' is no projector. Did you mean 'mlp'? Allowed: linear, mlp...

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity",
    section 3.2.
    """
    kinds = projector_kinds()
    if kind not in kinds:
        raise unknown("projector", kind, kinds)
    return kinds[kind](inputs, outputs, gain=gain, **settings)
