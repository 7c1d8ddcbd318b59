"""One's own pictures as data: found, read once, cleaned and split, every decision said in a plain line."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from locution.data.dataset import Dataset, check_shares, held_out
from locution.data.leakage import near_duplicates
from locution.data.own.decode import FITS, Damaged, Fit, decode, look
from locution.data.own.image_reader import ImageReader
from locution.data.own.parts import class_lines, into_parts, named, plural, without_copies
from locution.data.own.picture_files import Listed, find_pictures, find_unsorted, written
from locution.engine.batch import Batch
from locution.engine.batches import TensorBatches
from locution.errors import LocutionError, UserError, require

SMALLEST, LARGEST = 8, 64  # pixels of the side that is chosen; any other may be asked for
AS_NUMBERS = 500_000_000  # bytes of pictures as fp32; beyond it they stay bytes until a batch needs them
T = TypeVar("T")
COMPARED = 20_000  # pictures to learn from that are looked through for near copies of held-out ones


@dataclass(frozen=True)
class ByteBatches:
    """Pictures kept as bytes, 0 to 255, that become numbers from 0 to 1 batch by batch.

    >>> batches = ByteBatches(TensorBatches(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)))
    >>> next(batches.epoch(0, seed=0)).inputs
    tensor([[[[1.]]]])
    """

    inner: TensorBatches

    def __len__(self) -> int:
        return len(self.inner)

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return self.inner.steps()

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through one epoch, leaving out the first `skip` batches."""
        for batch in self.inner.epoch(number, seed, skip):
            yield Batch(batch.inputs.float() / 255, batch.targets, batch.weights)


