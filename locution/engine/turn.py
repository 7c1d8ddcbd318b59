"""A turn: what is minimised, over which parameters, by which optimizer, at which steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.compiled import WholeStep
from locution.engine.method import Plan, check_whole
from locution.errors import UserError, require

if TYPE_CHECKING:
    from locution.engine.loop import Engine

Objective = Callable[[nn.Module, Batch], tuple[Any, Tensor]]
NOTHING = nullcontext()


@dataclass
class Turn:
    """A turn is one objective over some parameters with one optimizer: supervised learning has one, a GAN two.

    Of several turns each moves its own parameters while all others rest: no gradients are computed for them. Each has
    a name, under which its loss is recorded, and random draws of its own; the loss of a record is that of the last that
    acts at every step.

    Parameters
    ----------
    objective: called with (model, batch), returns (output, loss), the loss a mean over the batch's weight.
    optimizer: what makes an optimizer from a list of parameters, such as
        `functools.partial(torch.optim.SGD, lr=0.1)`; or an optimizer that is already made.
    parameters: picks the parameters from the model; all that are not frozen, if it is not given.
    name: of one turn among several, such as critic; turn_1, turn_2, ... where none is given.
    every: it acts at every so many steps, for the first time once so many have come: every=5 lets the turns before it
        act five times first. Schedules of the learning rate count the times that it acts.

    Two numbers, of which one is halved in each step and the other in every second:

    >>> from functools import partial
    >>> import torch
    >>> from locution.engine import Batch, Engine
    >>> net = nn.ParameterDict({"a": torch.tensor([16.0]), "b": torch.tensor([16.0])})
    >>> def turn(name, every):
    ...     def square(model, batch): return None, (model[name] ** 2 / 2).sum()
    ...     return Turn(square, partial(torch.optim.SGD, lr=0.5), lambda model: [model[name]], name, every)
    >>> _ = Engine(net, [turn("a", 1), turn("b", 2)]).fit([Batch(torch.zeros(1))], steps=4)
    >>> net["a"].item(), net["b"].item()
    (1.0, 4.0)

    Reference: I. Goodfellow et al., 2014, "Generative adversarial nets", alg. 1 (k steps of one to one of the other).
    """

    objective: Objective
    optimizer: Any
    parameters: Callable[[nn.Module], Iterable[nn.Parameter]] | None = None
    name: str = ""
    every: int = 1

    def __post_init__(self) -> None:
        require(self.every >= 1, "turn.every", self.every, "a whole number from 1")
        self.label = ""  # its name, where there are others
        self.stream = "model"  # of its random draws
        self.trained: list[nn.Parameter] = []
        self.resting: list[nn.Parameter] = []

    def build(self, engine: Engine, plan: Plan) -> None:
        """Pick the parameters, make the optimizer, and let the methods wrap it."""
        check_whole(engine)
        model = engine.model
        if not hasattr(self.optimizer, "param_groups"):
            chosen = self.parameters(model) if self.parameters else model.parameters()
            trained = [p for p in chosen if p.requires_grad]
            if not trained:
                raise UserError("the model has no parameters that train; allowed: at least one with requires_grad.")
            self.optimizer = self.optimizer(trained)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        plan = self.placed(engine, plan)
        if engine.compile:
            self.optimizer = WholeStep(engine, self.optimizer)
        for method in engine.methods:
            self.optimizer = method.optimizer(self.optimizer, plan)

    def placed(self, engine: Engine, plan: Plan) -> Plan:
        """Find a turn's place among others: its name, its random draws, who rests; and how often it will act."""
        place = next(number for number, turn in enumerate(engine.turns) if turn is self)
        if len(engine.turns) > 1:
            self.name = self.label = self.name or f"turn_{place + 1}"
            taken = [turn.name for turn in engine.turns].count(self.name)
            require(taken == 1, "turn.name", self.name, "a name that no other turn has")
            own = {id(parameter) for parameter in self.trained}
            self.resting = [p for p in engine.model.parameters() if p.requires_grad and id(p) not in own]
        if place:
            self.stream = f"model {place}"  # not those of the first turn over again
        if plan.steps is None:
            return plan
        require(plan.steps >= self.every, "steps", plan.steps, f"a whole number from {self.every}, turn.every")
        return replace(plan, steps=plan.steps // self.every)

    def step(self, engine: Engine, parts: Sequence[tuple[Batch, float]]) -> Tensor | None:
        """Move the parameters once, if it is the turn's step; the loss, or None."""
        if (engine.number + 1) % self.every:
            return None
        engine.passes = 0
        with asleep(self.resting) if self.resting and not engine.compile else NOTHING:
            loss: Tensor = self.optimizer.step(engine.closure(self, parts))
        return loss


@contextmanager
def asleep(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let parameters rest: nothing is computed for them, and gradients of before are forgotten.

    >>> import torch
    >>> a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    >>> with asleep([b]):
    ...     (a * b).backward()
    >>> a.grad, b.grad, b.requires_grad
    (tensor([1.]), None, True)
    """
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
