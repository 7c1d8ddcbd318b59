"""What a model holds: its parameters, listed and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from locution.errors import unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Parameter:
    """What is known of one tensor of parameters: `mean` and `spread` are the average and standard
    deviation.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    mean: float
    spread: float
    bytes: int


def list_parameters(model: nn.Module) -> list[Parameter]:
    """The parameters are the numbers inside a model that training moves: its weights and biases.

    One entry a tensor, a tensor that is shared only once: name, shape, dtype, trainable or frozen, mean,
    spread, bytes.

    >>> net = nn.Linear(2, 1)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, 3.0]])), net.bias.requires_grad_(False).fill_(0.5)
    >>> for p in list_parameters(net):
    ...     print(p.name, p.shape, p.trainable, p.mean, p.spread, p.bytes)
    weight (1, 2) True 2.0 1.0 8
    bias (1,) False 0.5 0.0 4

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", section 5.1.4.
    """
    return [_describe(name, tensor) for name, tensor in model.named_parameters()]


def _describe(name: str, tensor: Tensor) -> Parameter:
    values = tensor.detach().double() if tensor.dtype.is_floating_point else tensor.detach().float()
    mean, spread = (values.mean().item(), values.std(correction=0).item()) if values.numel() else (0.0, 0.0)
    kind = str(tensor.dtype).removeprefix("torch.")
    return Parameter(name, tuple(tensor.shape), kind, tensor.requires_grad, mean, spread, tensor.nbytes)


def parameter_table(parameters: Sequence[Parameter]) -> str:
    """Write the list of parameters as a table, with a line that adds up.

    >>> net = nn.Linear(2, 1)
    >>> _ = net.weight.data.fill_(1.0), net.bias.data.fill_(0.0)
    >>> print(parameter_table(list_parameters(net)))
    name    shape  dtype    trains     mean  spread  bytes
    weight  1x2    float32     yes   1.0000  0.0000      8
    bias    1      float32     yes   0.0000  0.0000      4
    3 parameters, 3 of them train, 12 bytes
    """
    rows = [("name", "shape", "dtype", "trains", "mean", "spread", "bytes")]
    for p in parameters:
        shape = "x".join(map(str, p.shape)) or "one number"
        trains = "yes" if p.trainable else "frozen"
        rows.append((p.name, shape, p.dtype, trains, f"{p.mean:.4f}", f"{p.spread:.4f}", f"{p.bytes}"))
    size = [max(len(row[column]) for row in rows) for column in range(7)]
    lines = [
        "  ".join(cell.ljust(size[i]) if i < 3 else cell.rjust(size[i]) for i, cell in enumerate(row))
        for row in rows
    ]
    counts = [(torch.Size(p.shape).numel(), p.trainable) for p in parameters]
    total, train = sum(n for n, _ in counts), sum(n for n, trains in counts if trains)
    return "\n".join(
        [*lines, f"{total} parameters, {train} of them train, {sum(p.bytes for p in parameters)} bytes"]
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A weight is the number that one input is multiplied by on its way to one output: how much the input
    counts.

    This hands out the tensors of weights by name: all parameters of two axes or more.

    >>> {name: tuple(tensor.shape) for name, tensor in weights(nn.Linear(3, 2)).items()}
    {'weight': (2, 3)}

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 5.1.
    """
    return {name: tensor for name, tensor in model.named_parameters() if tensor.dim() >= 2}


def biases(model: nn.Module) -> dict[str, Tensor]:
    """A bias is the number that a unit adds whatever comes in: what it puts out when all inputs are zero.

    This hands out the tensors of biases by name: all parameters whose own name is or ends in "bias".

    >>> net = nn.Linear(3, 2)
    >>> bool((net(torch.zeros(3)) == biases(net)["bias"]).all())
    True

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 5.1.
    """
    return {
        name: tensor
        for name, tensor in model.named_parameters()
        if name.split(".")[-1].split("_")[0] == "bias"
    }


def scalars(model: nn.Module) -> dict[str, float]:
    """Name the parameters that are one number alone, with their values: for a line, all there is to see.

    >>> from locution.models.linear import Line
    >>> scalars(Line())
    {'w': 0.0, 'b': 0.0}
    """
    return {name: p.item() for name, p in model.named_parameters() if p.dim() == 0}


def histogram(model: nn.Module, name: str, bins: int = 20) -> tuple[Tensor, Tensor]:
    """Count how many numbers of a parameter lie in each of `bins` equal ranges: counts (bins,), edges (bins +
    1,).

    >>> net = nn.Linear(4, 1)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.1, 0.9, 1.0]]))
    >>> counts, edges = histogram(net, "weight", bins=2)
    >>> counts.tolist(), edges.tolist()
    ([2.0, 2.0], [0.0, 0.5, 1.0])
    """
    known = dict(model.named_parameters())
    if name not in known:
        raise unknown("parameter of this model", name, known)
    values = known[name].detach().float().flatten().cpu()
    counts, edges = torch.histogram(values, bins)
    return counts, edges


def draw_parameters(model: nn.Module, path: str | Path | None = None, names: Sequence[str] = ()) -> Figure:
    """Draw a histogram of each parameter (or of those named); write it where `path` says."""
    from matplotlib.figure import Figure

    known = dict(model.named_parameters())
    shown = list(names) or [name for name, parameter in known.items() if parameter.numel() > 1]
    columns = max(1, min(3, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(3.6 * columns, 2.4 * rows), layout="constrained")
    for index, name in enumerate(shown):
        if name not in known:
            raise unknown("parameter of this model", name, known)
        counts, edges = histogram(model, name, bins=max(5, min(40, int(known[name].numel() ** 0.5))))
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.stairs(counts.numpy(), edges.numpy(), fill=True, color="C0")
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=5)
        axes.set_ylabel("how many", fontsize=8)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