@dataclass(frozen=True)
class ImagesData:
    """One's own pictures, sorted into classes by their folders, become examples to learn from and to be judged by.

    Parameters
    ----------
    path: a folder with a folder for each class; or with train/, valid/ and test/ that hold those; or a CSV file with
    the columns file and label, and perhaps split. size: the side in pixels to which all are brought, 0 for one by the
    usual size, from 8 to 64. fit: how a picture becomes square: squash, crop, or pad with black. channels: auto, grey
    or colour. development, test: shares held out where no parts are given, each class by the same share. split: the
    seed that chooses them. leaks: warn of near copies across parts, refuse them, or off. answers: classes, none for
    pictures that nobody has sorted, or auto for classes where there are two or more and none otherwise.

    Files that cannot be read are left out and said; exact copies too.

    >>> ImagesData(path="none/such").load(seed=0)
    Traceback (most recent call last):
    locution.errors.UserError: data.path is 'none/such', which is not there; allowed: a folder for each class ...

    Reference: R. Kohavi, 1995, "A study of cross-validation and bootstrap for accuracy estimation and model selection".
    """

    path: str = ""
    batch_size: int = 32
    size: int = 0
    fit: Fit = "squash"
    channels: Literal["auto", "grey", "colour"] = "auto"
    development: float = 0.15
    test: float = 0.15
    split: int = 0
    leaks: Literal["warn", "refuse", "off"] = "warn"
    answers: Literal["classes", "none", "auto"] = "classes"

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        require(self.size == 0 or 4 <= self.size <= 1024, "data.size", self.size, "pixels from 4 to 1024, or 0")
        require(self.fit in FITS, "data.fit", self.fit, ", ".join(FITS))
        check_shares(self.development, self.test)

    def load(self, seed: int) -> Dataset:
        """Read the pictures and split them; the run's seed has no part in it."""
        if not self.path:
            raise UserError("data.path is missing; allowed: data=FOLDER, which holds a folder of pictures a class.")
        listed, said = self.found(Path(self.path))
        return kept(self, tuple((one, written(one.file)) for one in listed), tuple(said))

    def found(self, path: Path) -> tuple[list[Listed], list[str]]:
        """Find the pictures, sorted into classes or as they lie."""
        if self.answers != "none":
            try:
                return find_pictures(path)
            except UserError:
                if self.answers == "classes":
                    raise
        listed, said = find_unsorted(path)
        return listed, [f"{plural(len(listed), 'picture')} without classes.", *said]

    def read(self, listed: list[Listed], said: list[str]) -> Dataset:
        """Read the pictures that were found, and make of them what can be learnt from."""
        listed, reader, more = self.looked_at(listed)
        listed, pixels, still = read_all(listed, reader)
        said += more + still
        if reader.colour and self.channels == "auto" and bool((pixels == pixels[:, :1]).all()):
            reader, pixels = replace(reader, colour=False), pixels[:, :1].contiguous()
            said.append("All pictures are grey: one channel.")
        return self.dataset(Path(self.path), listed, pixels, reader, said)

    def looked_at(self, listed: Sequence[Listed]) -> tuple[list[Listed], ImageReader, list[str]]:
        """Look at the heads of all files, leave out what is none, and decide on size and colour."""
        fine, heads, damaged = readable(listed, look)
        said = [f"{plural(len(damaged), 'file')} could not be read and left out: {named(damaged)}."] if damaged else []
        if any(moving for *_, moving in heads):
            said.append("Of files with several frames the first one is taken.")
        sizes = [(height, width) for height, width, *_ in heads]
        colour = self.channels == "colour" or (self.channels == "auto" and not all(grey for *_, grey, _ in heads))
        size, line = choose_size(sizes, self.size, self.fit)
        return fine, ImageReader(size, colour, self.fit), [*said, line]

    def dataset(
        self, path: Path, listed: Sequence[Listed], pixels: Tensor, reader: ImageReader, said: list[str]
    ) -> Dataset:
        """Take out copies, split, and look for near copies across the parts."""
        hashes = [hashlib.blake2b(one.numpy().tobytes(), digest_size=16).digest() for one in pixels]
        kept, copies = without_copies(hashes, [one.label for one in listed], [one.part for one in listed], "picture")
        listed, pixels = [listed[row] for row in kept], pixels[kept]
        labels = sorted({one.label for one in listed if one.part in (None, "train") and one.label})
        if self.answers == "classes" and len(labels) < 2:
            raise UserError(
                f"'{path}' leaves {plural(len(labels), 'class', 'classes')} to learn; allowed: two or more."
            )
        labels = labels if len(labels) > 1 else []
        rows = [row for row, one in enumerate(listed) if one.label in labels or not labels]
        listed, pixels = [listed[row] for row in rows], pixels[rows]
        targets = torch.tensor([labels.index(one.label) if labels else 0 for one in listed])
        given, shares = [one.part for one in listed], (self.development, self.test)
        parts, how = into_parts(targets, given, shares, self.split, sorted_out=bool(labels))
        if not len(parts["train"]):
            raise UserError(f"'{path}' leaves no picture to learn from; allowed: one at least.")
        counts = torch.bincount(targets).tolist()
        said = [*said, *copies, *(class_lines(labels, counts, "picture") if labels else []), *how]
        warned = near_copies(pixels, parts, listed, self.leaks)
        few = pixels.numel() * 4 <= (AS_NUMBERS if self.answers == "classes" else 8 * AS_NUMBERS)
        x = pixels.float() / 255 if few else pixels
        if not few:
            said.append("The pictures are kept as bytes, for they are many.")
        answers = {part: targets[place] if labels else None for part, place in parts.items()}
        train = TensorBatches(x[parts["train"]], answers["train"], batch_size=self.batch_size)
        return Dataset(
            train if few else ByteBatches(train),
            held_out(x[parts["development"]], answers["development"]),
            held_out(x[parts["test"]], answers["test"]),
            inputs=reader.shape,
            outputs=len(labels) or math.prod(reader.shape),
            labels=tuple(labels),
            source=path.name,
            notes=tuple(said),
            warnings=tuple(warned),
            reader=replace(reader, labels=tuple(labels)),
        )


