"""Dropout: in training, a random part of the units is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from locution.engine.batch import Batch, examples
from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require
from locution.models.dropconnect import DropConnect, drop_mask
from locution.models.lora import LoRA, Patterns
from locution.models.surgery import lean_copy, match_layers

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
KINDS = (nn.Linear, *CONVOLUTIONS, DropConnect, LoRA)


def masked_moments(
    weight: Tensor, bias: Tensor | None, x: Tensor, p: float, what: Literal["units", "weights"] = "units"
) -> tuple[Tensor, Tensor]:
    """The sampling variance of dropout says how much a layer's answer varies from one random mask to the next.

    Of a linear layer whose inputs (dropout) or weights (DropConnect) are missing with probability p, and else scaled
    by 1 / (1 - p). The mean is the answer of the whole layer either way, and each output varies alike; but a missing
    input moves all outputs at once, a missing weight one alone.

    Parameters
    ----------
    weight: (out, in). bias: (out,) or None. x: (in,). p: the share that is missing. what: units or weights.

    Returns the mean (out,) and the covariance (out, out): p / (1 - p) sum_i w_ji w_ki x_i^2, for weights the diagonal
    of that.

    >>> weight = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> mean, both = masked_moments(weight, None, torch.tensor([1.0, 1.0]), p=0.5)
    >>> mean.tolist(), both.tolist()  # 1 + 4, 1 x 3, 9
    ([3.0, 3.0], [[5.0, 3.0], [3.0, 9.0]])
    >>> masked_moments(weight, None, torch.tensor([1.0, 1.0]), p=0.5, what="weights")[1].tolist()
    [[5.0, 0.0], [0.0, 9.0]]

    Reference: S. Wager, S. Wang, P. Liang, 2013, "Dropout training as adaptive regularization", section 2; L. Wan et
    al., 2013, "Regularization of neural networks using DropConnect", section 3.2.
    """
    require(0 <= p < 1, "p", p, "a share from 0 to below 1")
    require(what in ("units", "weights"), "what", what, "units or weights")
    mean = nn.functional.linear(x, weight, bias)
    parts = weight * x  # (out, in): what each input brings to each output
    covariance = p / (1 - p) * parts @ parts.T
    return mean, covariance if what == "units" else covariance.diagonal().diag()


def mask_shape(inputs: Tensor, convolution: bool, form: str) -> tuple[int, ...]:
    """Say what shape an example's mask has: of all its numbers, or one for each channel whatever the place.

    >>> mask_shape(torch.zeros(5, 3, 8, 8), True, "channel"), mask_shape(torch.zeros(5, 7, 4), False, "channel")
    ((3, 1, 1), (1, 4))
    """
    shape = tuple(inputs.shape[1:])
    if form == "unit":
        return shape
    if convolution:
        return (shape[0], *(1 for _ in shape[1:]))  # (C, 1, ...)
    return (*(1 for _ in shape[:-1]), shape[-1])  # (..., C)


@dataclass
class Masks:
    """The masks of a step: drawn for all its examples at once, and cut to those that come into the model."""

    p: float
    form: str
    step: Step | None = None  # the run's own, which goes along with it
    drawn: dict[tuple[str, str], Tensor] = field(default_factory=dict)  # by layer, and by whose they are
    rows: tuple[str, int, int, int] = ("", 0, 0, 0)  # of whom they are, the first, how many, and of how many

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a copied model sees the same step, and no copy of it

    def redraw(self, batch: Batch, step: Step) -> None:
        """Begin a step: draw the masks of its examples anew, of the layers that are known from the step before."""
        self.step = step
        for (layer, name), mask in self.drawn.items():
            tree = batch.beside.get(name) if name else batch.inputs
            rows = 0 if tree is None else examples(tree)
            self.drawn[layer, name] = self.draw(layer, name, (rows, *mask.shape[1:])).to(mask.device)

    def draw(self, layer: str, name: str, shape: tuple[int, ...]) -> Tensor:
        """Draw masks from the step's stream of a layer."""
        assert self.step is not None
        return drop_mask(shape, self.p, self.step.generator(f"{DropoutMethod.name} {layer} {name}"))

    def __call__(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        """Look at what comes into the model: the step's own examples, or those that come beside by some name."""
        step = self.step
        if step is None or not model.training or not args:
            return
        batch, inputs = step.batch, args[0]
        name = next((name for name, tree in batch.beside.items() if tree is inputs), "")
        if name:
            self.rows = (name, step.first_of(name), examples(inputs), examples(step.whole.beside[name]))
        else:
            own = examples(inputs) == len(batch)
            self.rows = ("", step.first if own else 0, examples(inputs), len(step.whole))

    def cut(self, layer: str, inputs: Tensor, convolution: bool) -> Tensor | None:
        """Hand out the masks for what comes into a layer, (R, ...): R rows, or as many times the examples."""
        name, first, count, whole = self.rows
        if self.step is None or not count or not whole:
            return None
        if len(inputs) % count:
            came = f"{len(inputs)} rows came before layer '{layer}' of {count} examples"
            raise UserError(f"dropout: {came}; allowed: as many rows for each, or other layers in dropout.layers.")
        shape = (whole, len(inputs) // count, *mask_shape(inputs, convolution, self.form))
        masks = self.drawn.get((layer, name))
        if masks is None or masks.shape != shape:  # on a run's first step, and where shapes vary
            masks = self.drawn[layer, name] = self.draw(layer, name, shape).to(inputs.device)
        if first + count <= whole:
            return masks[first : first + count].flatten(0, 1)
        return masks[torch.arange(first, first + count, device=inputs.device) % whole].flatten(0, 1)


@dataclass
class DropUnits:
    """What stands in front of a layer: in training, it leaves out units of what comes in."""

    name: str
    masks: Masks
    convolution: bool

    def __call__(self, layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Multiply a layer's first input with the masks of its examples."""
        if not layer.training or self.masks.p == 0:
            return None
        mask = self.masks.cut(self.name, args[0], self.convolution)
        return None if mask is None else (args[0] * mask.to(args[0].dtype), *args[1:])


def droppable(model: nn.Module, layers: Patterns = "") -> dict[str, nn.Module]:
    """Find the layers before which units can be left out: all but the first, or those whose names match a pattern.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 1))
    >>> list(droppable(net)), list(droppable(net, "0"))
    (['2', '3'], ['0'])
    """
    found = match_layers(model, layers or "*", KINDS)
    inner = {f"{name}." for name, layer in found.items() if isinstance(layer, (DropConnect, LoRA))}
    found = {
        name: layer
        for name, layer in found.items()
        if not any(name.startswith(outer) for outer in inner)
        and not isinstance(layer, NonDynamicallyQuantizableLinear)  # attention's own, which reads its weight only
    }
    if layers:
        return found
    if len(found) < 2:
        raise UserError("dropout.layers is '', and the model has one layer; allowed: dropout.layers=*, or its name.")
    return dict(list(found.items())[1:])


@dataclass
class DropoutMethod(Method):
    """Dropout leaves out random units in each step of training, so that no unit can rely on another one being there.

    What is left is scaled by 1 / (1 - p), so that the mean stays. Each example has masks of its own, drawn once a step
    for all passes, micro-batches and processes; a layer that is called several times in a pass (a recurrent one) drops
    the same units each time. What leaves training drops nothing, and the names of its weights never change.

    Settings
    --------
    p: the share of units that is missing. layers: before which linear and convolution layers, by a pattern on their
    names, or several; empty for all but the first, whose input are the data. form: unit for each number alone, channel
    for whole maps of a convolution, or the same features at all places of a sequence.

    Of units (1, 1) at p = 0.5 the first is dropped here and the second doubled, so that the mean stays:

    >>> drop_mask((2,), 0.5, torch.Generator().manual_seed(0))
    tensor([0., 2.])

    Reference: N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, 2014, "Dropout: a simple way to
    prevent neural networks from overfitting", section 4; channels: J. Tompson et al., 2015, "Efficient object
    localization using convolutional networks", section 3.2.
    """

    name: ClassVar[str] = "dropout"
    after: ClassVar[tuple[str, ...]] = ("dropconnect", "lora")  # it stands before the layers that they make

    p: float = 0.5
    layers: Patterns = ""
    form: Literal["unit", "channel"] = "unit"

    def __post_init__(self) -> None:
        require(0 <= self.p < 1, "dropout.p", self.p, "a share from 0 to below 1, usually 0.2 to 0.5")
        require(self.form in ("unit", "channel"), "dropout.form", self.form, "unit or channel")
        self.masks = Masks(self.p, self.form)

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.masks = Masks(self.p, self.form)
        model.register_forward_pre_hook(self.masks)
        for name, layer in droppable(model, self.layers).items():
            kernel = layer.layer if isinstance(layer, DropConnect) else layer
            layer.register_forward_pre_hook(DropUnits(name, self.masks, isinstance(kernel, CONVOLUTIONS)))
        return model

    def batch(self, batch: Batch, step: Step) -> Batch:
        self.masks.redraw(batch, step)
        return batch

    def trained(self, model: nn.Module) -> nn.Module:
        return whole(model)


def whole(model: nn.Module) -> nn.Module:
    """Copy a model without what leaves out units.

    >>> net = DropoutMethod().model(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), Plan())
    >>> len(net[1]._forward_pre_hooks), len(whole(net)[1]._forward_pre_hooks)
    (1, 0)
    """
    model = lean_copy(model)
    for module in model.modules():
        hooks: dict[int, Callable[..., Any]] = module._forward_pre_hooks
        for key in [key for key, hook in hooks.items() if isinstance(hook, (DropUnits, Masks))]:
            del hooks[key]
    return model
