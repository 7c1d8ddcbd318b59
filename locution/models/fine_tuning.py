"""Fine-tuning: training that begins from weights that were learnt before."""

from __future__ import annotations

from torch import Tensor, nn

from locution.errors import UserError, unknown
from locution.models.surgery import lies_in


def fine_tune(model: nn.Module, weights: dict[str, Tensor], fresh: str = "") -> nn.Module:
    """Fine-tuning goes on training a model, on data of another kind or fewer, from weights that were learnt before.

    Parameters
    ----------
    model: takes the weights over, in place, and is handed back. weights: of a trained model, by name. fresh: a pattern
    on the names of the layers that begin anew, such as "layers.6"; several with commas between.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> before, model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 5)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    >>> model = fine_tune(model, before.state_dict(), fresh="1")
    >>> torch.equal(model[0].weight, before[0].weight), model[1].weight.shape
    (True, torch.Size([3, 2]))
    >>> fine_tune(model, before.state_dict())
    Traceback (most recent call last):
    locution.errors.UserError: 1.weight is (5, 2) where training starts from and (3, 2) here; allowed: fresh=1, ...

    Reference: J. Yosinski, J. Clune, Y. Bengio, H. Lipson, 2014, "How transferable are features in deep neural
    networks?", section 2.
    """
    own = model.state_dict()
    patterns = [pattern.strip() for pattern in fresh.split(",") if pattern.strip()]
    layers = {name.rpartition(".")[0]: name for name in own}
    for pattern in patterns:
        if not any(lies_in(name, pattern) for name in own):
            raise unknown("layer that could begin anew (fresh)", pattern, layers)
    taken = {}
    for name, tensor in own.items():
        layer = name.rpartition(".")[0]
        if any(lies_in(name, pattern) for pattern in patterns):
            continue
        there = weights.get(name)
        if there is None or there.shape != tensor.shape:
            came = "is not there" if there is None else f"is {tuple(there.shape)}"
            mend = f"allowed: fresh={layer}, or a start from a model of the same make"
            raise UserError(f"{name} {came} where training starts from and {tuple(tensor.shape)} here; {mend}.")
        taken[name] = there
    model.load_state_dict(taken, strict=False)
    return model