@lru_cache(maxsize=1)
def kept(part: ImagesData, stamps: tuple[tuple[Listed, tuple[int, int]], ...], said: tuple[str, ...]) -> Dataset:
    """Read pictures once for all runs of a process, such as those of a comparison, until one of them changes."""
    return part.read([one for one, _ in stamps], list(said))


def choose_size(sizes: Sequence[tuple[int, int]], asked: int, fit: str) -> tuple[int, str]:
    """Choose the side of the squares that pictures are brought to, and say why.

    sizes: height and width of each. asked: what the user wants, or 0.

    >>> choose_size([(28, 28)] * 3, 0, "squash"), choose_size([(300, 400), (40, 50), (75, 75)], 0, "squash")[0]
    ((28, 'All pictures are 28 x 28 pixels.'), 64)
    """
    if not asked and len(set(sizes)) == 1 and sizes[0][0] == sizes[0][1] and SMALLEST <= sizes[0][0] <= LARGEST:
        return sizes[0][0], f"All pictures are {sizes[0][0]} x {sizes[0][0]} pixels."
    side = int(median(min(pair) for pair in sizes))
    size = asked or min(LARGEST, max(SMALLEST, side // 8 * 8))
    low, high = min(map(min, sizes)), max(map(max, sizes))
    came = f"{sizes[0][1]} x {sizes[0][0]} pixels" if len(set(sizes)) == 1 else f"sides from {low} to {high} pixels"
    why = "as asked" if asked else f"for half of them have sides of {side} or more; data.size=N asks for another"
    how = {"squash": "squashed", "crop": "cropped to their middle", "pad": "padded with black"}[fit]
    return size, f"Pictures of {came} are brought to {size} x {size}, {how}: {why}."


def readable(listed: Sequence[Listed], read: Callable[[Path], T]) -> tuple[list[Listed], list[T], list[str]]:
    """Read every file; returns those that can be read, what was read, and which are damaged, and how."""
    fine, found, damaged = [], [], []
    for one in listed:
        try:
            found.append(read(one.file))
            fine.append(one)
        except Damaged as error:
            damaged.append(f"{one.file.name} ({error})")
    if not fine:
        raise UserError(f"none of {len(listed):,} pictures can be read, such as {damaged[0]}; allowed: pictures.")
    return fine, found, damaged


def read_all(listed: Sequence[Listed], reader: ImageReader) -> tuple[list[Listed], Tensor, list[str]]:
    """Read all pictures into one block of bytes (N, C, H, W), leaving out what is damaged further in."""
    fine, found, damaged = readable(listed, lambda file: decode(file, reader.size, reader.colour, reader.fit))
    said = [f"{plural(len(damaged), 'picture')} damaged and left out: {named(damaged)}."] if damaged else []
    return fine, torch.as_tensor(np.stack(found)), said


def near_copies(pixels: Tensor, parts: dict[str, Tensor], listed: Sequence[Listed], leaks: str) -> list[str]:
    """Look for held-out pictures that are near copies of some to learn from, and say which."""
    if leaks == "off":
        return []
    said = []
    train: Any = parts["train"][:COMPARED]
    for part, what in (("test", "to be judged by"), ("development", "to tune on")):
        pairs = near_duplicates(pixels[train].float(), pixels[parts[part]].float())
        if pairs:
            names = [
                f"{listed[int(parts[part][pair.second])].file.name} of {listed[int(train[pair.first])].file.name}"
                for pair in pairs
            ]
            count = plural(len(pairs), "picture")
            are = "is a near copy of one" if len(pairs) == 1 else "are near copies of some"
            said.append(f"{count} {what} {are} to learn from, so that figures flatter: {named(names)}.")
    if said and leaks == "refuse":
        raise LocutionError(f"{said[0]} Take them out, or say data.leaks=warn.")
    return said
