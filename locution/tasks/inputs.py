"""What a user hands to `predict`: numbers, a file, or an example of the test set."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.data.own.image_reader import ImageReader
from locution.data.own.words import TextReader
from locution.data.tables.encoding import Encoding
from locution.engine import TensorBatches
from locution.errors import UserError
from locution.tasks.table_rows import read_rows

LONGEST = 80  # letters of an input that are said again where it is none
EXAMPLE = re.compile(r"^(test|development|train):(\d+)$")


def read_input(text: str, data: Dataset) -> Tensor:
    """Read one input for a model of this data, in the shape of one example.

    `text` is numbers separated by commas, a .npy, .csv or .png file, or `test:3` for an example of the data. Where the
    data have a way of their own to read, such as words, it is anything that this reads.

    >>> from locution.data.line import LineData
    >>> read_input("10", LineData().load(seed=0))
    tensor([10.])
    """
    example = EXAMPLE.match(text)
    if example:
        return _example(data, example.group(1), int(example.group(2)))
    if isinstance(data.reader, (ImageReader, TextReader)):
        return the_one(data.reader.read([text])[1], text)
    if isinstance(data.reader, Encoding):
        return the_one(data.reader.encode(read_rows([text], data.reader)), text)
    if callable(data.reader):
        read: Tensor = data.reader(text)
        return read
    said = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    values = _file(text, data) if Path(text).suffix else None
    if values is None:
        try:
            values = np.array([float(part) for part in text.split(",")], dtype=np.float32)
        except ValueError:
            numbers = "a number" if _size(data) == 1 else f"{_size(data)} numbers separated by commas"
            allowed = f"{numbers}, a .npy, .csv or .png file, or test:3"
            raise UserError(f"'{said}' is no input; allowed: {allowed}.") from None
    with np.errstate(over="ignore"):  # what a float cannot hold becomes infinite, and is refused below
        tensor = torch.as_tensor(np.asarray(values, dtype=np.float32))
    if tensor.numel() != _size(data):
        came = "1 number" if tensor.numel() == 1 else f"{tensor.numel()} numbers"
        raise UserError(f"the input has {came}; allowed: {_size(data)}, of shape {data.inputs}.")
    if not bool(torch.isfinite(tensor).all()):
        raise UserError(f"'{said}' holds a number that is not finite; allowed: finite numbers.")
    return tensor.reshape(data.inputs)


def the_one(read: Tensor, text: str) -> Tensor:
    """Take the one input that was read, and refuse several.

    >>> the_one(torch.zeros(2, 3), "my/pictures")
    Traceback (most recent call last):
    locution.errors.UserError: 'my/pictures' holds 2 inputs; allowed here: one, such as one picture or one row.
    """
    if len(read) != 1:
        raise UserError(f"'{text}' holds {len(read)} inputs; allowed here: one, such as one picture or one row.")
    first: Tensor = read[0]
    return first


def _size(data: Dataset) -> int:
    return int(np.prod(data.inputs))


def _other(data: Dataset) -> str:
    return "what these data read" if callable(data.reader) else "numbers, or a file"


def _example(data: Dataset, part: str, index: int) -> Tensor:
    held: Any = getattr(data, part)
    if not isinstance(held, TensorBatches):
        raise UserError(f"there is no {part} set here; allowed: {_other(data)}.")
    if index >= len(held):
        raise UserError(f"{part}:{index} is not there; allowed: {part}:0 to {part}:{len(held) - 1}.")
    tensor: Tensor = held.inputs[index]
    return tensor


def _file(text: str, data: Dataset) -> Any:
    path = Path(text)
    kind = path.suffix.lower()
    if kind not in (".npy", ".csv", ".png"):
        return None
    if len(path.name.encode()) > 255 or not path.is_file():  # no file system has a longer name
        raise UserError(f"there is no file {text[:LONGEST]}; allowed: a .npy, .csv or .png file that is there.")
    try:
        values = {".npy": _array, ".csv": _table, ".png": _picture}[kind](path)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if "pickle" in said:  # numpy's advice is to load it all the same
            said = "it is no array of numbers that numpy.save wrote"
        raise UserError(f"{text} cannot be read: {said}.".replace("..", ".")) from error
    if kind == ".png" and values.shape != tuple(data.inputs[-2:]):
        came, allowed = (" x ".join(map(str, shape)) for shape in (values.shape, data.inputs[-2:]))
        raise UserError(f"{text} has {came} pixels; allowed: {allowed}.")
    if values.dtype.kind not in "biuf":
        raise UserError(f"{text} holds values of type {values.dtype}; allowed: real numbers.")
    return values


def _array(path: Path) -> Any:
    if path.stat().st_size == 0:
        raise EOFError("it is empty")
    return np.load(path, allow_pickle=False)


def _table(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of no lines: that no numbers came is said with the shape
        return np.loadtxt(path, delimiter=",", dtype=np.float32)


def _picture(path: Path) -> Any:
    """Ink (rows, columns), 1 where a picture is black and 0 where it is white or where nothing was drawn at all."""
    from matplotlib.image import imread

    picture = imread(path)  # (rows, columns) or (rows, columns, 3 or 4), 0 black to 1 white; the fourth: how opaque
    grey = picture if picture.ndim == 2 else picture[..., :3].mean(-1)
    opaque = picture[..., 3] if picture.ndim == 3 and picture.shape[-1] == 4 else 1.0
    return opaque * (1.0 - grey)
