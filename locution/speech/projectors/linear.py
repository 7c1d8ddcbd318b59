"""The linear projector of SLAM-ASR: the baseline that others are measured against."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.errors import require
from locution.speech.projectors.norm import output_norm, stack_frames


class LinearProjector(nn.Module):
    """The linear projector of SLAM-ASR stacks five frames and sends them through two layers with a ReLU.

    y = norm(W2 ReLU(W1 [f_1; ...; f_5] + b1) + b2). Frames (B, T, D) with lengths (B,) become embeddings
    (B, T', H) with T' = (T - 5) // 5 + 1, and their lengths. The closing norm is ours, as everywhere here.

    >>> _ = torch.manual_seed(0)
    >>> projector = LinearProjector(6, 8, gain=0.02)
    >>> embeddings, lengths = projector(torch.randn(2, 11, 6), torch.tensor([11, 5]))
    >>> tuple(embeddings.shape), lengths.tolist()
    ((2, 2, 8), [2, 1])

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity",
    section 3.2.
    """

    kind: ClassVar[str] = "linear"

    def __init__(self, inputs: int, outputs: int, *, gain: float = 1.0, stack: int = 5, hidden: int = 2048) -> None:
        super().__init__()
        require(stack >= 1, "projector.stack", stack, "a whole number above 0, usually 5")
        require(hidden >= 1, "projector.hidden", hidden, "a whole number above 0, usually 2048")
        self.settings = {"stack": stack, "hidden": hidden}
        self.stack = stack
        self.enter = nn.Linear(stack * inputs, hidden)
        self.leave = nn.Linear(hidden, outputs)
        self.norm = output_norm(outputs, gain)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn frames (B, T, D) and lengths (B,) into embeddings (B, T', H) and lengths (B,)."""
        rows, lengths = stack_frames(frames, lengths, self.stack)  # (B, T', k * D)
        embeddings: Tensor = self.norm(self.leave(torch.relu(self.enter(rows))))  # (B, T', H)
        return embeddings, lengths
