"""Random streams that depend on a counter, never on what was drawn before.

Each draw is keyed by (seed, stream, epoch, step), so a run that is killed and resumed draws the same numbers,
and switching one method on does not shift another's randomness (Salmon et al., 2011, "Parallel random
numbers: as easy as 1, 2, 3": the state of a stream is its counter).
"""

from __future__ import annotations

import hashlib
import struct

import torch


def stream_key(seed: int, stream: str, *counters: int) -> int:
    """Hash a seed, the name of a stream and its counters into one 63-bit key.

    >>> stream_key(0, "data", 1) == stream_key(0, "data", 1)
    True
    >>> stream_key(0, "data", 1) == stream_key(0, "model", 1)
    False
    """
    words = struct.pack(f"<{1 + len(counters)}q", seed, *counters)
    digest = hashlib.blake2b(words, digest_size=8, key=stream.encode()[:64]).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, stream: str, *counters: int, device: str | torch.device = "cpu") -> torch.Generator:
    """Build a generator of its own for one draw of one stream.

    >>> a = torch.rand(2, generator=generator(0, "mixup", 3))
    >>> b = torch.rand(2, generator=generator(0, "mixup", 3))
    >>> bool((a == b).all())
    True

    Reference: J. Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3", section 2.
    """
    return torch.Generator(device=device).manual_seed(stream_key(seed, stream, *counters))


def reseed(key: int, device: torch.device) -> None:
    """Set torch's own generator, from which dropout draws, to a key of the model's stream."""
    torch.default_generator.manual_seed(key)
    if device.type == "cuda":
        torch.cuda.manual_seed(key)
    elif device.type == "mps":
        torch.mps.manual_seed(key)
