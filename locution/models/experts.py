"""Experts: several small networks of the same shape, of which each frame gets some, or a blend of all."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Experts(nn.Module):
    """An expert is one of several small networks that share the work, each on what a router gives it.

    E experts W2 GELU(W1 x) without biases, their weights in two tensors: `enter` (E, h, D), `leave` (E, H, h).

    >>> Experts(4, 6, 16, 8).enter.shape
    torch.Size([4, 16, 6])

    Reference: R. A. Jacobs et al., 1991, "Adaptive Mixtures of Local Experts", section 1.
    """

    def __init__(self, experts: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Parameter(linear_start(experts, hidden, inputs))
        self.leave = nn.Parameter(linear_start(experts, outputs, hidden))

    def forward(self, x: Tensor, gates: Tensor, chosen: Tensor) -> Tensor:
        """Send each row of x (N, D) to the experts `chosen` (N, k) for it, and add up by `gates` (N, k): (N, H)."""
        if one_program():
            return every_expert(x, gates, chosen, self.enter, self.leave)
        return chosen_experts(x, gates, chosen, self.enter, self.leave)

    def merged(self, x: Tensor, gates: Tensor) -> Tensor:
        """Send the rows x (B, T, D) of each utterance through the blend by its gates (B, E): (B, T, H)."""
        return merged_expert(x, gates, self.enter, self.leave)


def linear_start(*shape: int) -> Tensor:
    """Draw the first weights (..., outputs, inputs) as torch's linear layer draws its own."""
    bound = 1 / math.sqrt(shape[-1])
    return torch.empty(shape).uniform_(-bound, bound)


def chosen_experts(x: Tensor, gates: Tensor, chosen: Tensor, enter: Tensor, leave: Tensor) -> Tensor:
    """Sparse routing lets each expert work on only those rows that were sent to it.

    sum over j of gates[n, j] W2_i GELU(W1_i x[n]) with i = chosen[n, j]: x (N, D), gates and chosen (N, k), enter
    (E, h, D), leave (E, H, h); returns (N, H). The rows are sorted by expert, so that each expert is two matrix
    products, and put back into order; no sum depends on the order of execution.

    >>> enter, leave = torch.ones(2, 1, 1), torch.tensor([[[1.0]], [[10.0]]])
    >>> x, gates, chosen = torch.tensor([[5.0], [6.0]]), torch.ones(2, 1), torch.tensor([[1], [0]])
    >>> chosen_experts(x, gates, chosen, enter, leave)
    tensor([[50.0000],
            [ 6.0000]])

    Reference: N. Shazeer et al., 2017, "Outrageously Large Neural Networks: The Sparsely-Gated
    Mixture-of-Experts Layer", eq. (1).
    """
    top = chosen.shape[1]
    order = chosen.flatten().argsort(stable=True)  # (N * k,), by expert
    counts = chosen.flatten().bincount(minlength=len(enter)).tolist()
    rows = torch.split(x[order // top], counts)
    done = [
        nn.functional.linear(nn.functional.gelu(nn.functional.linear(some, enter[i])), leave[i])
        for i, some in enumerate(rows)
    ]
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    each = torch.cat(done)[back].view(len(x), top, -1)  # (N, k, H)
    return (each * gates[..., None]).sum(1)


def one_program() -> bool:
    """Say whether the same operations must serve whatever is chosen: under torch.func's vmap, and while compiling."""
    return torch.compiler.is_compiling() or transformed()


def transformed() -> bool:
    """Say whether this runs under one of torch.func's transforms, whose tensors do not outlive them."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def every_expert(x: Tensor, gates: Tensor, chosen: Tensor, enter: Tensor, leave: Tensor) -> Tensor:
    """Compute what `chosen_experts` does by letting each expert work on every row, and leaving out what was not asked.

    >>> enter, leave = torch.ones(2, 1, 1), torch.tensor([[[1.0]], [[10.0]]])
    >>> every_expert(torch.tensor([[5.0], [6.0]]), torch.ones(2, 1), torch.tensor([[1], [0]]), enter, leave)
    tensor([[50.0000],
            [ 6.0000]])
    """
    numbers = torch.arange(enter.shape[0], device=x.device)
    shares = (gates[..., None] * (chosen[..., None] == numbers)).sum(-2)  # (N, E)
    hidden = nn.functional.gelu(torch.einsum("nd,ehd->neh", x, enter))
    each = torch.einsum("neh,eoh->neo", hidden, leave)
    return (each * shares[..., None]).sum(-2)


def merged_expert(x: Tensor, gates: Tensor, enter: Tensor, leave: Tensor) -> Tensor:
    """SMEAR merges a mixture's experts into one by averaging their weights, so that nothing need be chosen.

    Each utterance gets its own blend: W = sum over i of gates_i W_i for both layers, then W2 GELU(W1 x). That costs
    one expert however many there are, and every expert learns from every utterance. x (B, T, D), gates (B, E), enter
    (E, h, D), leave (E, H, h); returns (B, T, H).

    >>> enter, leave = torch.ones(2, 1, 1), torch.tensor([[[1.0]], [[10.0]]])
    >>> merged_expert(torch.tensor([[[5.0]]]), torch.tensor([[0.5, 0.5]]), enter, leave)
    tensor([[[27.5000]]])

    Reference: M. Muqeeth, H. Liu, C. Raffel, 2023, "Soft Merging of Experts with Adaptive Routing", section 3.
    """
    first, second = (torch.einsum("be,eoi->bio", gates.to(w.dtype), w) for w in (enter, leave))  # (B, D, h), (B, h, H)
    said: Tensor = nn.functional.gelu(x @ first) @ second
    return said
