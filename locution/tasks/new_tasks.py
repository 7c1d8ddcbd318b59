"""Tasks that a hypernetwork never saw: its writing network stays, and only a new task's code is learnt."""

from __future__ import annotations

import torch
from torch import Tensor

from locution.models.hypernetwork import Hypernetwork, run_written

STEPS, RATE = 300, 0.05


def learn_codes(model: Hypernetwork, x: Tensor, y: Tensor, steps: int = STEPS) -> Tensor:
    """Learn the codes of new tasks from a few examples of each; everything else of a hypernetwork stays as it is.

    A code begins in the middle of those that are known, and goes down the squared error by Adam. All tasks are learnt
    side by side and none knows of another.

    x: (T, K, F), K examples of each new task, y: (T, K, outputs). Returns codes (T, code).

    >>> _ = torch.manual_seed(0)
    >>> net = Hypernetwork(tasks=2, widths=(1, 1), code=2, hidden=(16,))
    >>> x = torch.tensor([[[-1.0], [1.0]]])
    >>> y = answers(net, net.codes.weight[:1], x).detach()  # a task that some code is right for
    >>> codes = learn_codes(net, x, y)
    >>> codes.shape, bool((answers(net, codes, x) - y).abs().max() < 0.001)
    (torch.Size([1, 2]), True)

    Reference: J. von Oswald, C. Henning, B. Grewe, J. Sacramento, 2020, "Continual learning with hypernetworks",
    section 2 (task embeddings); in this form: L. Zintgraf et al., 2019, "Fast context adaptation via meta-learning",
    section 3.
    """
    with torch.enable_grad():
        codes = model.codes.weight.detach().mean(0).repeat(len(x), 1).requires_grad_()
        optimizer = torch.optim.Adam([codes], lr=RATE)
        for _ in range(steps):
            error = (answers(model, codes, x) - y).square().flatten(1).mean(1).sum()  # each task's own, added up
            (codes.grad,) = torch.autograd.grad(error, [codes])  # the writing network gathers no gradient
            optimizer.step()
    return codes.detach()


def answers(model: Hypernetwork, codes: Tensor, x: Tensor) -> Tensor:
    """Run examples (T, K, F) through the networks that are written from codes (T, code): (T, K, outputs)."""
    weights = model.write_from(codes).repeat_interleave(x.shape[1], 0)  # (T K, P)
    return run_written(x.flatten(0, 1), weights, model.widths).view(*x.shape[:2], -1)
