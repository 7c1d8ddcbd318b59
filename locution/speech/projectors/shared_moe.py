"""The shared mixture of experts: one expert for every frame, a few more for those who need them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from locution.errors import require
from locution.models.experts import Experts
from locution.models.routing import Routing, balance_loss, mean_over, router_logits, top_gates, z_loss
from locution.speech.projectors.norm import RMSNorm, output_norm, stack_frames, within


class SharedMoEProjector(nn.Module):
    """The shared-MoE projector sends every frame through one expert that all share, and through the few
    others that a router chooses for it.

    y = norm(shared(x) + sum over the chosen of gate_i expert_i(x)) of x = norm([f_1; ...; f_k]), each expert a
    W2 GELU(W1 x) without biases; the gates are the router's `top` largest probabilities over their sum (one
    alone: its probability). The router is fp32. Frames (B, T, D) with lengths (B,) become (B, T', H),
    T' = (T - k) // k + 1, and lengths.

    `auxiliary` gives the loss beside the words: `balance` times the load-balancing loss plus `z` times the
    z-loss, for each utterance over its own frames. With `smear` nothing is chosen: the experts' weights are
    merged for each utterance by the router's view of its mean frame; there is no load to balance then.

    Parameters
    ----------
    inputs: D, width of the encoder. outputs: H, width of the language model. gain: the scale (root mean
    square) of the model's token embeddings. stack: k, frames to an embedding. hidden: width within an expert,
    or None for H. experts, top: how many there are beside the shared one, and how many work on a frame.

    >>> _ = torch.manual_seed(0)
    >>> projector = SharedMoEProjector(6, 8, gain=0.02, stack=2)
    >>> frames, lengths = torch.randn(2, 8, 6), torch.tensor([8, 5])
    >>> embeddings, kept = projector(frames, lengths)
    >>> tuple(embeddings.shape), kept.tolist()
    ((2, 4, 8), [4, 2])
    >>> routing = projector.routing(frames, lengths)
    >>> int(routing.counted.sum()), routing.dispatch[0, 0].tolist()  # two of four experts, half a frame each
    (6, [0.0, 0.0, 0.5, 0.5])

    Reference: D. Dai et al., 2024, "DeepSeekMoE", eq. (9) (shared experts); M. Muqeeth, H. Liu, C. Raffel,
    2023, "Soft Merging of Experts with Adaptive Routing", section 3 (`smear`).
    """

    kind: ClassVar[str] = "shared_moe"

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        gain: float = 1.0,
        stack: int = 4,
        hidden: int | None = None,
        experts: int = 4,
        top: int = 2,
        balance: float = 0.01,
        z: float = 0.001,
        smear: bool = False,
    ) -> None:
        super().__init__()
        require(stack >= 1, "projector.stack", stack, "a whole number above 0, usually 2 to 5")
        require(hidden is None or hidden >= 1, "projector.hidden", hidden, "a whole number above 0, or none")
        require(experts >= 1, "projector.experts", experts, "a whole number above 0, usually 4")
        require(1 <= top <= experts, "projector.top", top, f"a whole number from 1 to {experts}, usually 2")
        require(balance >= 0, "projector.balance", balance, "a number from 0, usually 0.01")
        require(z >= 0, "projector.z", z, "a number from 0, usually 0.001")
        hidden = outputs if hidden is None else hidden
        self.settings: dict[str, Any] = {"stack": stack, "hidden": hidden, "experts": experts, "top": top}
        self.settings |= {"balance": balance, "z": z, "smear": smear}
        self.stack, self.top, self.balance, self.z, self.smear = stack, top, balance, z, smear
        self.entry = RMSNorm(stack * inputs, eps=1e-6)
        self.router = nn.Parameter(0.02 * torch.randn(experts, stack * inputs))  # (E, kD)
        enter, leave = nn.Linear(stack * inputs, hidden, bias=False), nn.Linear(hidden, outputs, bias=False)
        self.shared = nn.Sequential(enter, nn.GELU(), leave)
        self.experts = Experts(experts, stack * inputs, hidden, outputs)
        self.norm = output_norm(outputs, gain)

    def rows(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Stack and norm the frames: rows (B, T', kD), their lengths (B,), and which count (B, T')."""
        x, lengths = stack_frames(frames, lengths, self.stack)
        return self.entry(x), lengths, within(x.shape[1], lengths)

    def logits(self, x: Tensor, counted: Tensor) -> Tensor:
        """Score the experts for each row, (B, T', E), or for each utterance's mean row, (B, 1, E), with `smear`."""
        return router_logits(mean_over(x, counted)[:, None] if self.smear else x, self.router)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn frames (B, T, D) and lengths (B,) into embeddings (B, T', H) and lengths (B,)."""
        x, lengths, counted = self.rows(frames, lengths)
        logits = self.logits(x, counted)
        heard = x[counted]  # (N, kD), without the padding
        if self.smear:
            routed = self.experts.merged(x, logits[:, 0].softmax(-1))[counted]  # (N, H)
        else:
            routed = self.experts(heard, *top_gates(logits[counted], self.top))  # (N, H)
        y = self.norm(self.shared(heard) + routed)  # (N, H)
        embeddings = y.new_zeros(*counted.shape, y.shape[-1]).index_put((counted,), y)  # (B, T', H)
        return embeddings, lengths

    def routing(self, frames: Tensor, lengths: Tensor) -> Routing:
        """Say where the router sends the frames (B, T, D) of clips of these lengths (B,)."""
        x, _, counted = self.rows(frames, lengths)
        logits = self.logits(x, counted)
        probabilities = logits.softmax(-1)
        if self.smear:
            return Routing(probabilities, probabilities, torch.ones_like(counted[:, :1]))
        _, chosen = top_gates(logits, self.top)
        dispatch = torch.zeros_like(logits).scatter_(-1, chosen, 1 / self.top)
        return Routing(probabilities, dispatch, counted)

    def auxiliary(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The loss of each utterance beside its words, (B,), for frames (B, T, D) and lengths (B,)."""
        x, _, counted = self.rows(frames, lengths)
        logits = self.logits(x, counted)
        if self.smear:
            return self.z * z_loss(logits, torch.ones_like(counted[:, :1]))
        return self.balance * balance_loss(logits, counted) + self.z * z_loss(logits, counted)
