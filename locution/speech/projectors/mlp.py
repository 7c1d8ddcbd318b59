"""The MLP projector: frames stacked, two linear layers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from locution.errors import require
from locution.speech.projectors.norm import RMSNorm, output_norm, stack_frames


class MLPProjector(nn.Module):
    """The MLP projector turns every few frames of an encoder into one embedding with two linear layers.

    y = norm(W2 GELU(norm(W1 [f_1; ...; f_k]))), without biases, each norm an RMSNorm; W1 (h, kD), W2 (H, h).
    Frames (B, T, D) with lengths (B,) become embeddings (B, T', H), T' = (T - k) // k + 1, and their lengths.

    Parameters
    ----------
    inputs: D, width of the encoder. outputs: H, width of the language model. gain: the scale (root mean
    square) of the model's token embeddings. stack: k, frames to an embedding. hidden: h, or None for H.

    >>> from torch import manual_seed, randn, tensor
    >>> _ = manual_seed(0)
    >>> projector = MLPProjector(6, 8, gain=0.02, stack=4)
    >>> embeddings, lengths = projector(randn(2, 11, 6), tensor([11, 5]))
    >>> tuple(embeddings.shape), lengths.tolist(), round(embeddings.square().mean().sqrt().item(), 3)
    ((2, 2, 8), [2, 1], 0.02)

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity",
    section 3.2 (stacking); B. Zhang and R. Sennrich, 2019, eq. (4) (the norms).
    """

    kind: ClassVar[str] = "mlp"

    def __init__(
        self, inputs: int, outputs: int, *, gain: float = 1.0, stack: int = 4, hidden: int | None = None
    ) -> None:
        super().__init__()
        require(stack >= 1, "projector.stack", stack, "a whole number above 0, usually 2 to 5")
        require(hidden is None or hidden >= 1, "projector.hidden", hidden, "a whole number above 0, or none")
        hidden = outputs if hidden is None else hidden
        self.settings = {"stack": stack, "hidden": hidden}
        self.stack = stack
        self.enter = nn.Linear(stack * inputs, hidden, bias=False)
        self.middle = RMSNorm(hidden, eps=1e-6)
        self.leave = nn.Linear(hidden, outputs, bias=False)
        self.norm = output_norm(outputs, gain)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn frames (B, T, D) and lengths (B,) into embeddings (B, T', H) and lengths (B,)."""
        rows, lengths = stack_frames(frames, lengths, self.stack)  # (B, T', k * D)
        hidden = nn.functional.gelu(self.middle(self.enter(rows)))  # (B, T', h)
        embeddings: Tensor = self.norm(self.leave(hidden))  # (B, T', H)
        return embeddings, lengths
