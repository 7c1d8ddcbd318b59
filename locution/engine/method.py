"""The contract of a method: how something changes training, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.random import generator
from locution.errors import UserError

if TYPE_CHECKING:
    from locution.engine.loop import Engine

Closure = Callable[[], Tensor]


class Optimizer(Protocol):
    """An optimizer moves the weights by their gradients, each time it is told to take a step.

    This is what the loop asks of one: torch's own, or a wrapper around one. `step` always gets a closure,
    which clears the gradients, runs forward and backward and returns the loss; it may be called more than
    once.

    >>> weight = nn.Parameter(torch.tensor([4.0]))
    >>> optimizer: Optimizer = torch.optim.SGD([weight], lr=0.25)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (weight**2).sum()
    ...     loss.backward()
    ...     return loss.detach()
    >>> optimizer.step(closure), weight.item()  # 4 - 0.25 x 8
    (tensor(16.), 2.0)

    Reference: L. Bottou, F. Curtis, J. Nocedal, 2018, "Optimization methods for large-scale machine
    learning", section 4.
    """

    param_groups: list[dict[str, Any]]

    def step(self, closure: Closure) -> Any: ...
    def zero_grad(self, set_to_none: bool = True) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def nothing_opens(where: str) -> nn.Module:
    """Refuse to open a trained model by its name: only a run knows where the others are kept."""
    raise UserError(f"'{where}' cannot be opened outside of a run; allowed: a trained model itself, an nn.Module.")


@dataclass(frozen=True)
class Plan:
    """What is known before the first step: the seed, and how long training will last.

    `steps` is None where nobody can know it (a stream without a stated number of steps). `open` finds a trained model
    by a run folder, or by a recipe's name and words, in eval mode.
    """

    seed: int = 0
    steps: int | None = None
    open: Callable[[str], nn.Module] = nothing_opens


@dataclass(slots=True)
class Step:
    """A step is one update of the weights, from the gradient of the loss on one batch.

    This is the step that is being taken: its number, its epoch, the whole batch, and on each pass the micro-batch, the
    output, the objective and the share that the micro-batch has in the loss. Its randomness depends on seed, epoch and
    number alone.

    >>> step = Step(number=7, epoch=0, plan=Plan(seed=0), model=nn.Linear(1, 1))
    >>> first, again = (torch.rand(2, generator=step.generator("mixup")) for _ in range(2))
    >>> torch.equal(first, again)
    True

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", algorithm 8.1.
    """

    number: int
    epoch: int
    plan: Plan
    model: nn.Module
    batch: Batch = field(default_factory=lambda: Batch(torch.empty(0)))
    output: Any = None
    whole: Batch = field(default_factory=lambda: Batch(torch.empty(0)))
    share: float = 1.0
    objective: Any = None

    @property
    def first(self) -> int:
        """The row of the whole batch at which this micro-batch begins."""
        return self.batch.start

    def first_of(self, name: str) -> int:
        """The row at which this micro-batch begins in what comes beside by a name."""
        return self.batch.starts.get(name, 0)

    def mean(self, values: Tensor, count: int) -> Tensor:
        """What to add to a micro-batch's loss so that all of them add up to the mean over `count` values of the step.

        >>> step = Step(0, 0, Plan(), nn.Identity(), share=0.25)  # this micro-batch holds a quarter of the loss
        >>> step.share * step.mean(torch.tensor([3.0, 5.0]), count=4)  # and two of four values
        tensor(2.)
        """
        return values.sum() / (count * self.share)

    def generator(self, stream: str) -> torch.Generator:
        """Hand out the random stream of this step that bears a method's name: the same on every call."""
        return generator(self.plan.seed, stream, self.epoch, self.number)


