"""Where the tensors live: CUDA, MPS or the processor."""

from __future__ import annotations

import torch

from locution.errors import UserError, unknown


def pick_device(name: str = "auto") -> torch.device:
    """Pick the fastest device that is there, or the one that is asked for.

    >>> pick_device("cpu")
    device(type='cpu')

    Reference: A. Paszke et al., 2019, "PyTorch: an imperative style, high-performance deep learning library",
    section 5.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise unknown("device", name, ["auto", "cpu", "cuda", "mps"])
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[kind]:
        raise UserError(f"device '{name}' is not on this machine; allowed here: auto, cpu.")
    return torch.device(name)


def finest(device: torch.device) -> torch.dtype:
    """Name the finest numbers that a device can count with: of 64 bits, but on MPS, which has them of 32 alone.

    >>> finest(torch.device("cpu")), finest(torch.device("mps"))
    (torch.float64, torch.float32)
    """
    return torch.float32 if device.type == "mps" else torch.float64
