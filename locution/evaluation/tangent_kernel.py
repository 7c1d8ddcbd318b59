"""The neural tangent kernel: how alike two examples are to a network that learns from one and answers for the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from locution.errors import UserError, require
from locution.models.mlp import MLP
from locution.models.tangent import TangentLayer, TangentNet

BENDS = (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus)  # a number at a time
BLOCKS = 4  # of outputs, of which half of the pairs are computed
SILENT = (nn.Flatten, nn.Dropout, nn.Identity)  # in evaluation


@dataclass(frozen=True)
class Factor:
    """What a layer has in a kernel: what came in (N, F), and the slopes of each output by what went out (O, N, H), or
    (O, 1, H) where they are the same for all examples. by, plus: the squares of what scales its weights and its bias.
    """

    came: Tensor
    slopes: Tensor
    by: float
    plus: float


def jacobian_kernel(model: nn.Module, inputs: Tensor, others: Tensor | None = None, chunk: int = 0) -> Tensor:
    """Compute a tangent kernel by its definition, from whole Jacobians: for any model, slowly and in much memory.

    Shapes: inputs (N, ...), others (M, ...); the kernel (N, M, O, O). chunk: how many examples' Jacobians are held at
    once on each side, 0 for all.

    >>> net = nn.Linear(2, 1, bias=False)
    >>> jacobian_kernel(net, torch.tensor([[3.0, 4.0]])).item()  # the derivative by the weights is x: 9 + 16
    25.0

    Reference: A. Jacot, F. Gabriel, C. Hongler, 2018, "Neural tangent kernel: convergence and generalization in neural
    networks", section 4.
    """
    require(chunk >= 0, "chunk", chunk, "a whole number from 1, or 0 for all")
    weights = {name: one.detach() for name, one in model.named_parameters() if one.requires_grad}

    def answer(held: dict[str, Tensor], one: Tensor) -> Any:
        return functional_call(model, held, (one[None],))[0]

    def slopes(examples: Tensor) -> Tensor:
        found = vmap(jacrev(answer), (None, 0))(weights, examples)  # name -> (N, O, ...)
        return torch.cat([one.flatten(2) for one in found.values()], 2)  # (N, O, P)

    def whole(one: Tensor, other: Tensor) -> Tensor:
        return torch.einsum("nop,mqp->nmoq", one, other)

    second = inputs if others is None else others
    if not chunk:
        one = slopes(inputs)
        return whole(one, one if others is None else slopes(second))
    rows = []
    for few in torch.split(inputs, chunk):
        one = slopes(few)
        rows.append(torch.cat([whole(one, slopes(some)) for some in torch.split(second, chunk)], 1))
    return torch.cat(rows)


def tangent_kernel(model: nn.Module, inputs: Tensor, others: Tensor | None = None, chunk: int = 0) -> Tensor:
    """The neural tangent kernel (NTK) says how far a step on one example moves what a network answers for another.

    It is the product of their gradients by all weights. In a fully connected layer a gradient is a product itself, of
    what came in and of the slope behind: so the products of the two are taken, and no gradient is ever written out.
    Models with other layers are computed by `jacobian_kernel`. The model must treat examples apart: eval mode.

    Parameters
    ----------
    model: (N, ...) to (N, O). inputs: (N, ...). others: (M, ...); inputs again where None. chunk: that of
    `jacobian_kernel`, where it is needed.

    Returns (N, M, O, O): of output o for the one and of output p for the other. Raises UserError where nothing trains.

    >>> net = nn.Linear(2, 1)
    >>> tangent_kernel(net, torch.tensor([[3.0, 4.0], [1.0, 0.0]])).view(2, 2)  # x . x', and 1 for the bias
    tensor([[26.,  4.],
            [ 4.,  2.]])

    Reference: A. Jacot, F. Gabriel, C. Hongler, 2018, "Neural tangent kernel: convergence and generalization in neural
    networks", section 4; R. Novak, J. Sohl-Dickstein, S. Schoenholz, 2022, "Fast finite width neural tangent kernel",
    section 3.2 (the contraction).
    """
    if not any(p.requires_grad for p in model.parameters()):
        came = "a model of which nothing trains"
        raise UserError(f"the tangent kernel came upon {came}; allowed: one with weights that are not frozen.")
    flat = inputs.dim() == 2 or isinstance(model, (MLP, TangentNet))
    layers = chain(model) if flat else None
    if layers is None:
        return jacobian_kernel(model, inputs, others, chunk)
    one = factors(layers, inputs)
    return contracted(one, one if others is None else factors(layers, others))


def chain(model: nn.Module) -> list[nn.Module] | None:
    """Lay a perceptron out as its layers in a row, or say None where a model is anything else.

    >>> [type(one).__name__ for one in chain(MLP([2, 3, 1]))]
    ['Linear', 'ReLU', 'Linear']
    """
    if isinstance(model, (MLP, TangentNet)):
        model = model.layers
    if not isinstance(model, nn.Sequential):
        return [model] if type(model) in (nn.Linear, TangentLayer) and trains(model) else None
    found: list[nn.Module] = []
    for one in model:
        inner = [one] if isinstance(one, (*BENDS, *SILENT)) else chain(one)
        if inner is None or (isinstance(one, nn.Dropout) and one.training):
            return None
        found += [each for each in inner if not isinstance(each, SILENT)]
    weighty = [one for one in found if not isinstance(one, BENDS)]
    once = len({id(one) for one in weighty}) == len(weighty)  # a layer that acts twice has a gradient of two products
    return found if once and weighty and found[-1] is weighty[-1] else None


def trains(layer: nn.Module) -> bool:
    """Say whether all weights of a layer train, and none of them is anything but a plain parameter."""
    held = dict(layer.named_parameters(recurse=False))
    return "weight" in held and not list(layer.children()) and all(one.requires_grad for one in held.values())


def factors(layers: list[nn.Module], inputs: Tensor) -> list[Factor]:
    """Go through the layers, noting what comes in and how steep the bends are, and back with the slopes; top first."""
    values, weighty, came, steep = inputs.flatten(1), list[Any](), list[Tensor](), list[Tensor | None]()
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, BENDS):
                values, slope = bent(layer, values)
                steep[-1] = slope if steep[-1] is None else steep[-1] * slope
            else:
                weighty.append(layer)
                came.append(values)
                steep.append(None)  # of the bends behind this layer
                values = layer(values)
        found, slopes = list[Factor](), torch.eye(values.shape[1]).to(values)[:, None]  # (O, 1, O): each by itself
        for number in reversed(range(len(weighty))):
            layer = weighty[number]
            by, plus = layer.squares if isinstance(layer, TangentLayer) else (1.0, float(layer.bias is not None))
            found.append(Factor(came[number], slopes, by, plus))
            if number:
                slopes = below(slopes, layer.weight * by**0.5 if by != 1.0 else layer.weight, steep[number - 1])
    return found


def below(slopes: Tensor, weight: Tensor, bend: Tensor | None) -> Tensor:
    """Hand slopes down through a layer and the bend before it: (O, N or 1, H) -> (O, N or 1, F)."""
    back = (slopes.flatten(0, 1) @ weight).view(*slopes.shape[:2], weight.shape[1])
    return back if bend is None else back * bend


def bent(layer: nn.Module, values: Tensor) -> tuple[Tensor, Tensor]:
    """Pass numbers through a bend: what comes out, and how steep it is there."""
    if type(layer) is nn.ReLU:
        out = values.clamp(min=0)
        return out, (out > 0).to(values)
    with torch.enable_grad():
        leaf = values.detach().requires_grad_()
        out = layer(leaf)
        (slope,) = torch.autograd.grad(out.sum(), leaf)
    return out.detach(), slope


def contracted(one: list[Factor], two: list[Factor]) -> Tensor:
    """Add up over layers: products of what came in, times products of slopes; (N, M, O, O)."""
    outputs, shape = len(one[0].slopes), (len(one[0].came), len(two[0].came))
    alike = [
        torch.addmm(a.came.new_full((), a.plus), a.came, b.came.T, alpha=a.by) for a, b in zip(one, two, strict=True)
    ]
    total = one[0].came.new_zeros(outputs, shape[0], outputs, shape[1])
    # below the answer's own layer; a kernel of examples among themselves is the same both ways: half of it will do
    pairs = [
        (a.slopes.expand(-1, shape[0], -1), b.slopes.expand(-1, shape[1], -1)) for a, b in zip(one, two, strict=True)
    ]
    cuts = BLOCKS if one is two else 1
    for few in torch.arange(outputs).tensor_split(min(cuts, outputs)):
        low, high = int(few[0]), int(few[-1]) + 1
        first = low if one is two else 0
        part = total[low:high, :, first:]  # (o, N, O - first, M)
        for (left, right), near in zip(pairs[1:], alike[1:], strict=True):
            moved = left[low:high].flatten(0, 1) @ right[first:].flatten(0, 1).T
            part.addcmul_(moved.view(part.shape), near[:, None])
        if one is two:
            total[high:, :, low:high] = total[low:high, :, high:].permute(2, 3, 0, 1)
    total.diagonal(0, 0, 2).add_(alike[0][..., None])  # an answer has slope 1 by itself, 0 by another
    return total.permute(1, 3, 0, 2)
