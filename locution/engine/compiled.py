"""`compile=true`: forward, loss, gradient and update of a step as one graph, or a line that says why not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from locution.engine.bare_optimizer import Bare, added, columns_of, moved
from locution.engine.batch import Batch
from locution.engine.compile_errors import ADVICE, explained, guards
from locution.engine.method import Plan, Step
from locution.engine.random import reseed, stream_key
from locution.errors import UserError

if TYPE_CHECKING:
    from locution.engine.loop import Engine
    from locution.engine.turn import Turn

Parts = list[tuple[Batch, float]]


class Closure:
    """What the compiled step hands to the optimizer: not to be called, for the graph holds the gradient."""

    __slots__ = ("engine", "parts", "turn")

    def __init__(self, engine: Engine, turn: Turn, parts: Parts) -> None:
        self.engine, self.turn, self.parts = engine, turn, parts

    def __call__(self) -> Tensor:
        raise UserError(f"the optimizer asks for its gradient itself and cannot be compiled; {ADVICE}.")


class WholeStep:
    """An optimizer whose step is the whole step: forward, loss, gradient and update in one compiled graph.

    It stands where the optimizer stood, so that schedules and slow weights wrap it as they wrap any other. What
    calls the closure itself (SAM, LBFGS) is refused, for its step would be compiled in part only. The first step of
    training runs uncompiled: it makes the optimizer's state. Randomness is torch's own in either form, so that the
    compiled step equals the uncompiled one up to the order of sums.
    """

    def __init__(self, engine: Engine, optimizer: Any) -> None:
        self.engine, self.optimizer = engine, optimizer
        self.graph: Callable[..., tuple[Tensor, Sequence[Tensor | None]]] | None = None
        self.settings: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = []
        if not hasattr(optimizer, "_init_group"):
            raise UserError(f"optimizer {type(optimizer).__name__} cannot be compiled; {ADVICE}.")

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The optimizer's own groups."""
        groups: list[dict[str, Any]] = self.optimizer.param_groups
        return groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's own state."""
        state: dict[str, Any] = self.optimizer.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; the graph is built anew around it."""
        self.optimizer.load_state_dict(state_dict)
        self.graph = None

    def step(self, closure: Any) -> Tensor:
        """Take one whole step."""
        if type(closure) is not Closure:
            name = closure.__qualname__.split(".")[0]
            raise UserError(f"{name} asks for its gradients itself and cannot be compiled; {ADVICE}.")
        engine, turn, parts = closure.engine, closure.turn, closure.parts
        if engine.number < turn.every:
            loss: Tensor = self.optimizer.step(partial(engine.gradient, turn, parts))
            return loss
        if self.graph is None:
            self.graph = self.build(turn)
        engine.watch.gradients += 1
        for group, known, copy in self.settings:
            for key, value in known.items():
                if group[key] != value:  # a schedule moved it
                    known[key] = group[key]
                    copy[key] = moved(copy[key], group[key], engine.device)
        reseed(stream_key(engine.seed, turn.stream, engine.number, 0, 0), engine.device)
        shared = [(batch, None if share == 1.0 else torch.tensor(share)) for batch, share in parts]
        with explained(engine.methods, engine.model):
            loss, gradients = self.graph(shared)
        if gradients and engine.watch.due(turn):
            for parameter, gradient in zip(turn.trained, gradients, strict=True):
                parameter.grad = gradient
            engine.watch.gradient(turn)
        return loss

    def build(self, turn: Turn) -> Callable[..., tuple[Tensor, Sequence[Tensor | None]]]:
        """Write the step down as one function, and compile it."""
        engine, trained = self.engine, turn.trained
        groups, columns = self.groups(), columns_of(self.optimizer, trained)
        update = inspect.unwrap(type(self.optimizer).step)
        correct, watched = engine.seams["gradient"], bool(engine.observers)

        def whole(parts: list[tuple[Batch, Tensor | None]]) -> tuple[Tensor, Sequence[Tensor | None]]:
            total: Any = None
            gradients: Any = None
            for batch, share in parts:
                loss = engine.forward(turn, batch, cast(Step, Now(engine, 1.0 if share is None else share)))
                loss = loss if share is None else loss * share
                found = torch.autograd.grad(loss, trained, allow_unused=True)
                total = loss.detach() if total is None else total + loss.detach()
                gradients = found if gradients is None else tuple(map(added, gradients, found))
            raw = gradients if watched else ()
            if correct:
                for parameter, gradient in zip(trained, gradients, strict=True):
                    parameter.grad = None if gradient is None else gradient.clone()
                for method in correct:
                    method.gradient(trained, cast(Step, Now(engine)))
                gradients = tuple(parameter.grad for parameter in trained)
                for parameter in trained:
                    parameter.grad = None
            with torch.no_grad():
                update(Bare(groups, columns, gradients, {parameter: {} for parameter in trained}))
            return total, raw

        # torch traces autograd's own functions only where it is told to; this is what puts the gradient in the graph
        torch._dynamo.config.trace_autograd_ops = True
        options: Any = {"fallback_random": True, "guard_filter_fn": guards}
        # a code object of its own: torch counts graphs by it, and other engines' are not this one's
        own = FunctionType(whole.__code__.replace(), globals(), closure=whole.__closure__)
        return torch.compile(own, fullgraph=True, options=options)

    def groups(self) -> list[dict[str, Any]]:
        """Copy the settings for the graph: the learning rate a tensor, for it may change from step to step."""
        self.settings = []
        for number, group in enumerate(self.optimizer.param_groups):
            known = {key: value for key, value in group.items() if isinstance(value, (float, tuple))}
            copy = {key: value for key, value in group.items() if key != "params"}
            rate = torch.tensor(float(group["lr"]), device=self.engine.device)
            copy |= {"lr": rate, "fused": False, "foreach": False, "number": number}
            self.settings.append((group, known, copy))
        return [copy for _, _, copy in self.settings]


class Now:
    """The step that is being taken, as the graph sees it: only what a method reads is checked for change."""

    def __init__(self, engine: Engine, share: float | Tensor = 1.0) -> None:
        self.engine, self.share = engine, share

    @property
    def number(self) -> int:
        return self.engine.number

    @property
    def epoch(self) -> int:
        return self.engine.epoch

    @property
    def plan(self) -> Plan:
        return self.engine.now.plan

    @property
    def model(self) -> nn.Module:
        return self.engine.model

    @property
    def whole(self) -> Batch:
        return self.engine.now.whole

    first, first_of, mean = Step.first, Step.first_of, Step.mean

    def generator(self, stream: str) -> torch.Generator:
        return self.engine.now.generator(stream)
