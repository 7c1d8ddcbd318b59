"""Routers: which expert a frame goes to, and the losses that keep them all at work."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Routing:
    """Routing is the choice, frame by frame, of the experts that are to work on it.

    probabilities: (B, T', E), what the router holds of each expert. dispatch: (B, T', E), the share of each
    frame that went to each expert, 1 in sum: 1/k for each of k chosen ones, or the gate itself where all work.
    counted: (B, T'), False in the padding.

    >>> even, both = torch.full((1, 1, 2), 0.5), torch.tensor([[[1.0, 0.0]]])
    >>> routing = Routing(even, both, torch.tensor([[True]]))
    >>> routing.share().tolist(), round(routing.entropy().item(), 4)
    ([1.0, 0.0], 0.6931)

    Reference: N. Shazeer et al., 2017, "Outrageously Large Neural Networks: The Sparsely-Gated
    Mixture-of-Experts Layer", section 2.
    """

    probabilities: Tensor
    dispatch: Tensor
    counted: Tensor

    @property
    def experts(self) -> int:
        """Count the experts."""
        return self.dispatch.shape[-1]

    def share(self) -> Tensor:
        """Say which share of all frames went to each expert: (E,), 1 in sum."""
        return self.dispatch[self.counted].float().mean(0)

    def entropy(self) -> Tensor:
        """Say how undecided the router is, in nats a frame: 0 where it is certain, log E where it does not care."""
        held = self.probabilities[self.counted].float()  # (N, E)
        nats: Tensor = torch.special.entr(held).sum(-1).mean()
        return nats

    def entropy_share(self) -> Tensor:
        """The entropy as a share of the largest there can be."""
        return self.entropy() / math.log(self.experts) if self.experts > 1 else self.entropy()


def router_logits(x: Tensor, weight: Tensor) -> Tensor:
    """Score each expert for each row of x (..., D) by weight (E, D), in fp32 even under autocast.

    In bf16 two experts that lie close cannot be told apart, and a choice once flipped does not come back.

    >>> router_logits(torch.ones(2, dtype=torch.bfloat16), torch.eye(2)).dtype
    torch.float32

    Reference: W. Fedus, B. Zoph, N. Shazeer, 2021, "Switch Transformers", section 2.4 (selective precision).
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        return nn.functional.linear(x.to(wide), weight.to(wide))


def top_gates(logits: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Choose the `top` likeliest experts of each row of logits (..., E) and share the row among them.

    Returns gates (..., top), their probabilities divided by their sum, and the experts' numbers (..., top). A single
    expert's gate is its probability as it is: divided by itself it would be 1, and the router would learn nothing.

    >>> gates, chosen = top_gates(torch.tensor([0.5, 0.3, 0.2]).log(), 2)
    >>> gates, chosen
    (tensor([0.6250, 0.3750]), tensor([0, 1]))

    Reference: D. Lepikhin et al., 2020, "GShard", algorithm 1; W. Fedus et al., 2021, "Switch Transformers", eq. (2).
    """
    best, chosen = logits.topk(top, dim=-1)
    return best.softmax(-1) if top > 1 else logits.softmax(-1).gather(-1, chosen), chosen


def biased_gates(logits: Tensor, top: int, correction: Tensor) -> tuple[Tensor, Tensor]:
    """Choose experts as `top_gates` does, by probabilities with a correction (E,) added; the gates know nothing of it.

    >>> logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    >>> biased_gates(logits, 1, torch.tensor([0.0, 0.0, 0.4]))  # 0.6 is the most; what counts is 0.2
    (tensor([[0.2000]]), tensor([[2]]))

    Reference: L. Wang et al., 2024, "Auxiliary-loss-free load balancing strategy for mixture-of-experts", eq. 3.
    """
    held = logits.softmax(-1)
    _, chosen = (held + correction.to(held.dtype)).topk(top, dim=-1)
    gates = held.gather(-1, chosen)
    return gates / gates.sum(-1, keepdim=True) if top > 1 else gates, chosen


def mean_over(values: Tensor, counted: Tensor) -> Tensor:
    """Average values (B, T, ...) of each clip over the places that count: (B, ...).

    >>> mean_over(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([2.])
    """
    counted = counted.view(*counted.shape, *[1] * (values.dim() - 2))  # no product of matrices: bf16 would round it
    return torch.where(counted, values, 0).sum(1) / counted.sum(1).clamp(min=1)


def balance_loss(logits: Tensor, counted: Tensor) -> Tensor:
    """The load-balancing loss is small where all experts of a mixture get equally many frames to work on.

    E x sum over experts of f_i P_i, for each utterance over the frames that count: f_i is the share of them
    whose first choice is expert i, P_i the mean probability of expert i. It is 1 where both are even and E
    where everything goes to one. P_i alone, whose sum is always 1, could not see a collapse; f_i alone has no
    gradient.

    logits (B, T, E), counted (B, T); returns (B,).

    >>> everything = torch.ones(1, 4, dtype=torch.bool)
    >>> even, one = 50 * torch.eye(4)[None], torch.tensor([50.0, 0, 0, 0]).expand(1, 4, 4)
    >>> balance_loss(even, everything), balance_loss(one, everything)
    (tensor([1.]), tensor([4.]))

    Reference: W. Fedus, B. Zoph, N. Shazeer, 2021, "Switch Transformers", eq. (4) to (6).
    """
    experts = logits.shape[-1]
    first = nn.functional.one_hot(logits.argmax(-1), experts).to(logits.dtype)  # (B, T, E)
    sent, held = mean_over(first, counted), mean_over(logits.softmax(-1), counted)  # (B, E) each
    return experts * (sent * held).sum(-1)


def z_loss(logits: Tensor, counted: Tensor) -> Tensor:
    """The router z-loss keeps a router's scores small, so that rounding cannot change what it chooses.

    The mean, over the frames of each utterance that count, of log(sum of exp(logits)) squared: logits
    (B, T, E), counted (B, T); returns (B,).

    >>> z_loss(torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)), math.log(4) ** 2
    (tensor([1.9218]), 1.9218...)

    Reference: B. Zoph et al., 2022, "ST-MoE: Designing Stable and Transferable Sparse Expert Models", eq. (5).
    """
    return mean_over(logits.logsumexp(-1).square(), counted)
