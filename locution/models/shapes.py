"""The shapes that pass through a model, layer by layer, and what is wrong where one does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import UserError


def describe_tensor(tensor: Tensor) -> str:
    """A tensor is a block of numbers of one type, laid out along any number of axes.

    One number has no axis, a list of numbers one, a grey picture two, a batch of colour pictures four.

    >>> describe_tensor(torch.zeros(32, 3, 8, 8))
    'float32 of shape (32, 3, 8, 8) on cpu: 6144 numbers, 24576 bytes'

    Reference: A. Paszke et al., 2019, "PyTorch: an imperative style, high-performance deep learning library",
    section 4.
    """
    kind = str(tensor.dtype).removeprefix("torch.")
    size = f"{tensor.numel()} numbers, {tensor.nbytes} bytes"
    return f"{kind} of shape {tuple(tensor.shape)} on {tensor.device}: {size}"


def shape_of(tree: Any) -> str:
    """The shape of a tensor says how long it is along each of its axes; the first usually counts the
    examples.

    Of a tuple or dict of tensors it says each shape; of what holds no tensor, its type.

    >>> shape_of(torch.zeros(5, 3))
    '(5, 3)'
    >>> shape_of((torch.zeros(2), {"lengths": torch.zeros(2, 1)}))
    '[(2,), {lengths: (2, 1)}]'

    Reference: C. Harris et al., 2020, "Array programming with NumPy", Nature 585, figure 1.
    """
    if isinstance(tree, Tensor):
        return str(tuple(tree.shape))
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key}: {shape_of(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, (list, tuple)):
        return "[" + ", ".join(shape_of(value) for value in tree) + "]"
    return type(tree).__name__


@dataclass
class Layer:
    """A layer is one stage of a model: it takes what the layer before it put out and hands on what it makes
    of it.

    This is one that a trace passed: its name, its kind, the shapes in and out, and how many parameters it
    holds.

    >>> trace(nn.Linear(3, 2), torch.zeros(5, 3))
    [Layer(name='Linear', kind='Linear', inputs='(5, 3)', outputs='(5, 2)', parameters=8)]

    Reference: F. Rosenblatt, 1962, "Principles of neurodynamics", chapter 15.
    """

    name: str
    kind: str
    inputs: str
    outputs: str
    parameters: int


@dataclass
class _Path:
    """Where in a model the computation is: the layers finished, and those begun and not finished."""

    done: list[Layer] = field(default_factory=list)
    begun: list[tuple[str, nn.Module, Any]] = field(default_factory=list)


def trace(model: nn.Module, inputs: Any) -> list[Layer]:
    """The forward pass carries inputs through the layers of a model to its output; this notes the shapes on
    the way.

    The layers are those that hold no others, in the order in which they are passed. Where a shape does not
    fit, UserError names the layer, what came and what it takes.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> for layer in trace(net, torch.zeros(5, 4)):
    ...     print(layer.name, layer.kind, layer.inputs, "->", layer.outputs, layer.parameters)
    0 Linear (5, 4) -> (5, 3) 15
    1 ReLU (5, 3) -> (5, 3) 0
    2 Linear (5, 3) -> (5, 2) 8
    >>> trace(nn.Sequential(nn.Linear(4, 3), nn.Linear(2, 2)), torch.zeros(5, 4))
    Traceback (most recent call last):
    locution.errors.UserError: layer '1' (Linear) got (5, 3): its last axis is 3; allowed: 2, its ...

    Reference: D. Rumelhart, G. Hinton, R. Williams, 1986, "Learning representations by back-propagating
    errors", eqs. 1-2.
    """
    path = _Path()
    with explained(model, path), torch.no_grad():
        model(inputs)
    return path.done


@contextmanager
def explained(model: nn.Module, path: _Path | None = None) -> Iterator[None]:
    """Explain, while this is open, any shape that does not fit by the layer at which it did not.

    >>> with explained(net := nn.Linear(4, 3)):
    ...     _ = net(torch.zeros(5, 2))
    Traceback (most recent call last):
    locution.errors.UserError: layer 'Linear' (Linear) got (5, 2): its last axis is 2; allowed: 4, ...
    """
    path = path if path is not None else _Path()
    handles = []
    for name, module in model.named_modules():
        handles.append(
            module.register_forward_pre_hook(_enter(path, name or type(model).__name__), with_kwargs=True)
        )
        handles.append(module.register_forward_hook(_leave(path), with_kwargs=True))
    try:
        yield
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        if not path.begun or isinstance(error, torch.OutOfMemoryError):
            raise
        raise UserError(explain(*path.begun[-1], error)) from error
    finally:
        for handle in handles:
            handle.remove()


def _enter(path: _Path, name: str) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        came = args if len(args) != 1 or kwargs else args[0]
        path.begun.append((name, module, {"": came, **kwargs} if kwargs and not args else came))

    return hook


def _leave(path: _Path) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        name, _, came = path.begun.pop()
        if next(module.children(), None) is None:
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            path.done.append(Layer(name, type(module).__name__, shape_of(came), shape_of(output), own))

    return hook


def explain(name: str, module: nn.Module, came: Any, error: Exception) -> str:
    """Say in one line why a layer could not take what came: from its settings where they tell, else torch's
    own words.

    >>> explain("conv", nn.Conv2d(1, 4, 3), torch.zeros(2, 3, 8, 8), RuntimeError())
    "layer 'conv' (Conv2d) got (2, 3, 8, 8): its axis 1 is 3; allowed: 1, its number of channels."
    """
    head = f"layer '{name}' ({type(module).__name__}) got {shape_of(came)}"
    first: Any = came[0] if isinstance(came, tuple) and came else came
    if isinstance(first, Tensor):
        reason = _reason(module, first)
        if reason:
            return f"{head}: {reason}."
    words = " ".join(str(error).split())
    return f"{head}: {words or type(error).__name__}"


def _reason(module: nn.Module, x: Tensor) -> str:
    """Compare what came with what the well-known layers ask for."""
    # axis, the number of axes allowed, the length asked for, and what that length is
    asks: list[tuple[int, tuple[int, ...], int, str]] = []
    if isinstance(module, nn.Linear):
        asks = [(-1, (), module.in_features, "its number of inputs")]
    elif isinstance(module, nn.modules.conv._ConvNd):
        space = len(module.kernel_size)
        asks = [(-space - 1, (space + 1, space + 2), module.in_channels, "its number of channels")]
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        asks = [
            (
                1,
                {nn.BatchNorm2d: (4,), nn.BatchNorm3d: (5,)}.get(type(module), ()),
                module.num_features,
                "its number of features",
            )
        ]
    elif isinstance(module, nn.LayerNorm):
        shape = module.normalized_shape
        asks = [(i - len(shape), (), size, "the size that it normalises") for i, size in enumerate(shape)]
    elif isinstance(module, nn.RNNBase):
        asks = [(-1, (2, 3), module.input_size, "its number of inputs")]
    elif isinstance(module, nn.Embedding):
        return _index_reason(module, x)
    for axis, dims, size, meaning in asks:
        if dims and x.dim() not in dims:
            return f"it has {x.dim()} axes; allowed: {' or '.join(map(str, dims))}"
        if not -x.dim() <= axis < x.dim():
            return f"it has {x.dim()} axes; allowed: {-axis if axis < 0 else axis + 1} or more"
        if x.shape[axis] != size:
            place = "its last axis" if axis == -1 else f"its axis {axis % x.dim()}"
            return f"{place} is {x.shape[axis]}; allowed: {size}, {meaning}"
    return _type_reason(module, x)


def _type_reason(module: nn.Module, x: Tensor) -> str:
    weight = next((p for p in module.parameters(recurse=False) if p.is_floating_point()), None)
    if weight is not None and weight.dtype != x.dtype:
        came, takes = (str(dtype).removeprefix("torch.") for dtype in (x.dtype, weight.dtype))
        return f"its numbers are {came}; allowed: {takes}, the type of the layer's weights"
    if weight is not None and weight.device != x.device:
        return f"it is on {x.device}; allowed: {weight.device}, where the layer's weights are"
    return ""


def _index_reason(module: nn.Embedding, x: Tensor) -> str:
    if x.is_floating_point():
        return "its numbers are fractions; allowed: whole numbers, the rows of the table"
    if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < module.num_embeddings:
        return (
            f"its numbers go from {int(x.min())} to {int(x.max())}; allowed: 0 to {module.num_embeddings - 1}"
        )
    return ""


def shape_table(layers: Sequence[Layer]) -> str:
    """Write a trace as a table.

    >>> print(shape_table(trace(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.zeros(5, 4))))
    layer  kind    in      out     parameters
    0      Linear  (5, 4)  (5, 3)          15
    1      ReLU    (5, 3)  (5, 3)           0
    """
    rows = [("layer", "kind", "in", "out", "parameters")]
    rows += [(a.name, a.kind, a.inputs, a.outputs, str(a.parameters)) for a in layers]
    size = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(size[i]) for i, cell in enumerate(row[:4])), row[4].rjust(size[4])])
        for row in rows
    )
