"""Transfer: how far the layers of a model moved from the weights of the task before."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from locution.errors import UserError


def moved(model: nn.Module, before: Mapping[str, Tensor]) -> dict[str, float]:
    """Transfer learning begins a task with weights that another task has taught, and keeps of them what serves it.

    This says how much was kept: how far each weight of a model is from where it began, as a share of how large it was
    there; 0 where it is frozen, about 1.4 where nothing is left. Weights that begin anew, of another shape or name, are
    left out.

    Parameters
    ----------
    model: after training. before: the weights that it began with, by name.

    >>> net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> net[0].weight.data, net[1].weight.data = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0]])
    >>> before = {name: weight.clone() for name, weight in net.state_dict().items()}
    >>> net[0].weight.data = torch.tensor([[3.0, 3.0]])  # 1 of a length of 5
    >>> moved(net, before)
    {'0.weight': 0.2, '1.weight': 0.0}

    Reference: S. Pan, Q. Yang, 2010, "A survey on transfer learning", section 2.2 (definition 1); J. Yosinski, J.
    Clune, Y. Bengio, H. Lipson, 2014, "How transferable are features in deep neural networks?".
    """
    found = {}
    for name, weight in model.named_parameters():
        start = before.get(name)
        if start is not None and start.shape == weight.shape:
            far = torch.linalg.vector_norm((weight.detach() - start.to(weight)).float())
            size = torch.linalg.vector_norm(start.float()).clamp(min=1e-12)
            found[name] = float(far / size.to(far.device))
    if not found:
        raise UserError("no weight of this model is among those before; allowed: weights of the same names and shapes.")
    return found
