"""How a run reads new pictures: as it read those it learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from locution.data.own.decode import Damaged, Fit, decode
from locution.data.own.picture_files import SUFFIXES, is_there, walk
from locution.errors import UserError


@dataclass(frozen=True)
class ImageReader:
    """What a run must remember to read a new picture as it read those it learnt from, and to name what it sees.

    >>> ImageReader(size=8, colour=False).shape
    (1, 8, 8)
    """

    kind: ClassVar[str] = "images"

    size: int
    colour: bool
    fit: Fit = "squash"
    labels: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return (3 if self.colour else 1, self.size, self.size)

    @property
    def outputs(self) -> int:
        """How many numbers the model puts out."""
        return len(self.labels)

    @property
    def sizes(self) -> Mapping[str, Any]:
        """Settings of the model that only the data know: none."""
        return {}

    def read(self, words: Sequence[str]) -> tuple[list[str], Tensor]:
        """Read the pictures of files, or all that are in a folder: (N, C, H, W) from 0 to 1.

        With each comes its name, where a folder was named, or nothing, where the file was.
        """
        names, found = [], []
        for word in words:
            for name, file in files_of(Path(word)):
                try:
                    found.append(decode(file, self.size, self.colour, self.fit))
                except Damaged as error:
                    raise UserError(f"{file} cannot be read: {error}; allowed: a picture.") from error
                names.append(name)
        return names, torch.as_tensor(np.stack(found)).float() / 255

    def decode(self, outputs: Tensor) -> Tensor:
        """Hand on what the model puts out: scores of classes."""
        return outputs

    def as_json(self) -> dict[str, Any]:
        """The reader as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> ImageReader:
        """Take back what `as_json` gave."""
        return cls(**{**kept, "labels": tuple(kept["labels"])})


def files_of(place: Path) -> list[tuple[str, Path]]:
    """List a file, without a name, or the pictures of a folder, each with its name."""
    if is_there(place):
        return [("", place)]
    if not place.is_dir():
        raise UserError(f"there is no file {place}; allowed: a picture, such as a .png or .jpg file, or a folder.")
    found = [(str(file.relative_to(place)), file) for file in walk(place) if file.suffix.lower() in SUFFIXES]
    if not found:
        raise UserError(f"{place} holds no pictures; allowed: {', '.join(sorted(SUFFIXES))}.")
    return found
