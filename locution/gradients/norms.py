"""How large the gradients are, layer by layer, and what is said when they explode or vanish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from locution.engine.method import Step
from locution.engine.observer import Observer
from locution.errors import require

if TYPE_CHECKING:
    from locution.engine.loop import Engine

HUGE, TINY, FAR = 100.0, 1e-6, 100.0


def gradient_norm(gradients: Iterable[Tensor]) -> Tensor:
    """The gradient norm is the length of the gradient: how steep the loss is, all weights taken together.

    Shapes: any tensors, as if laid end to end; returns one number.

    >>> gradient_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])])
    tensor(5.)

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, 2013, "On the difficulty of training recurrent neural
    networks", alg. 1.
    """
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


def layer_norms(gradients: Mapping[str, Tensor]) -> dict[str, float]:
    """Measure the gradient norm of each layer: of the weights and biases that one module holds, in the
    model's order.

    >>> layer_norms({"0.weight": torch.tensor([3.0]), "0.bias": torch.tensor([4.0])})
    {'0': 5.0}
    """
    layers: dict[str, list[Tensor]] = {}
    for name, tensor in gradients.items():
        layers.setdefault(name.rpartition(".")[0] or "model", []).append(tensor)
    if not layers:
        return {}
    norms = torch.stack([gradient_norm(tensors) for tensors in layers.values()])
    return dict(zip(layers, norms.tolist(), strict=True))  # one wait for the device


def exploding(norms: Mapping[str, float], above: float = HUGE) -> list[str]:
    """An exploding gradient grows from layer to layer on its way back, until one update throws the weights
    far away.

    This names the layers whose gradient norm lies above a bound, or is no number.

    >>> exploding({"first": 5000.0, "last": 1.0})
    ['first']

    Reference: Y. Bengio, P. Simard, P. Frasconi, 1994, "Learning long-term dependencies with gradient descent
    is difficult".
    """
    return [layer for layer, norm in norms.items() if not norm <= above]


def vanishing(norms: Mapping[str, float], below: float = TINY) -> list[str]:
    """A vanishing gradient shrinks from layer to layer on its way back, until the early layers learn nothing.

    This names the layers of the first half whose gradient norm lies under a bound while another's is a
    hundred times the bound or more: where all are small, nothing vanished, the loss is flat.

    >>> vanishing({"first": 1e-9, "second": 1e-6, "third": 1e-3, "last": 0.5})
    ['first']
    >>> vanishing({"first": 1e-9, "last": 1e-8})
    []

    Reference: S. Hochreiter, 1998, "The vanishing gradient problem during learning recurrent neural nets",
    section 3.
    """
    early = list(norms)[: len(norms) // 2]
    if max(norms.values(), default=0.0) < FAR * below:
        return []
    return [layer for layer in early if norms[layer] < below]


@dataclass
class GradientNorms(Observer):
    """Watches the gradient norm of the whole model and of each layer, and says when it explodes or vanishes.

    Parameters
    ----------
    above: a layer's norm above this is said to explode. below: an early layer's norm under this is said to
    vanish. per_layer: also record "gradient_norm/LAYER" beside the total, "gradient_norm". say: where a
    warning goes, once a layer; the log of the name "locution" if it is not given. `notes` keeps what was
    said.

    The norms are those of the logged steps, before any method corrects the gradients.

    >>> from functools import partial
    >>> from locution.engine import Batch, Engine, Turn
    >>> def steep(model, batch):
    ...     return None, 1000 * model(batch.inputs).mean()
    >>> watcher = GradientNorms(say=print)
    >>> turn = Turn(steep, partial(torch.optim.SGD, lr=0.0))
    >>> _ = Engine(nn.Linear(1, 1), turn, observers=[watcher]).fit([Batch(torch.zeros(4, 1))], steps=1)
    step 0: the gradient explodes: its norm is 1e+03 at 'model' (above 100). Try +clipping, or ...

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, 2013, "On the difficulty of training recurrent neural
    networks".
    """

    above: float = HUGE
    below: float = TINY
    per_layer: bool = True
    say: Callable[[str], object] | None = None
    notes: list[str] = field(default_factory=list, init=False)
    said: list[str] = field(default_factory=list, init=False, repr=False)  # by this process: the end does not repeat it
    told: set[str] = field(default_factory=set, init=False, repr=False)
    speaks: bool = field(default=True, init=False, repr=False)
    name: ClassVar[str] = "gradient_norms"

    def __post_init__(self) -> None:
        require(self.above > 0, "gradient_norms.above", self.above, "a number above 0, usually 100")
        require(self.below >= 0, "gradient_norms.below", self.below, "a number from 0, usually 1e-6")

    def start(self, engine: Engine) -> None:
        """Of several processes, only the first speaks."""
        self.speaks = engine.group.first

    def gradient(self, model: nn.Module, step: Step) -> Mapping[str, float]:
        """Measure, and warn."""
        named = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        norms = layer_norms(named)
        total = sum(norm**2 for norm in norms.values()) ** 0.5
        self.warn(norms, step.number)
        layers = {f"gradient_norm/{layer}": norm for layer, norm in norms.items()} if self.per_layer else {}
        return {"gradient_norm": total, **layers}

    def warn(self, norms: Mapping[str, float], number: int) -> None:
        """Say which layers' gradients explode or vanish, each once."""
        huge = [layer for layer in exploding(norms, self.above) if layer not in self.told]
        tiny = [layer for layer in vanishing(norms, self.below) if layer not in self.told]
        self.told.update(huge, tiny)
        if huge:
            largest = max((norms[layer] for layer in huge), key=lambda norm: (norm != norm, norm))
            mend = "Try +clipping, or a tenth of the learning rate."
            what = f"its norm is {largest:.3g} at {_listed(huge)} (above {self.above:g})"
            self.note(f"step {number}: the gradient explodes: {what}. {mend}")
        if tiny:
            smallest = min(norms[layer] for layer in tiny)
            mend = "Try residual connections, relu for sigmoid or tanh, or normalisation."
            what = f"its norm is {smallest:.3g} at {_listed(tiny)} (under {self.below:g})"
            self.note(f"step {number}: the gradient vanishes: {what}, so these layers learn nothing. {mend}")

    def note(self, text: str) -> None:
        """Keep a warning, and say it."""
        self.notes.append(text)
        if self.speaks:
            self.said.append(text)
            (self.say or logging.getLogger("locution").warning)(text)

    def state_dict(self) -> dict[str, Any]:
        """Hold what was said, so that it is not said again."""
        return {"told": sorted(self.told), "notes": list(self.notes)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.told, self.notes = set(state_dict.get("told", ())), list(state_dict.get("notes", ()))


def _listed(layers: list[str]) -> str:
    shown = ", ".join(f"'{layer}'" for layer in layers[:4])
    return shown if len(layers) <= 4 else f"{shown} and {len(layers) - 4} more"
