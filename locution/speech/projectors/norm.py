"""What every projector ends in: a norm that speaks as loudly as the language model's own embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def rms(x: Tensor) -> float:
    """The root mean square says how large the numbers of a tensor are, whatever their sign.

    >>> round(rms(torch.tensor([3.0, -4.0])), 4)
    3.5355
    """
    return float(x.detach().float().square().mean().sqrt())


def output_norm(width: int, gain: float) -> RMSNorm:
    """Build the norm a projector ends in: a frame leaves with root mean square `gain`, which then trains.

    Projectors of different kinds differ a hundredfold in scale when they start, and a language model hears
    nothing in inputs far larger or smaller than its embeddings; so the gain starts at the embeddings'
    measured scale.

    >>> norm = output_norm(4, gain=0.5)
    >>> round(rms(norm(100 * torch.randn(10, 4))), 3)
    0.5

    Reference: B. Zhang and R. Sennrich, 2019, "Root Mean Square Layer Normalization", eq. (4).
    """
    norm = RMSNorm(width, eps=1e-6)
    nn.init.constant_(norm.weight, gain)
    return norm


class RMSNorm(nn.RMSNorm):
    """An RMS norm that measures in fp32 whatever comes in: in bf16 a mean of squares keeps only three digits.

    >>> RMSNorm(2)(torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16)).dtype
    torch.float32
    """

    def forward(self, x: Tensor) -> Tensor:
        """Divide (..., width) by its root mean square and multiply by the gain."""
        return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))


def within(room: int, lengths: Tensor) -> Tensor:
    """Say which of `room` places lie within each clip's length: lengths (B,) become (B, room), True or False.

    >>> within(3, torch.tensor([1, 3])).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(room, device=lengths.device) < lengths[:, None]


def without_padding(frames: Tensor, lengths: Tensor) -> Tensor:
    """Set to zero what lies behind each clip of frames (B, T, D), whatever it holds: an encoder that always
    hears thirty seconds leaves frames of silence there.

    >>> without_padding(torch.tensor([[[1.0], [float("nan")]]]), torch.tensor([1])).flatten().tolist()
    [1.0, 0.0]
    """
    return torch.where(within(frames.shape[1], lengths)[..., None], frames, torch.zeros_like(frames[:1, :1]))


def stack_frames(frames: Tensor, lengths: Tensor, stack: int) -> tuple[Tensor, Tensor]:
    """Put each `stack` frames in a row side by side, dropping a tail that fills no row.

    frames (B, T, D) and lengths (B,) become (B, T // stack, stack * D) and lengths // stack; a clip shorter
    than one row keeps one, filled up with zeros, so that nothing becomes nothing.

    >>> rows, lengths = stack_frames(torch.arange(5.0).view(1, 5, 1), torch.tensor([5]), 2)
    >>> rows.tolist(), lengths.tolist()
    ([[[0.0, 1.0], [2.0, 3.0]]], [2])
    """
    frames = without_padding(frames, lengths)
    if frames.shape[1] < stack:
        frames = nn.functional.pad(frames, (0, 0, 0, stack - frames.shape[1]))
    kept = (frames.shape[1] - stack) // stack + 1
    batch, _, width = frames.shape
    rows = frames[:, : kept * stack].reshape(batch, kept, stack * width)  # (B, T', stack * D)
    return rows, torch.clamp(lengths // stack, min=1)
