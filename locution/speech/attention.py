"""Which kernel computes a model's attention, found out and said in words."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from locution.models.attention import PLAIN, choose_kernel


def attention_kernel(model: nn.Module, *, padded: bool = False, trains: bool = False, precision: str = "fp32") -> str:
    """Say which kernel computes the attention of a frozen half: flash, memory-efficient or plain.

    `padded`: for a batch of unequal clips, whose padding a mask hides. `trains`: where a gradient goes back through
    it. `precision`: the run's, bf16 for autocast.
    """
    inner: Any = getattr(model, "encoder", model)  # Whisper's lies one deeper
    config = inner.config
    written = getattr(config, "_attn_implementation", "sdpa")
    if written == "eager":
        return PLAIN
    if written != "sdpa":
        return str(written).replace("_", " ")
    heads = first(config, "num_attention_heads", "encoder_attention_heads", "heads")
    width = first(config, "hidden_size", "d_model", "width")
    if not heads or not width:
        return "of its own"
    size = getattr(config, "head_dim", None) or width // heads
    weight = next(inner.parameters())
    dtype = torch.bfloat16 if precision == "bf16" else weight.dtype
    query = torch.zeros(2, heads, 16, size, dtype=dtype, device=weight.device, requires_grad=trains)
    mask = torch.ones(2, 1, 16, 16, dtype=torch.bool, device=weight.device) if padded else None
    return choose_kernel(query, query, mask)


def first(config: Any, *names: str) -> int:
    """Take the first setting that a configuration has, under whichever name its kind of model gives it, or 0."""
    return next((int(getattr(config, name)) for name in names if getattr(config, name, None) is not None), 0)


def kernels_used(encoder: nn.Module | None, language_model: nn.Module, precision: str = "fp32") -> str:
    """Say for a run which kernels its two halves use, and which where a batch is padded."""

    def said(kernel: str, padded: str) -> str:
        return kernel if kernel == padded else f"{kernel}, {padded} for a padded batch"

    whole, filled = (
        attention_kernel(language_model, padded=padded, trains=True, precision=precision) for padded in (False, True)
    )
    line = f"language model {said(whole, filled)}"
    if encoder is not None:
        masked = bool(getattr(encoder, "unpadded", True))  # Whisper's thirty seconds need no mask
        line = f"encoder {attention_kernel(encoder, padded=masked, precision=precision)}; {line}"
    return f"attention kernels on {next(language_model.parameters()).device.type}: {line}."
