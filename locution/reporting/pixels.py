"""Small pictures as data that stands in the page itself: no file beside it, no request."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
# both run evenly from dark to light for every kind of colour vision, and survive a black-and-white printer
VIRIDIS: tuple[Colour, ...] = (
    (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142),
    (31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37),
)  # fmt: skip
MAGMA: tuple[Colour, ...] = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip
INK: tuple[Colour, ...] = ((255, 255, 255), (24, 26, 32))


def palette(anchors: Sequence[Colour], size: int = 256) -> NDArray[np.uint8]:
    """Fill in the colours between a few, evenly: (size, 3).

    >>> palette([(0, 0, 0), (200, 100, 50)], 3).tolist()
    [[0, 0, 0], [100, 50, 25], [200, 100, 50]]
    """
    known = np.linspace(0.0, 1.0, len(anchors))
    wanted = np.linspace(0.0, 1.0, size)
    columns = [np.interp(wanted, known, channel) for channel in np.array(anchors, dtype=float).T]
    return np.stack(columns, axis=1).round().astype(np.uint8)


def levels(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Spread values from low to high over 0 to 255; what lies outside is held at the ends.

    >>> levels(np.array([-1.0, 0.0, 5.0, 10.0, 99.0]), 0.0, 10.0).tolist()
    [0, 0, 128, 255, 255]
    """
    if not np.isfinite(high - low):
        low, high = 0.0, 1.0
    with np.errstate(all="ignore"):
        scaled = (np.asarray(values, dtype=float) - low) / ((high - low) or 1.0)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0)
    return (np.clip(scaled, 0.0, 1.0) * 255).round().astype(np.uint8)


def png(pixels: NDArray[np.uint8], colours: Sequence[Colour]) -> bytes:
    """Write a picture (rows, columns) of levels 0 to 255 as a PNG with a palette of 256 colours.

    >>> png(np.zeros((2, 3), dtype=np.uint8), INK)[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'

    Reference: T. Boutell et al., 1997, "PNG (Portable Network Graphics) Specification", RFC 2083, section 4.
    """
    height, width = pixels.shape
    filters = np.zeros((height, 1), dtype=np.uint8)  # a byte that opens each row: 0, no filter
    rows = np.concatenate([filters, pixels], axis=1)  # (height, 1 + width)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits a pixel, colours from a palette
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", palette(colours).tobytes())
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )


def data_uri(picture: bytes) -> str:
    """Write a PNG as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