class Method:
    """A method changes training at one or more seams of the loop; every seam it leaves alone costs nothing.

    A method is a dataclass whose fields are its settings, checked where it is made. `name` is what a user
    types after the plus sign. `after` names the methods that must come before this one at every seam; ties go
    by name, so the order in which methods are listed changes nothing. `excludes` maps the name of a method
    that cannot be combined with this one to what to do instead. `whole_batch` says that what it adds to the loss is no
    mean over examples, so that a batch must not be cut into micro-batches.
    """

    name: ClassVar[str] = ""
    after: ClassVar[tuple[str, ...]] = ()
    excludes: ClassVar[dict[str, str]] = {}
    whole_batch: ClassVar[bool] = False

    def data(self, batches: Any, plan: Plan) -> Any:
        """At each fit: change where batches come from; any epoch can still be started afresh."""
        return batches

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        """Once, before the optimizer is made: change the model."""
        return model

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        """Once: wrap the optimizer of a turn."""
        return optimizer

    def batch(self, batch: Batch, step: Step) -> Batch:
        """Each step, before the first pass: change the examples or their targets."""
        return batch

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        """Each pass: add to the loss, reading `step.model`, `step.batch` and `step.output`."""
        return loss

    def gradient(self, parameters: Sequence[nn.Parameter], step: Step) -> None:
        """Each pass, after the backward pass: correct the gradients in place."""

    def update(self, model: nn.Module, step: Step) -> None:
        """Each step, after the update: follow the weights."""

    def finish(self, model: nn.Module, objective: Any, batches: Iterable[Batch]) -> None:
        """At the end of a task: look back at the data once."""

    def trained(self, model: nn.Module) -> nn.Module:
        """What leaves training: the model that is evaluated and kept."""
        return model

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold for this method to go on: tensors, numbers, text, and dicts and lists
        of them.
        """
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; called after the `model` and `optimizer` seams."""


def rebuilt(model: nn.Module, methods: Sequence[Method], seed: int) -> nn.Module:
    """Shape a new model as training left the one before: by surgery and what undoes it, no step taken.

    Other models that methods open to learn from are not needed for that, and not opened.
    """
    plan = Plan(seed, None, lambda where: nn.Identity())
    for method in methods:
        model = method.model(model, plan)
    for method in methods:
        model = method.trained(model)
    return model


def check_whole(engine: Engine) -> None:
    """Refuse micro-batches where a method adds to the loss what is no mean over examples."""
    for method in engine.methods:
        if method.whole_batch and (engine.accumulate > 1 or engine.group.world > 1):
            came = f"accumulate={engine.accumulate} in {engine.group.world} process(es)"
            raise UserError(f"'{method.name}' compares whole batches, and {came} came; allowed: accumulate=1 in one.")


def ordered(methods: Iterable[Method]) -> list[Method]:
    """Put methods into the one order in which they act, whatever the order they were listed in.

    A method comes behind all that its `after` names; ties go by name. Raises UserError for a pair that
    excludes each other, and for a method listed twice.
    """
    listed = sorted(methods, key=lambda method: method.name)
    names = [method.name for method in listed]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"method '{name}' is listed twice; allowed: once.")
    for method in listed:
        for other, mend in method.excludes.items():
            if other in names:
                raise UserError(f"'{method.name}' and '{other}' cannot be combined; {mend}.")
    return list(_topological(listed, set(names)))


def _topological(listed: list[Method], present: set[str]) -> Iterator[Method]:
    placed: set[str] = set()
    waiting = list(listed)
    while waiting:
        ready = next((m for m in waiting if set(m.after) & present <= placed), None)
        if ready is None:
            raise UserError(f"methods {', '.join(m.name for m in waiting)} each ask to come after one another.")
        waiting.remove(ready)
        placed.add(ready.name)
        yield ready


SEAMS = ("data", "model", "optimizer", "batch", "loss", "gradient", "update", "finish", "trained")


def seams(method: Method | type[Method]) -> tuple[str, ...]:
    """Name the seams that a method fills.

    >>> class Nothing(Method): name = "nothing"
    >>> seams(Nothing())
    ()
    """
    kind = method if isinstance(method, type) else type(method)
    return tuple(seam for seam in SEAMS if getattr(kind, seam) is not getattr(Method, seam))
