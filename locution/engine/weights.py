"""Weights read back from a file that was kept: whole, or one line that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from locution.errors import LocutionError, UserError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by their names; refuse in one line what is not there, or not whole.

    >>> read_weights(Path("nowhere/model.safetensors"))
    Traceback (most recent call last):
    locution.errors.UserError: nowhere holds no model.safetensors; go on with: locution train --resume nowhere
    """
    if not path.is_file():
        raise UserError(f"{path.parent} holds no {path.name}; go on with: locution train --resume {path.parent}")
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        said = " ".join(str(error).split()).removeprefix("Error while deserializing header: ")
        after = f"delete it, then write it again from the last checkpoint: locution train --resume {path.parent}"
        raise LocutionError(f"{path} is damaged: {said}; {after}") from error
