"""A picture's file becomes pixels: turned upright, on white, of one size, grey or in colour."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from locution.errors import LocutionError, UserError

if TYPE_CHECKING:
    from PIL import Image

Fit = Literal["squash", "crop", "pad"]
FITS = ("squash", "crop", "pad")
GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
MOST_PIXELS = 100_000_000  # beyond it a small file may be made to fill the memory


class Damaged(LocutionError):
    """A picture cannot be read: the reason, in a few words, without the file's name."""


def open_picture(file: Path) -> Image.Image:
    """Open a picture's file and read no more than its head; raises Damaged for one that is none, or is too large."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is too large is refused below, by a limit of our own
            picture: Image.Image = Image.open(file)
            width, height = picture.size
    except UserError:
        raise
    except Exception as error:  # decoders of some forty formats raise whatever they come upon
        raise Damaged(reason(error)) from error
    if width * height > MOST_PIXELS:
        picture.close()
        raise Damaged(f"{width:,} x {height:,} pixels, more than {MOST_PIXELS:,}")
    if not width or not height:
        picture.close()
        raise Damaged("no pixels")
    return picture


def reason(error: Exception) -> str:
    """Say in a few words why a picture cannot be read.

    >>> reason(OSError("broken data stream when reading image file"))
    'broken data stream when reading image file'
    """
    if type(error).__name__ == "UnidentifiedImageError":
        return "no picture of a known kind"
    if type(error).__name__ == "DecompressionBombError":
        return "more pixels than a picture has"
    return " ".join(str(error).split())[:100] or type(error).__name__


def look(file: Path) -> tuple[int, int, bool, bool]:
    """Read a picture's height, width, whether it is grey, and whether it has several frames, from its head alone."""
    picture = open_picture(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = getattr(picture, "n_frames", 1)
        return picture.height, picture.width, picture.mode in GREY, frames > 1
    except Exception as error:  # the frames are counted by reading on
        raise Damaged(reason(error)) from error
    finally:
        picture.close()


def decode(file: Path, size: int, colour: bool, fit: Fit = "squash") -> NDArray[np.uint8]:
    """Read a picture as bytes (channels, size, size), 0 black to 255 white; its first frame, if it has several.

    It is turned as its camera held it (EXIF), what is transparent is white, 16 bits become 8. `fit` makes it square:
    squash changes its proportions, crop keeps its middle, pad puts black beside it.
    """
    picture = open_picture(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if picture.format == "JPEG":
                picture.draft(None, (2 * size, 2 * size))  # decodes at a fraction of the size, many times as fast
            square = fitted(plain(upright(picture), colour), size, fit)
            pixels = np.asarray(square, dtype=np.uint8)  # (H, W) or (H, W, 3)
    except Exception as error:  # as above
        raise Damaged(reason(error)) from error
    finally:
        picture.close()
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as its camera was held; what it says of that may itself be damaged."""
    from PIL import ImageOps

    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # the pixels are sound, and the turn is not known
        return picture


def plain(picture: Image.Image, colour: bool) -> Image.Image:
    """Make a picture of any kind one of 8 bits, grey or red, green and blue, on white where it is transparent."""
    from PIL import Image

    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        picture = Image.fromarray(eight_bits(np.asarray(picture)))
    clear = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    if clear:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    if picture.mode == "CMYK" or picture.mode not in ("1", "L", "RGB", "RGBA"):
        picture = picture.convert("RGB")
    return picture.convert("RGB" if colour else "L")


def eight_bits(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Bring pixels of 16 or 32 bits to 0 to 255: by 257 from 65,535, by 255 from 1, cut off otherwise.

    >>> eight_bits(np.array([0, 257, 65535])).tolist(), eight_bits(np.array([0.0, 1.0])).tolist()
    ([0, 1, 255], [0, 255])
    """
    values = np.nan_to_num(np.asarray(pixels, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if pixels.dtype.kind == "f":
        values = values * 255 if values.max(initial=0.0) <= 1 else values
    elif values.max(initial=0.0) > 255 or (pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2):
        values = values / 257
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def fitted(picture: Image.Image, size: int, fit: Fit) -> Image.Image:
    """Bring a picture to a square of so many pixels, averaging over those that fall together."""
    from PIL import Image, ImageOps

    if picture.size == (size, size):
        return picture
    smooth = Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(picture, (size, size), smooth)
    if fit == "pad":
        return ImageOps.pad(picture, (size, size), smooth)
    return picture.resize((size, size), smooth)
