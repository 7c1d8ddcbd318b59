"""MOSA, a mixture of simple adapters: every expert contributes to every frame."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from locution.errors import require
from locution.models.routing import Routing, mean_over
from locution.speech.projectors.norm import output_norm, within, without_padding

STRIDES = {1: (1, 1), 2: (2, 1), 4: (2, 2)}


class MOSAProjector(nn.Module):
    """The MOSA projector lets several simple adapters translate each frame and mixes what they say by a router's
    gates.

    x = GELU(conv2(GELU(conv1(f)))), two convolutions of width 3 that leave every fourth frame; y = norm(sum over
    all experts of gate_i A_i(x)), A_i(x) = W2 ReLU(W1 x + b1) + b2; gate = softmax(V2 ReLU(V1 f + c1) + c2) of the
    encoder's frames, averaged over the four that an embedding stands for, or of x itself (`gate="downsampled"`).
    No loss but the words'. Frames (B, T, D) with lengths (B,) become (B, ceil(T / 4), H) and lengths.

    Parameters
    ----------
    inputs: D, width of the encoder. outputs: H, width of the language model. gain: the scale (root mean square) of
    the model's token embeddings. experts: how many adapters, 4 in the paper's base model and 8 in its large one.
    hidden: width within an adapter. router: width within the router. stride: frames to an embedding, 1, 2 or 4.

    >>> _ = torch.manual_seed(0)
    >>> projector = MOSAProjector(6, 8, gain=0.02, hidden=16, router=12)
    >>> embeddings, lengths = projector(torch.randn(2, 11, 6), torch.tensor([11, 5]))
    >>> tuple(embeddings.shape), lengths.tolist()
    ((2, 3, 8), [3, 2])
    >>> projector.routing(torch.randn(1, 4, 6), torch.tensor([4])).dispatch.sum(-1)
    tensor([[1.]], grad_fn=<SumBackward1>)

    Reference: J. Li et al., 2025, "MOSA: Mixtures of Simple Adapters Outperform Monolithic Approaches in LLM-based
    Multilingual ASR", section 2.
    """

    kind: ClassVar[str] = "mosa"

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        gain: float = 1.0,
        experts: int = 4,
        hidden: int = 4096,
        router: int = 512,
        stride: int = 4,
        gate: Literal["frames", "downsampled"] = "frames",
    ) -> None:
        super().__init__()
        require(experts >= 1, "projector.experts", experts, "a whole number above 0, usually 4 or 8")
        require(hidden >= 1, "projector.hidden", hidden, "a whole number above 0, usually 4096")
        require(router >= 1, "projector.router", router, "a whole number above 0, usually 512")
        require(stride in STRIDES, "projector.stride", stride, "1, 2 or 4")
        require(gate in ("frames", "downsampled"), "projector.gate", gate, "frames or downsampled")
        self.settings = {"experts": experts, "hidden": hidden, "router": router, "stride": stride, "gate": gate}
        self.stride, self.gate = stride, gate
        first, second = STRIDES[stride]
        self.first = nn.Conv1d(inputs, inputs, 3, stride=first, padding=1)
        self.second = nn.Conv1d(inputs, outputs, 3, stride=second, padding=1)
        seen = inputs if gate == "frames" else outputs
        self.router = nn.Sequential(nn.Linear(seen, router), nn.ReLU(), nn.Linear(router, experts))
        self.enter = nn.Linear(outputs, experts * hidden)  # the adapters' first layers, one under the other
        self.leave = nn.ModuleList(nn.Linear(hidden, outputs) for _ in range(experts))
        self.norm = output_norm(outputs, gain)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn frames (B, T, D) and lengths (B,) into embeddings (B, T', H) and lengths (B,)."""
        frames, lengths = without_padding(frames, lengths), lengths.clamp(min=1)
        x, kept = self.downsample(frames, lengths)  # (B, T', H)
        gates = self.gates(frames, lengths, x)  # (B, T', E)
        embeddings: Tensor = self.norm(self.mix(x, gates))  # (B, T', H)
        return embeddings, kept

    def downsample(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run both convolutions; what lies behind a clip's end is zero before each, as it is for the clip alone."""
        x = frames.transpose(1, 2)  # (B, D, T)
        for layer in (self.first, self.second):
            x = nn.functional.gelu(layer(x))
            lengths = (lengths - 1) // layer.stride[0] + 1
            x = x * within(x.shape[2], lengths)[:, None]  # (B, ., T')
        return x.transpose(1, 2), lengths

    def gates(self, frames: Tensor, lengths: Tensor, x: Tensor) -> Tensor:
        """Say how much each adapter counts at each embedding: (B, T', E), 1 in sum."""
        if self.gate == "downsampled":
            return softmax(self.router(x))
        gates = softmax(self.router(frames))  # (B, T, E)
        batch, room, experts = gates.shape
        missing = x.shape[1] * self.stride - room
        there = within(room + missing, lengths).view(-1, self.stride)  # (B * T', s)
        grouped = nn.functional.pad(gates, (0, 0, 0, missing)).view(-1, self.stride, experts)  # (B * T', s, E)
        return mean_over(grouped, there).view(batch, -1, experts)

    def mix(self, x: Tensor, gates: Tensor) -> Tensor:
        """Add up what all adapters make of x (B, T', H), each by its gate."""
        hidden = torch.relu(self.enter(x)).chunk(len(self.leave), dim=-1)  # E times (B, T', h)
        mixed = torch.zeros((), device=x.device)
        for i, leave in enumerate(self.leave):
            mixed = mixed + gates[..., i, None] * leave(hidden[i])  # (B, T', H)
        return mixed

    def routing(self, frames: Tensor, lengths: Tensor) -> Routing:
        """Say how the adapters share the frames (B, T, D) of clips of these lengths (B,)."""
        frames, lengths = without_padding(frames, lengths), lengths.clamp(min=1)
        x, kept = self.downsample(frames, lengths)
        gates = self.gates(frames, lengths, x)
        return Routing(gates, gates, within(x.shape[1], kept))


def softmax(logits: Tensor) -> Tensor:
    """Turn logits (..., E) into gates, 1 in sum, in fp32 at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
